"""Which weights of a model are worth writing as products, and which linears they may be of."""

from __future__ import annotations

import numpy as np
import onnx
import oracles
import pytest
from factored import cosine, fourier, hadamard, kronecker, product_model
from random_convolutions import Grown

from scission.ir.graph.linear import Linear
from scission.ir.graph.sizes import Setting
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.factored_weight import FactoredWeight
from scission.ir.plan.preparation import Refused
from scission.ir.reason import Cause
from scission.passes.factor.find import find, variants
from scission.passes.lowering.target import Target
from scission.passes.rewrite.write_factors import write_factors


def found(weight, rows=3000, target=None):
    return find(
        load(product_model(weight)).graph, target or Target(), lambda: (Setting(sizes={"n": rows}, batch=rows),)
    )


@pytest.mark.parametrize("weight", [fourier(400, window=np.hanning(400)), hadamard(512), cosine(512)])
def test_transforms_of_many_rows_pay(weight):
    (step,) = found(weight)
    assert isinstance(step, FactoredWeight) and step.gain > 1.2 and step.macs < weight.size and step.bound < 1
    assert step.reason.text.startswith("MatMul0: its weight is the product of ")


def circulant(size, seed=0):
    column = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return column[(np.arange(size)[:, None] - np.arange(size)) % size]


def nearly(weight, away):
    """The same, a little away from a product, where no sample of a few entries sees it."""
    weight = weight.copy()
    weight[-1, -1] += away
    return weight


@pytest.mark.parametrize(
    ("weight", "cause"),
    [
        (np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32), Cause.RANK),
        (np.kron(np.eye(8), hadamard(64)).astype(np.float32), Cause.SPARSE),
        (fourier(64), Cause.NO_GAIN),
        (circulant(256), Cause.ROUNDING),
        (nearly(hadamard(512), 1.0), Cause.INEXACT),
        (np.where(np.arange(256) == 200, np.nan, hadamard(256)).astype(np.float32), Cause.UNSUPPORTED),
    ],
)
def test_what_is_looked_at_and_left_has_a_reason(weight, cause):
    (one,) = found(weight)
    assert isinstance(one, Refused) and one.kind == FactoredWeight.kind and one.nodes == ("MatMul0",)
    assert one.reason.cause is cause and (one.gain is not None) == (cause is Cause.NO_GAIN)


def test_what_is_too_small_and_cuda_are_not_looked_at():
    assert found(hadamard(32)) == () and found(hadamard(512), target=Target(provider="cuda")) == ()


@pytest.mark.parametrize("turned", [False, True])
def test_of_ordinary_weights_in_a_file_only_entries_are_read(tmp_path, monkeypatch, turned):
    weight = np.random.default_rng(0).standard_normal((256, 192)).astype(np.float32)
    for one, products in ((weight, 0), (fourier(400), 1)):
        made = Grown(0)
        made.inputs["x"], made.feeds["x"] = ["n", len(one)], np.zeros(1, np.float32)
        held = made.constant(np.ascontiguousarray(one.T) if turned else one)
        held = made.op("Transpose", held, perm=[1, 0]) if turned else held
        onnx.save(made.model(made.op("MatMul", "x", held)), tmp_path / "model.onnx")
        read: list[str] = []
        whole = Linear.stored
        monkeypatch.setattr(Linear, "stored", lambda *given, w=whole, r=read: (r.append("all"), w(*given))[1])
        sized = (Setting(sizes={"n": 3000}, batch=3000),)
        steps = find(load(tmp_path / "model.onnx").graph, Target(), lambda sized=sized: sized)
        assert [isinstance(step, FactoredWeight) for step in steps] == [bool(products)]
        assert len(read) == products
        monkeypatch.undo()


def test_variants_are_the_other_ways_of_the_same_splits():
    rng = np.random.default_rng(0)
    whole = kronecker(*(rng.standard_normal((8, 8)) for _ in range(3)))
    model = product_model(whole[rng.permutation(512)][:, rng.permutation(512)])
    seen, target = view(load(model).graph), Target()
    (step,) = find(load(model).graph, target, lambda: (Setting(batch=256, sizes={"n": 256}),))
    (linear,) = seen.found.linears
    others = variants(linear, step, seen.found.constants, (256,), target)
    ways = [(len(one.splits), one.rows_first) for one in (step, *others)]
    assert len(set(ways)) == len(ways) > 3 and {count for count, _ in ways} == {1, 2}
    gains = [one.gain for one in others]
    assert gains == sorted(gains, reverse=True) and step.gain >= gains[0]
    for one in others:
        assert one.splits == step.splits[: len(one.splits)] and f"{one.gain:.1f}x is predicted" in one.reason.text
        assert [written.gain for written in [FactoredWeight.from_dict(one.to_dict())]] == [one.gain]
        changed = ir.to_proto(write_factors(load(model).graph, [one]))
        x = rng.standard_normal((3, 512)).astype(np.float32)
        oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}), 1e-5)
