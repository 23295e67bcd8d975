"""How a region is entered and left; that it computes the same is in test_branches.py."""

import numpy as np
import onnx
import onnxruntime
import oracles
import pytest
from reference import model, node
from regions import RUNS, checked, dense_plan, done, grown, joined, looked_at
from shared_axes import blocked, groups

import scission


def proto_of(order, rank=2, up=2, between=()):
    """Linears of 8 features in two blocks, of which the outer ones are in order or not; `up` of them read x."""
    rng = np.random.default_rng(0)
    outer = groups(rng, 8, 2, shuffled=order != "natural")
    units = groups(rng, 8, 2, shuffled=False)
    weights = {f"U{i}": blocked(rng, outer, units) for i in range(up)} | {"V": blocked(rng, units, outer)}
    nodes = [node("MatMul", f"x U{i}", f"h{i}", f"up{i}") for i in range(up)]
    nodes += [
        node("Sum", " ".join(f"h{i}" for i in range(up)), "g", "sum"),
        *between,
        node("MatMul", "g V", "y", "down"),
    ]
    return model(nodes, {"x": ([*["N", "S"][: rank - 1], 8], np.float64)}, {"y": (None, np.float64)}, weights)


def applied(proto, layout="features_last", blocks_per_node=1):
    seen = looked_at(proto)
    (region,) = grown(seen)
    return scission.apply(
        proto, joined(dense_plan(proto), seen, [(region, region.decompositions)], layout, blocks_per_node)
    )


def operators(changed, word):
    return [one.op_type for one in changed.graph.node if f"/{word}/" in one.name]


def test_what_is_in_order_is_only_cut_and_joined():
    changed = applied(proto_of("natural"))
    assert operators(changed, "enter") == ["Split"] and operators(changed, "leave") == ["Concat"]


def test_features_are_brought_in_order_once_for_all_that_read_them():
    changed = applied(proto_of("shuffled", up=3))
    assert operators(changed, "enter") == ["Expand", "GatherElements", "Split"]
    assert operators(changed, "leave") == ["Concat", "Expand", "GatherElements"]


def test_with_features_first_rows_are_copied():
    changed = applied(proto_of("shuffled", up=2), "features_first")
    assert operators(changed, "enter") == ["Transpose"]
    assert operators(changed, "leave") == ["Concat", "Gather", "Transpose", "Reshape"]  # an output of the graph
    natural = applied(proto_of("natural"), "features_first")
    assert operators(natural, "leave") == ["Transpose", "Transpose", "Concat"]


@pytest.mark.parametrize("rank", [2, 3])
def test_one_gather_picks_a_whole_stack_and_one_puts_its_results_in_order(rank):
    changed = applied(proto_of("shuffled", rank, up=2), "stacked", 2)
    assert operators(changed, "enter") == ["Transpose", "Reshape"]
    assert operators(changed, "leave") == ["Transpose", "Reshape", "Gather"]
    names = [one.op_type for one in changed.graph.node]
    assert names.count("Gather") == 2 and names.count("MatMul") == 3 and "GatherElements" not in names
    natural = applied(proto_of("natural", rank, up=2), "stacked", 2)
    assert "Gather" not in [one.op_type for one in natural.graph.node]


def test_a_stack_has_a_first_axis():
    changed = applied(proto_of("natural"), blocks_per_node=2)
    assert operators(changed, "enter") == ["Reshape", "Transpose", "Reshape"]
    assert operators(changed, "leave") == ["Transpose", "Reshape"]


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("order", ["natural", "shuffled"])
def test_every_way_in_and_out(order, rank):
    ways, _ = done(checked(proto_of(order, rank), RUNS))
    assert len(ways) == (5 if rank == 2 else 3)


def test_features_that_nobody_reads_stay_outside():
    """Two windows of the input: no feature is moved."""
    rng = np.random.default_rng(0)
    units = [[0, 1], [2, 3]]
    U = np.zeros((9, 4))
    U[1:4, :2] = U[5:8, 2:] = 1
    proto = model(
        [node("MatMul", "x U", "h", "up"), node("MatMul", "h V", "y", "down")],
        {"x": (["N", 9], np.float64)},
        {"y": (None, np.float64)},
        {"U": U, "V": blocked(rng, units, units)},
    )
    changed = applied(proto)
    assert [one.op_type for one in changed.graph.node].count("Slice") == 2 and not operators(changed, "enter")
    assert len(done(checked(proto))[0]) == 5


