"""The plan: which linear is split into which blocks, how, and why the others are not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..brief import brief
from ..errors import Remedy
from ..graph.addressing import meant
from ..graph.skipped import Skipped
from ..notebook import as_html
from ..plural import counted
from ..reason import Cause, Reason
from ..record import Record, shown
from .annealing import Annealing, AnnealingError
from .axis_order import Reordering
from .codec import MOST, require_few, step_from_dict, step_to_dict, without_predictions
from .decomposition import Block, Decomposition, Indices, PlanError
from .factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from .grain import Grain
from .merged_branches import MergedBranches
from .preparation import PREPARED, FixedSizes, Preparation, Refused
from .region_split import RegionSplit
from .removed_channels import RemovedChannels
from .rewritten_convolution import RewrittenConvolution
from .rewritten_forest import RewrittenForest
from .step import DECIDED, States, Step, common_rows
from .wanted import LoweringName, Wanted

__all__ = [
    "KINDS",
    "VERSION",
    "Block",
    "Decomposition",
    "Indices",
    "LoweringName",
    "Plan",
    "PlanError",
    "States",
    "Step",
    "common_rows",
    "preparation_from_dict",
    "require_plan",
    "told",
]

VERSION = 1  # of the format of plans as files
KINDS: tuple[type[Preparation], ...] = (  # in the order in which they are done
    *(FixedSizes, RewrittenForest, FramedProduct, RewrittenConvolution, HierarchicalWeight),
    *(FactoredWeight, RemovedChannels, MergedBranches),
)
PLAN_AGAIN = Remedy("`scission.plan`", "`scission plan -o`")
RESIDUAL = "/residual/"  # in the names of nodes that annealing adds to a linear, behind its address
SHOWN = 8  # nodes named in a message


def require_plan(plan: Any) -> Plan:
    """The plan itself; raises PlanError for anything else, such as the file that holds one."""
    if not isinstance(plan, Plan):
        raise PlanError(f"a plan is wanted, not a {type(plan).__name__}; read a file of one with scission.Plan.loads")
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decompositions and lowerings chosen for a whole model; printable, serialisable, checkable.

    model: name of the file it was made for; batch: sizes of the leading open dimension that costs were predicted for;
    provider: 'cpu' or 'cuda'; tf32: whether factors of float32 products are meant to be rounded to 10 bits there, None
    on the CPU; parameters: entries of all constant tensors of the model, the whole of every share;
    repeated: operators whose matrices are all read by one before them, so that sums of parameters leave them out;
    inline: local functions whose bodies take the place of their calls, because weights are among their arguments;
    annealing: weights to remove before anything is split, the only lossy part, empty by default: steps are about the
    model that it leaves; effect: what that was measured to do, in one line; preparations: what else is done before
    anything is split, which is exact; refused: what could have been, and why it is not; reorderings: shared axes whose
    features get another order, before anything is split as well; regions: linears that are split together, whose
    lowering is 'region'; grain, wanted: what was asked for and not left to prices, of blocks and of lowerings;
    analysed: how components were found, which changes nothing and is not written down. Raises PlanError when a region
    names no such step or its steps have not as many blocks, or a step is in no region.

    >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1, 256), parameters=0, steps=(), skipped=())
    >>> Plan.loads(plan.dumps()) == plan
    True
    """

    model: str
    provider: str
    batch: tuple[int, ...]
    parameters: int
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    tf32: bool | None = None
    repeated: tuple[str, ...] = ()
    inline: tuple[tuple[str, str, str], ...] = ()
    annealing: tuple[Annealing, ...] = ()
    effect: str = ""
    preparations: tuple[Preparation, ...] = ()
    refused: tuple[Refused, ...] = ()
    reorderings: tuple[Reordering, ...] = ()
    regions: tuple[RegionSplit, ...] = ()
    grain: Grain = field(default_factory=Grain)
    wanted: Wanted = field(default_factory=Wanted)
    analysed: str = field(default="", compare=False)

    __repr__ = brief
    _repr_html_ = as_html(("model", "provider", "batch", "done"), preparations=PREPARED, steps=DECIDED)

    def __post_init__(self) -> None:
        known = {step.node: step for step in self.steps}
        joined = {node for region in self.regions for node in region.nodes}
        for node, count in Counter(step.node for step in self.steps).items():
            if count > 1 and node in joined:
                raise PlanError(f"{node}: the plan has two steps for it; remove one")
        steps = {node: step for node, step in known.items() if step.lowering == "region"}
        for region in self.regions:
            for node in region.nodes:
                if node not in known:
                    raise PlanError(f"{node}: a region names it, but the plan has no step for it")
                if known[node].lowering != "region":
                    raise PlanError(f"{node}: a region names it, but the lowering of its step is not 'region'")
                if steps.pop(node, None) is None:
                    raise PlanError(f"{node}: two regions name it")
            if len({len(known[node].decomposition.blocks) for node in region.nodes}) != 1:
                raise PlanError(f"{region.nodes[0]}: the steps of its region have not all as many blocks")
        if steps:
            raise PlanError(f"{next(iter(steps))}: its lowering is 'region', but no region names it")

    @property
    def rewrites(self) -> tuple[Step, ...]:
        """The steps that change the graph."""
        return tuple(step for step in self.steps if step.lowering != "dense")

    @property
    def left_alone(self) -> tuple[Skipped, ...]:
        """What stays as it is, steps and other operators, without the parameters of those that are `repeated`."""
        dense = [Skipped(step.node, step.op, step.reason, step.parameters) for step in self.steps]
        kept = [one for one, step in zip(dense, self.steps, strict=True) if step.lowering == "dense"]
        again = set(self.repeated)
        return tuple(replace(one, parameters=0) if one.node in again else one for one in (*kept, *self.skipped))

    @property
    def changes(self) -> bool:
        """Whether it changes the graph, be it by what is done before anything is split."""
        return bool(self.preparations or self.rewrites)

    @property
    def done(self) -> str:
        """What it does, in one line for people: '1,843 channels removed, 3 of 12 operators split'.

        >>> Plan(model="m.onnx", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=()).done
        '0 of 0 operators split'
        """
        own = [step for step in self.steps if step.reason.cause is not Cause.ALREADY_SPLIT]
        split = [f"{len(self.rewrites)} of {counted(len(own), 'operator')} split"]
        return ", ".join(told(self.preparations) + (split if self.rewrites or not self.preparations else []))

    @property
    def sha256(self) -> str:
        """The SHA-256, as hexadecimal digits, of what the plan does to a model, whatever was predicted of it.

        The weights are part of it by the SHA-256 of each, so that it differs where they were annealed otherwise.

        >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=())
        >>> plan.sha256 == replace(plan, model="other.onnx", batch=(64,)).sha256
        True
        """
        done: dict[str, list[dict[str, Any]]] = {
            "steps": [step_to_dict(step) for step in self.rewrites],
            "regions": [region.to_dict() for region in self.regions],
            "reorderings": [reordering.to_dict() for reordering in self.reorderings],
            **({"preparations": [one.to_dict() for one in self.preparations]} if self.preparations else {}),
        }
        bare = {what: [without_predictions(one) for one in values] for what, values in done.items()}
        return hashlib.sha256(json.dumps([self.provider, self.inline, bare]).encode()).hexdigest()

    def rows_of(self, nodes: Collection[str]) -> tuple[int, ...]:
        """The activation rows that costs of these linears together are predicted for."""
        return common_rows([step for step in self.steps if step.node in nodes]) or self.batch

    def restored(self, nodes: Collection[str]) -> Plan:
        """The same plan that leaves these linears as the original has them, neither annealed nor split.

        nodes: addresses, or names of weights, which mean all that read them. Raises PlanError when one of them is not
        annealed.
        """
        known = {one.node for one in self.annealing}
        weights = {one.node: (one.weight,) for one in self.annealing}
        missing = sorted(name for name in set(nodes) if not meant(name, weights))
        nodes = {node for name in nodes for node in meant(name, weights)}
        if missing:
            shown = ", ".join(sorted(known)[:SHOWN]) + (", …" if len(known) > SHOWN else "")
            raise PlanError(
                f"{missing[0]}: the plan does not anneal it, so there is nothing to restore; it anneals "
                f"{shown or 'nothing'}"
            )
        left = tuple(one for one in self.annealing if one.node not in nodes)
        return self.kept_dense(nodes, Reason(Cause.RESTORED, "restored from the original")).with_annealing(left)

    def with_annealing(self, annealing: tuple[Annealing, ...], effect: str = "") -> Plan:
        """The same plan that anneals these of its linears only; products of residual entries go with those that
        they stood beside.

        effect: what that was measured to do.
        """
        kept = {one.node for one in annealing}
        gone = tuple(f"{step.node}{RESIDUAL}" for step in self.steps if step.node not in kept)
        steps = tuple(step for step in self.steps if not step.node.startswith(gone))
        return replace(self, annealing=annealing, effect=effect, steps=steps)

    def kept_dense(self, nodes: Collection[str], reason: Reason) -> Plan:
        """The same plan that leaves these linears dense; those that were to be split together with one of them are
        split alone, by 'scatter', which suits every linear.

        >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=())
        >>> plan.kept_dense(["none of it"], Reason(Cause.SLOWER, "why")) == plan
        True
        """
        broken = [region for region in self.regions if not set(nodes).isdisjoint(region.nodes)]
        alone = {node for region in broken for node in region.nodes} - set(nodes)
        steps = tuple(
            replace(step, lowering="dense", reason=reason)
            if step.node in nodes
            else (replace(step, lowering="scatter") if step.node in alone else step)
            for step in self.steps
        )
        return replace(self, steps=steps, regions=tuple(region for region in self.regions if region not in broken))

    def __str__(self) -> str:
        width = max((len(step.node) for step in self.steps), default=0)
        lines = [f"{step.node:{width}}  {step.lowering:7}  {step.reason}" for step in self.steps]
        return "\n".join(
            [f"plan for {self.model}: {self.done}", *(str(one.reason) for one in self.preparations), *lines]
        )

    def dumps(self) -> str:
        """The plan as JSON text, one line per step, blocks as index ranges ("0-99,104")."""
        head = {
            "version": VERSION,
            "model": self.model,
            "provider": self.provider,
            "batch": list(self.batch),
            "parameters": self.parameters,
            "inline": [list(function) for function in self.inline],
        }
        if self.tf32 is not None:
            head["tf32"] = self.tf32
        if self.repeated:
            head["repeated"] = list(self.repeated)
        if self.effect:
            head["effect"] = self.effect
        head |= {name: asked.to_dict() for name, asked in (("grain", self.grain), ("wanted", self.wanted)) if asked}
        body = json.dumps(head, indent=1)[:-2]
        steps = ",\n  ".join(json.dumps(step_to_dict(step)) for step in self.steps)
        skipped = ",\n  ".join(json.dumps(skip.to_dict()) for skip in self.skipped)
        for name in ("annealing", "preparations", "refused", "reorderings", "regions"):
            if values := getattr(self, name):
                lines = ",\n  ".join(json.dumps(one.to_dict()) for one in values)
                body += f',\n "{name}": [\n  {lines}\n ]'
        return f'{body},\n "steps": [\n  {steps}\n ],\n "skipped": [\n  {skipped}\n ]\n}}\n'

    @staticmethod
    def loads(text: str, *, most: int = MOST) -> Plan:
        """Read `dumps` back; most: indices of features that it may name in all, for a plan that comes from a stranger.

        Raises PlanError naming the step that is wrong.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise PlanError(f"the plan is not JSON ({error}); make it again") from None
        except RecursionError:
            raise PlanError("the plan is not JSON: it is nested too deeply; make it again") from None
        except ValueError:
            raise PlanError("the plan is not JSON: a number in it has too many digits; make it again") from None
        if not isinstance(data, dict) or not {"version", "schema"} & data.keys():
            raise PlanError("this JSON is not a scission plan: it has no 'version'")
        version = data.pop("version", None)
        if type(version) is not int or version != VERSION:
            older = version is None and "schema" in data
            told = f"the older schema {shown(data['schema'])}" if older else f"version {shown(version)}"
            raise PlanError(f"the plan has {told}, this scission reads version {VERSION}; plan again with ", PLAN_AGAIN)
        require_few(data, most)
        head = Record.of(data, "the plan", PlanError)
        try:
            found = _read(head)
        except AnnealingError as error:
            raise PlanError(str(error)) from None
        head.done()
        return found


def _read(head: Record) -> Plan:
    """The plan of its fields, which are taken out of the record."""
    batch = head.items("batch")
    if not all(type(size) is int and size > 0 for size in batch):
        raise head.wrong(f"'batch' is {shown(batch)}, which is no list of sizes")
    inline = head.items("inline")
    if not all(
        isinstance(one, list) and len(one) == 3 and all(isinstance(each, str) for each in one) for one in inline
    ):
        raise head.wrong("'inline' is no list of functions [domain, name, overload]")
    return Plan(
        model=head.text("model"),
        provider=head.text("provider"),
        batch=tuple(batch),
        parameters=head.whole("parameters"),
        tf32=head.flag("tf32", default=None),
        repeated=head.texts("repeated"),
        steps=tuple(step_from_dict(index, step) for index, step in enumerate(head.items("steps"))),
        skipped=tuple(
            Skipped.from_dict(one, f"skipped[{index}]", PlanError) for index, one in enumerate(head.items("skipped"))
        ),
        inline=tuple((d, n, o) for d, n, o in inline),
        annealing=tuple(Annealing.from_dict(one) for one in head.items("annealing", default=[])),
        effect=head.text("effect", default=""),
        preparations=tuple(
            preparation_from_dict(one, f"preparations[{index}]")
            for index, one in enumerate(head.items("preparations", default=[]))
        ),
        refused=tuple(
            Refused.from_dict(one, f"refused[{index}]") for index, one in enumerate(head.items("refused", default=[]))
        ),
        reorderings=tuple(Reordering.from_dict(one) for one in head.items("reorderings", default=[])),
        regions=tuple(RegionSplit.from_dict(one) for one in head.items("regions", default=[])),
        grain=Grain.from_dict(head.any("grain", default={})),
        wanted=Wanted.from_dict(head.any("wanted", default={})),
    )


def preparation_from_dict(data: Any, where: str = "a preparation") -> Preparation:
    """A preparation of any kind from JSON; where: what messages begin with.

    Raises PlanError for a kind that is none, and for malformed fields.
    """
    record = Record.of(data, where, PlanError)
    kind, known = record.text("kind"), {one.kind: one for one in KINDS}
    if kind not in known:
        raise record.wrong(f"'kind' is {shown(kind)}, which is none of {', '.join(known)}")
    return known[kind].from_dict(data, f"{where} ({kind})")


def told(found: Sequence[Preparation]) -> list[str]:
    """What preparations do, for people, a text a kind."""
    own = [(one, [each for each in found if isinstance(each, one)]) for one in KINDS]
    return [one.total(each) for one, each in own if each]
