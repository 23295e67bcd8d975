import numpy as np
import oracles
import pytest
from obstacle_examples import TAKE_NO_RESIDUAL

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.models.planted.products import KINDS, build
from scission.passes.anneal.obstacle import obstacle

W = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)


def linears(model):
    return view(load(model).graph).found.linears


@pytest.mark.parametrize("kind", KINDS)
def test_only_quantised_weights_cannot_be_annealed(kind):
    for linear in linears(build(np.random.default_rng(0), kind).model):
        reason = obstacle(linear)
        assert (reason is not None and reason.cause is Cause.QUANTISED) == ("dequantize" in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_residual_entries_need_features_on_the_last_axis_and_no_activation_function(kind):
    for linear in linears(build(np.random.default_rng(0), kind).model):
        reason = obstacle(linear, residual=True)
        assert (reason is not None) == any(word in kind for word in TAKE_NO_RESIDUAL), reason
        if "relu" in kind:
            assert reason.cause is Cause.FUSED


def test_a_weight_that_is_read_twice_is_left_alone():
    nodes = [("Gemm", ["x", "W", "W"], ["y"])]
    (linear,) = linears(oracles.graph(nodes, {"x": ["m", 4]}, {"y": ["m", 4]}, {"W": W}))
    assert "twice" in obstacle(linear).text