@pytest.mark.parametrize("blocks_per_node", [1, 2])
@pytest.mark.parametrize("order", ["natural", "shuffled"])
def test_a_vector_behind_a_region_reads_what_it_read(order, blocks_per_node):
    """ONNX Runtime moves Transposes behind a Concat of them, and takes a vector there for one of what they read."""
    rng = np.random.default_rng(1)
    outer, units = groups(rng, 12, 3, shuffled=order != "natural"), groups(rng, 12, 3, shuffled=False)
    held = {"U": blocked(rng, outer, units), "V": blocked(rng, units, outer), "v": rng.standard_normal(12)}
    proto = model(
        [node("MatMul", "x U", "h", "up"), node("MatMul", "h V", "g", "down"), node("MatMul", "g v", "y", "vector")],
        {"x": (["N", 12], np.float32)},
        {"y": (None, np.float32)},
        {name: array.astype(np.float32) for name, array in held.items()},
    )
    changed = applied(proto, "features_first", blocks_per_node)
    assert operators(changed, "leave")[-2:] == ["Unsqueeze", "Squeeze"]
    feeds = {"x": rng.standard_normal((12, 12)).astype(np.float32)}
    wanted = oracles.run(proto, feeds)
    for optimised in (False, True):
        oracles.assert_close(wanted, oracles.run(changed, feeds, optimised))


def biased(order, behind=(), outputs=("y",), rows="S"):
    """A network of two linears with biases, the second of which writes d, in three dimensions."""
    rng = np.random.default_rng(1)
    outer, units = groups(rng, 8, 2, shuffled=order != "natural"), groups(rng, 12, 2, shuffled=False)
    constants = {"U": blocked(rng, outer, units), "V": blocked(rng, units, outer), "b": rng.standard_normal(12)}
    constants |= {"c": rng.standard_normal(8), "s": rng.standard_normal(8), "z": rng.standard_normal(8)}
    nodes = [node("MatMul", "x U", "h0", "up"), node("Add", "h0 b", "h", "up/bias"), node("Relu", "h", "g", "act")]
    nodes += [node("MatMul", "g V", "d0", "down"), node("Add", "d0 c", "d", "down/bias"), *behind]
    constants = {name: value.astype(np.float32) for name, value in constants.items()}
    return model(nodes, {"x": ([2, rows, 8], np.float32)}, dict.fromkeys(outputs, (None, np.float32)), constants)


NORMALISED = [node("Add", "x d", "r", "residual"), node("LayerNormalization", "r s z", "y", "norm")]


@pytest.mark.parametrize("order", ["natural", "shuffled"])
def test_the_bias_of_what_leaves_a_stack_is_taken_in_by_the_normalisation_behind(order, tmp_path):
    changed = applied(biased(order, NORMALISED, rows=3), "stacked", 2)
    assert operators(changed, "leave")[-1] == "Add" and operators(changed, "blocks.0-1").count("Add") == 1
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fused = [one for one in onnx.load(tmp_path / "fused.onnx").graph.node if one.op_type == "SkipLayerNormalization"]
    assert [len(one.input) for one in fused] == [5]  # the last one is the bias


def test_a_bias_that_the_region_reads_itself_is_added_to_its_stacks():
    behind = [node("Tanh", "d", "e", "act2"), node("MatMul", "e U", "y", "third")]
    changed = applied(biased("shuffled", behind, ("y", "d")), "stacked", 2)
    assert "Add" not in operators(changed, "leave") and operators(changed, "blocks.0-1").count("Add") == 2


@pytest.mark.parametrize("order", ["natural", "shuffled"])
@pytest.mark.parametrize(
    ("behind", "outputs"),
    [
        (NORMALISED, ("y",)),
        ([node("Identity", "d", "y", "same")], ("y", "d")),
        ([node("Mul", "d d", "y", "square")], ("y",)),
        ([node("Tanh", "d", "e", "act2"), node("MatMul", "e U", "y", "third")], ("y", "d")),
    ],
)
def test_biases_are_added_once_wherever_they_are_added(order, behind, outputs):
    proto = biased(order, behind, outputs)
    changed = applied(proto, "stacked", 2)
    rng = np.random.default_rng(2)
    for rows in (3, 1, 0):
        feeds = {"x": rng.standard_normal((2, rows, 8)).astype(np.float32)}
        for optimised in (False, True):
            pairs = zip(oracles.run(proto, feeds, optimised), oracles.run(changed, feeds, optimised), strict=True)
            for before, after in pairs:
                np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max(initial=1))
