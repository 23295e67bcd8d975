import math

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from oracles import run

from scission.models.planted import ffn as planted_ffn
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import decompose

SIZES = {"d": 24, "hidden": 48, "blocks": 4}
NAMES = {"up": "U", "gate": "G", "down": "V"}
erf = np.vectorize(math.erf)

GATES = {"geglu": "gelu", "reglu": "relu", "swiglu": "silu"}
ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / 2**0.5)) / 2,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def built(seed=0, **options):
    return planted_ffn.build(np.random.default_rng(seed), **{**SIZES, **options})


def constants(planted):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in planted.model.graph.initializer}


def reference(planted, x, activation):
    """The definition, in float64."""
    gated = activation in GATES
    x, act = x.astype(np.float64), ACTIVATIONS[GATES.get(activation, activation)]
    known = {name: value.astype(np.float64) for name, value in constants(planted).items()}
    if gated:
        return (act(x @ known["G"]) * (x @ known["U"])) @ known["V"]
    return act(x @ known["U"] + known["b1"]) @ known["V"] + known["b2"]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_the_truth_is_what_is_found_in_each_weight(activation, shuffle):
    planted = built(activation=activation, shuffle=shuffle)
    known = constants(planted)
    assert list(planted.truth) == (["up", "gate", "down"] if activation in GATES else ["up", "down"])
    for name, truth in planted.truth.items():
        found = decompose(components(known[NAMES[name]]))
        assert found.shape == truth.shape and set(found.blocks) == set(truth.blocks)
        assert sum(i * o for i, o in (b.shape for b in truth.blocks)) == np.count_nonzero(known[NAMES[name]])


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("leading", [("batch",), ("batch", "sequence")])
def test_it_computes_its_definition_with_outputs_of_order_one(leading, dtype, activation):
    planted = built(dtype=dtype, activation=activation, leading=leading)
    onnx.checker.check_model(planted.model, full_check=True)
    x = np.random.default_rng(1).standard_normal((5, 7, SIZES["d"])[2 - len(leading) :]).astype(dtype)
    (y,) = run(planted.model, {"x": x})
    assert y.dtype == dtype and y.shape == x.shape
    expected = reference(planted, x, activation)
    assert np.abs(y - expected).max() <= (2e-2 if dtype is np.float16 else 1e-5)
    assert 0.3 < expected.std() < 3


@pytest.mark.parametrize("activation", [*ACTIVATIONS, *GATES])
def test_every_activation_with_and_without_a_gate(activation):
    planted = built(activation=activation)
    x = np.random.default_rng(2).standard_normal((3, SIZES["d"])).astype(np.float32)
    (y,) = run(planted.model, {"x": x})
    assert np.abs(y - reference(planted, x, activation)).max() <= 1e-5


def test_hidden_units_of_a_block_are_those_of_both_products():
    truth = built(activation="swiglu").truth
    units = {tuple(block.outputs) for block in truth["up"].blocks}
    assert units == {tuple(block.inputs) for block in truth["down"].blocks}
    assert units == {tuple(block.outputs) for block in truth["gate"].blocks}
    assert set(truth["gate"].blocks) == set(truth["up"].blocks)


def test_shuffle_hides_each_axis_on_its_own():
    hidden, plain = built().truth, built(shuffle=False).truth
    assert all(np.ptp(b.inputs) == b.inputs.size - 1 for truth in plain.values() for b in truth.blocks)
    axes = [[b.inputs for b in hidden["up"].blocks], [b.outputs for b in hidden["up"].blocks]]
    axes += [[b.outputs for b in hidden["down"].blocks]]
    assert not any(np.ptp(part) == part.size - 1 for parts in axes for part in parts)
    assert {tuple(part) for part in axes[0]} != {tuple(part) for part in axes[2]}


def test_gelu_is_spelt_out_as_it_is_exported():
    nodes = built().model.graph.node
    assert [node.op_type for node in nodes] == ["MatMul", "Add", "Div", "Erf", "Add", "Mul", "Mul", "MatMul", "Add"]


def test_the_batch_may_be_fixed():
    shape = built(leading=(8, "sequence")).model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value or dim.dim_param for dim in shape] == [8, "sequence", SIZES["d"]]


def test_no_edge_is_lost_in_float16():
    W, truth = planted_ffn.weight_between(np.random.default_rng(0), [np.arange(4096)], [np.arange(8)], dtype=np.float16)
    assert W.all() and np.abs(W).min() > 1e-3 and truth.mac_share == 1


def test_the_same_seed_gives_the_same_model():
    assert built(3).model == built(3).model != built(4).model


@pytest.mark.parametrize("options", [{"d": 25}, {"hidden": 50}, {"blocks": 5}, {"blocks": 0}])
def test_sizes_that_do_not_make_equal_blocks_are_refused(options):
    with pytest.raises(ValueError, match="do not make"):
        built(**options)


def test_unknown_activations_are_refused():
    with pytest.raises(ValueError, match="unknown activation 'swish'"):
        built(activation="swish")
