"""Modules written back into their models: the same plan, the weights of now."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewritten import plan

torch = pytest.importorskip("torch")

from run_torch import assert_alike, by_runtime, by_torch, trained_for  # noqa: E402

import scission  # noqa: E402
from scission.ir.io.load import load  # noqa: E402
from scission.models.planted.products import KINDS, build, feeds  # noqa: E402
from scission.runtime.upgrade.to_onnx import trained  # noqa: E402
from scission.torch import LayerError, to_onnx, to_torch  # noqa: E402

INLINED = ("function",)  # a plan that inlines says so, and the one that is made of what it left does not


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 1 << 30))
def test_untrained_a_model_is_what_the_plan_makes_of_it(kind, seed):
    rng = np.random.default_rng(seed)
    planted = build(rng, kind)
    chosen = plan(planted.model, regions=bool(seed % 2))
    wanted, found = scission.apply(planted.model, chosen), to_onnx(to_torch(planted.model, chosen))
    if kind in INLINED:
        given = feeds(rng, planted)
        for a, b in zip(by_runtime(wanted, given), by_runtime(found, given), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        assert found.SerializeToString() == wanted.SerializeToString()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("fp16", "gemm-beta-zero-nan")])
def test_trained_a_model_computes_what_the_module_computes(kind):
    rng = np.random.default_rng(0)
    planted = build(rng, kind)
    given = feeds(rng, planted)
    module = to_torch(planted.model, plan(planted.model))
    before = by_torch(module, given)
    trained_for(module, given, 50)
    after = by_torch(module, given)
    assert_alike(by_runtime(to_onnx(module), given), after, given)
    moved = any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert moved == any(parameter.grad is not None for parameter in module.parameters())


def test_the_plan_is_the_same_with_the_weights_of_now():
    planted = build(np.random.default_rng(0), "chain")
    chosen = plan(planted.model)
    module = to_torch(planted.model, chosen)
    trained_for(module, feeds(np.random.default_rng(0), planted), 3)
    left = trained(module)
    for old, new in zip(chosen.steps, left.plan.steps, strict=True):
        assert (old.decomposition, old.lowering, old.node) == (new.decomposition, new.lowering, new.node)
        assert old.sha256 != new.sha256
    assert scission.check(left.whole, left.model).equal
    assert scission.apply(left.whole, left.plan).graph.name == left.model.graph.name, "it is for the whole of now"


def test_a_model_goes_back_as_it_came(tmp_path):
    planted = build(np.random.default_rng(0), "gemm").model
    onnx.save(planted, tmp_path / "model.onnx")
    assert isinstance(to_onnx(to_torch(planted)), onnx.ModelProto)
    assert isinstance(to_onnx(to_torch(planted.SerializeToString())), bytes)
    assert type(to_onnx(to_torch(tmp_path / "model.onnx"))) is type(load(planted).graph)


def test_only_what_was_made_of_a_model_is_written_back():
    with pytest.raises(LayerError, match="to_torch"):
        to_onnx(torch.nn.Linear(2, 2))
