import numpy as np
import oracles
import pytest
from onnx import helper as h
from small_models import made

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.planted.products import KINDS, build, feeds
from scission.runtime.calibrate.activations import activations, behind, observable

SLICED = ("conv-window", "conv-window-1d", "conv-transpose", "matmul-stack", "matmul-stack-shared")
ELSEWHERE = {"if": "subgraph", "loop": "subgraph", "scan": "subgraph", "function": "function"}
ELSEWHERE |= dict.fromkeys(SLICED, "several matrices")


def product(linear, constants, x):
    """y = alpha * x W + beta * bias, and the Relu that the operator applies or that stands behind it."""
    y = linear.alpha * (x.astype(np.float64) @ linear.canonical(constants))
    if linear.bias is not None and linear.bias.via is None:
        y = y + linear.beta * constants.read(linear.bias.value).astype(np.float64).reshape(-1)
    return np.maximum(y, 0) if linear.fused or behind(linear) is not linear.output else y


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_are_those_that_the_operator_multiplies(kind):
    planted, model, found = made(kind)
    kept, skipped = observable(model, found.linears)
    if kind in ELSEWHERE:
        assert not kept and len(skipped) == len(found.linears)
        assert all(ELSEWHERE[kind] in str(skip.reason) and skip.parameters > 0 for skip in skipped)
        return
    assert kept == found.linears and not skipped
    data = feeds(np.random.default_rng(0), planted)
    seen = list(activations(model, kept, [data]))
    assert [linear.address for linear, _, _ in seen] == [linear.address for linear in kept]
    for linear, x, y in seen:
        assert x.shape == (len(y), linear.shape[0]) and y.shape[1] == linear.shape[1] and len(x)
        assert x.dtype == y.dtype == linear.dtype.numpy()
        if linear.addend is None:
            rough = y.itemsize < 4 or "dequantize" in kind  # ONNX Runtime may multiply quantised weights as integers
            expected = product(linear, found.constants, x).astype(y.dtype)
            oracles.assert_close([expected], [y], rtol=1e-2 if rough else 1e-5)


@pytest.mark.parametrize("pads", [False, True])
def test_automatic_padding_of_one_pixel_is_none(pads):
    planted = build(np.random.default_rng(0), "conv-1d-strides-pads")
    (node,) = [node for node in planted.model.graph.node if node.op_type == "Conv"]
    kept = [attribute for attribute in node.attribute if pads or attribute.name != "pads"]
    del node.attribute[:]
    node.attribute.extend([*kept, h.make_attribute("auto_pad", "NOTSET" if pads else "SAME_UPPER")])
    model = load(planted.model)
    found = survey(model.graph)
    ((linear, x, y),) = activations(model, found.linears, [feeds(np.random.default_rng(0), planted, 5)])
    assert len(x) == 5 * (4 if pads else 3), "five pixels in steps of two, with one more on either side"
    np.testing.assert_allclose(product(linear, found.constants, x), y, rtol=1e-4, atol=1e-5)
