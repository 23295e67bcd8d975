"""Models in layers compute the same: each layer is given what the one before it makes."""

import numpy as np
import onnx
import pytest
from layered_models import DENSE, SPLIT, Stack
from random_parts import difference, run_model, without_node_names

from scission.ir.io.load import load
from scission.ir.io.serial import to_proto
from scission.ir.reason import Reason
from scission.passes.rewrite.parts.layers import layered
from scission.passes.rewrite.parts.narrowed import narrowed


def put_together(model, feed):
    source = load(model)
    found = layered(source.graph)
    assert not isinstance(found, Reason)
    there = dict(feed)
    for layer in found.layers:
        made = {}
        for one in layer:
            proto = to_proto(source, narrowed(one.whole, one.needed, "p"))
            onnx.checker.check_model(proto)
            given = {share.value: np.ascontiguousarray(share.of(there[share.value])) for share in one.reads}
            for name, value in run_model(proto, given).items():
                share = next(share for share in one.writes if share.value == name)
                shape = [share.size.get(axis, extent) for axis, extent in enumerate(value.shape)]
                made.setdefault(name, np.full(shape, np.nan, np.float32))[share.where(value.ndim)] = value
        there |= made
    return found, {value.name: there[value.name] for value in model.graph.output}


@pytest.mark.parametrize(
    ("kinds", "counts"),
    [
        ([SPLIT], [3]),
        ([DENSE, SPLIT], [3]),  # each computes what it needs of the first product, and no two the same
        ([DENSE, DENSE, SPLIT], [1, 3]),
        ([SPLIT, DENSE], [3, 1]),
        ([DENSE, DENSE, SPLIT, DENSE], [1, 3, 1]),
        ([SPLIT, "norm", SPLIT], [3, 1, 3]),
        ([SPLIT, SPLIT], [3, 3]),
        ([DENSE, DENSE, SPLIT, DENSE, DENSE, SPLIT], [1, 3, 1, 3]),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_falls_apart_between_two_values_is_cut_there(kinds, counts, seed):
    model = Stack(seed).model(kinds)
    feed = {"x": np.random.default_rng(seed).standard_normal((5, 12)).astype(np.float32)}
    found, made = put_together(model, feed)
    assert [len(layer) for layer in found.layers] == counts and len(found.between) == len(counts) - 1
    assert difference(run_model(model, feed), made) <= 1e-4
    assert all(one.rows for layer in found.layers for one in layer)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_values_between_layers_may_be_outputs_of_the_model(seed, named):
    """Any values of the model are outputs too, those at which layers end among them: each is written, once."""
    rng = np.random.default_rng(seed)
    made = Stack(seed)
    model = made.model([[SPLIT, DENSE], [SPLIT, SPLIT], [DENSE, DENSE, SPLIT, DENSE], [SPLIT, "norm", SPLIT]][seed % 4])
    plain = layered(load(model).graph)
    inner = [node.output[0] for node in model.graph.node][:-1]
    ends = [value.name for value in plain.between]
    watched = dict.fromkeys([*rng.choice(ends, 1), *rng.choice(inner, int(rng.integers(0, 3)))])
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, ["n", 12]) for name in watched)
    model = model if named else without_node_names(model)
    feed = {"x": rng.standard_normal((5, 12)).astype(np.float32)}
    found, results = put_together(model, feed)
    assert len(found.layers) > 1 and not {value.name for value in found.between} & {*watched}
    assert difference(run_model(model, feed), results) <= 1e-4


@pytest.mark.parametrize("kinds", [[DENSE], [DENSE, DENSE], [DENSE, "norm", DENSE]])
def test_what_falls_apart_nowhere_is_not_cut(kinds):
    assert isinstance(layered(load(Stack(0).model(kinds)).graph), Reason)


def test_a_value_that_goes_around_a_layer_keeps_it_whole():
    made = Stack(0)
    made.model([DENSE])
    first = made.value
    model = made.model([SPLIT, DENSE])
    made.op("Add", made.value, first)
    model = made.model([])
    assert isinstance(layered(load(model).graph), Reason)


def test_a_layer_that_is_hardly_worth_anything_is_none():
    made = Stack(0, width=12)
    model = made.model([DENSE] * 40 + [SPLIT])
    assert isinstance(layered(load(model).graph), Reason)
