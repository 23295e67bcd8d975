"""A plan that somebody damaged is a plan all the same, or a PlanError in words for people."""

import builtins
import json
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission import Plan, PlanError
from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.ir.graph.skipped import Skipped
from scission.ir.plan.annealing import Annealing, pack_mask
from scission.ir.plan.axis_order import Reordering
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from scission.ir.plan.grain import Grain
from scission.ir.plan.merged_branches import MergedBranches
from scission.ir.plan.plan import KINDS
from scission.ir.plan.preparation import FixedSizes, Refused
from scission.ir.plan.region_split import RegionSplit
from scission.ir.plan.removed_channels import CutAxis, RemovedChannels
from scission.ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from scission.ir.plan.rewritten_forest import ForestForm, RewrittenForest
from scission.ir.plan.step import States, Step
from scission.ir.plan.wanted import Wanted
from scission.ir.reason import Cause, Reason

EXCEPTIONS = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}
# What Python says of itself: exceptions, types, tuples of numbers, None, and arguments of functions.
SPOKEN = re.compile(rf"\b({'|'.join(EXCEPTIONS)}|NoneType|None|True|False|__\w+__|argument|object is not)\b|\(\d+,")

WHY = Reason(Cause.COMPONENTS, "2 blocks")
BLOCKS = Decomposition((4, 3), (Block([0, 2], [1]), Block([1], [0, 2])), layers=((0, 1), (2, 2)), residual=((3, 0),))


def step(node, lowering):
    return Step(
        node=node, op="MatMul", weight="W", dtype="float", shape=(4, 3), lowering=lowering, decomposition=BLOCKS,
        components=2, giant=0.5, nonzeros=4, dormant_inputs=1, dormant_outputs=0, reason=WHY, gain=2.0, sha256="ab",
        states=States(components=1, sccs=1, layers=1, giant=1.0), extents=((1, 16), (4,)), slices=2,
    )  # fmt: skip


NULL = Null(family="normal", scale=0.1, source="stated")
SHA256 = "ab" * 32
PREPARATIONS = (
    FixedSizes(nodes=("shape",), reason=WHY, sizes={"batch": 2}),
    RewrittenForest(nodes=("trees",), reason=WHY, form=ForestForm.ENSEMBLE, trees=3, depth=2, sha256=SHA256),
    RemovedChannels(
        nodes=("up",),
        reason=WHY,
        gain=1.5,
        axes=(CutAxis(node="up", slot=0, axis=1, size=6, removed=[1, 3], counts=False),),
        weights=(SHA256,),
    ),
    FactoredWeight(
        nodes=("dft",), reason=WHY, gain=2.0, splits=((16, 25), (4, 1)), scaled=True, sha256=SHA256, macs=24, bound=0.25
    ),
    FramedProduct(nodes=("stft",), reason=WHY, gain=2.0, places=16, gap=25, sha256=SHA256, macs=24, bound=0.25),
    HierarchicalWeight(nodes=("wavelet",), reason=WHY, gain=3.0, block=16, sha256=SHA256, macs=24, bound=0.25),
    RewrittenConvolution(nodes=("conv",), reason=WHY, form=ConvolutionForm.BIAS, sha256=SHA256),
    MergedBranches(nodes=("a", "b", "join"), reason=WHY, branches=(("a", "b"),), turned=True, sha256=SHA256),
)  # fmt: skip
EVIDENCE = Evidence(test="neyman", level=0.05, correction="none", confirmed=0.1, null=NULL, classes=(1, 2, 3))
RICH = Plan(
    model="m.onnx",
    provider="cpu",
    batch=(1, 16),
    parameters=36,
    steps=(step("up", "region"), step("down", "region"), step("out", "scatter")),
    skipped=(Skipped("rnn", "LSTM", Reason(Cause.NOT_CONSTANT, "computed"), 4),),
    inline=(("local", "Linear", ""),),
    annealing=(
        Annealing(node="up", weight="W", shape=(2, 2), sha256="ab", evidence=EVIDENCE, removed=1,
                  mask=pack_mask(np.eye(2, dtype=bool))),
    ),
    effect="argmax 0",
    preparations=PREPARATIONS,
    refused=(Refused(kind="branches", nodes=("a", "b"), gain=0.5, reason=WHY),),
    reorderings=(Reordering(value="h", axis=1, order=[2, 0, 1]),),
    regions=(RegionSplit(nodes=("up", "down"), gain=2.0, reason="together"),),
    grain=Grain(parts=2),
    wanted=Wanted.of("up=split"),
)  # fmt: skip
DATA = json.loads(RICH.dumps())

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=4) | st.just("0-99999999"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def places(data, path=()):
    """The path of every value inside of JSON."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = list(places(DATA))


@given(st.sampled_from(PLACES), st.sampled_from(["replace", "remove", "add", "double"]), values)
def test_every_damage_is_a_plan_or_told_in_words(path, how, value):
    data = json.loads(RICH.dumps())
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    if how == "remove":
        del holder[path[-1]]
    elif how == "add" and isinstance(holder, dict):
        holder["surprise"] = value
    elif how == "double" and isinstance(holder, list):
        holder.append(holder[path[-1]])
    else:
        holder[path[-1]] = value
    try:
        found = Plan.loads(json.dumps(data))
    except PlanError as error:
        said = re.sub(r"'[^']*'|\"[^\"]*\"", "", str(error))  # what the plan itself says is not ours
        assert not SPOKEN.search(said), str(error)
        assert "\n" not in str(error)
    else:
        assert Plan.loads(found.dumps()) == found


def test_every_kind_of_preparation_is_damaged():
    assert {one.kind for one in RICH.preparations} == {one.kind for one in KINDS}


def test_every_field_that_is_missing_or_unknown_is_named_where_it_is():
    for path in PLACES:
        data = json.loads(RICH.dumps())
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        if not isinstance(holder, dict) or path[:1] == ("wanted",):
            continue
        holder["surprise"] = 1
        try:
            Plan.loads(json.dumps(data))
        except PlanError as error:
            assert "'surprise'" in str(error) or path[0] == "grain", str(error)
        else:
            raise AssertionError(f"{path}: nobody noticed")


def test_a_step_is_named_once():
    data = json.loads(RICH.dumps())
    data["steps"][2]["lowering"] = "magic"
    try:
        Plan.loads(json.dumps(data))
    except PlanError as error:
        assert str(error).startswith("steps[2] (out): unknown lowering 'magic'; use one of dense, scatter")
