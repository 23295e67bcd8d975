import numpy as np
import pytest
from perturbed import run
from projectable import two_layers
from sampled_products import moments, samples

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.plan.plan import PlanError
from scission.passes.factor.nearest import MonarchSplit
from scission.passes.lowering.linear.lowerings import LOWERINGS
from scission.passes.lowering.target import Target
from scission.passes.projection.forms import BlockLowRankForm, LowRankForm, MonarchForm, fitted
from scission.passes.rewrite.pruning.put_products import put_products
from scission.passes.rewrite.pruning.put_weights import put_weights

CPU = Target(provider="cpu")


def network(seed=0):
    rng = np.random.default_rng(seed)
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((24, 36), (36, 24)))
    return two_layers(up, down, rng.standard_normal(36).astype(np.float32))


def parts(K, N, in_order):
    sides = [np.arange(size) * 3 // size if in_order else np.arange(size) % 3 for size in (K, N)]
    return Decomposition((K, N), tuple(Block(*(np.flatnonzero(side == i) for side in sides)) for i in range(3)))


def forms(K, N):
    beside = [
        BlockLowRankForm(blocks=parts(K, N, in_order=one.name == "split"), rank=rank, lowering=one)
        for one in LOWERINGS
        for rank in (0, 2)
    ]
    return [
        LowRankForm(rank=3),
        MonarchForm(split=MonarchSplit(K // 6, 6, 6, N // 6, True), rank=2),
        *(form for form in beside if form.lowering.multiplies),
    ]


@pytest.mark.parametrize("place", range(len(forms(24, 36))))
def test_every_form_computes_what_the_product_of_it_does(place):
    proto, rng = network(), np.random.default_rng(1)
    model = load(proto)
    found, products, dense = view(model.graph).found, {}, {}
    for linear in found.linears:
        form = forms(*linear.shape)[place]
        made = fitted(
            form, moments(samples(rng, linear.shape[0]), linear.canonical(found.constants).astype(np.float64))
        )
        products[linear.address] = form, made
        dense[linear.address] = made.product, np.zeros(linear.shape[1])
    before = ir.to_proto(model.graph).SerializeToString()
    written, wanted = put_products(model.graph, products, CPU), put_weights(model.graph, dense)
    assert ir.to_proto(model.graph).SerializeToString() == before
    for rows in (0, 1, 7):
        feed = {"x": rng.standard_normal((rows, 24)).astype(np.float32)}
        (one,), (other,) = (run(ir.to_proto(each), feed) for each in (written, wanted))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-4)
    (one,), (other,) = (run(each, feed) for each in (proto, ir.to_proto(written)))
    assert np.abs(one - other).max() > 1e-2  # what it was is gone
    names = [value.name for value in written.graph.inputs], [value.name for value in written.graph.outputs]
    assert names == (["x"], ["y"])
    assert len(products) == 2 and not {"U", "D"} & set(written.graph.initializers)


def test_factors_take_the_place_of_the_weight_and_the_bias_stays():
    model = load(network())
    found = view(model.graph).found
    linear = found.linears[0]
    form = LowRankForm(rank=3)
    made = fitted(form, moments(samples(np.random.default_rng(1), 24), linear.canonical(found.constants) * 1.0))
    written = put_products(model.graph, {linear.address: (form, made)}, CPU)
    assert [node.op_type for node in written.graph] == ["MatMul", "Gemm", "Relu", "MatMul", "Add"]
    node = next(node for node in written.graph if node.op_type == "Gemm")
    assert node.name == "up" and node.inputs[1].const_value.shape == (3, 36) and node.inputs[2].name == "b"


def test_a_linear_that_is_not_there_is_refused():
    with pytest.raises(PlanError, match="nowhere: the model has no such linear"):
        put_products(load(network()).graph, {"nowhere": (LowRankForm(rank=1), None)}, CPU)
