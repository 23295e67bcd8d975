import numpy as np
import onnx_ir as ir
import oracles
import pytest
from factored import fourier, product_model, written
from hierarchical import DAUBECHIES, hierarchically_written, wavelet

from scission.ir.graph.survey import survey
from scission.models.planted.products import KINDS, build, feeds
from scission.runtime.compare.probe_runs import expose
from scission.runtime.compare.probes import probes

SEED = 4
NOT_PLAIN = (
    "conv",
    "matmul-stack",
    "fused-gemm",
    "gemm-c-M1",
    "gemm-c-MN",
    "gemm-c-dynamic",
    "gemm-alpha-beta",
    "gemm-left-transA",
)
ELSEWHERE = ("if", "loop", "scan", "function")  # in a subgraph or a function


def made(kind, **options):
    planted = build(np.random.default_rng(SEED), kind, **options)
    graph = ir.from_proto(planted.model)
    return planted, probes(graph, {linear.address for linear in survey(graph).linears})


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_what_onnx_runtime_computes(kind):
    planted, found = made(kind)
    if kind in ELSEWHERE:
        assert not found
        return
    if not found:
        assert kind.startswith(NOT_PLAIN)
        return
    assert {probe.node for probe in found} == set(planted.truth)
    data = feeds(np.random.default_rng(0), planted)
    names = list(dict.fromkeys(name for probe in found for name in (probe.input, probe.output)))
    own = {value.name for value in planted.model.graph.output} | data.keys()
    exposed = [name for name in names if name not in own]
    outputs = [value.name for value in planted.model.graph.output] + exposed
    results = oracles.run(expose(planted.model.SerializeToString(), exposed), data, optimised=False)
    values = data | dict(zip(outputs, results, strict=True))
    for probe in found:
        exact, bound = probe.reference(values[probe.input])
        y = values[probe.output]
        assert exact.shape == bound.shape == y.shape and exact.dtype == bound.dtype == np.float64
        assert (np.abs(y - exact) <= bound).all()
        assert (bound <= np.abs(exact).max() * (0.05 if y.dtype == np.float16 else 1e-4)).all()


def test_only_what_was_split_is_probed():
    planted = build(np.random.default_rng(0), "chain")
    graph = ir.from_proto(planted.model)
    assert [probe.node for probe in probes(graph, {"down", "nope"})] == ["down"]
    assert probes(graph, ()) == []


def test_a_wide_weight_is_worked_on_in_parts(monkeypatch):
    from scission.runtime.compare import probes as module

    planted, (whole,) = made("gemm-beta")
    monkeypatch.setattr(module, "COLUMNS", 1)
    _, (parts,) = made("gemm-beta")
    x = feeds(np.random.default_rng(0), planted)["x"]
    for one, other in zip(whole.reference(x), parts.reference(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("weight", "write", "zeros"),
    [(wavelet(256, DAUBECHIES), hierarchically_written, True), (fourier(64), written, False)],
)
def test_factors_are_held_against_what_they_are_certified_for(weight, write, zeros):
    """One input is large, others are tiny: where a weight has zeros, factors round what the product does not have."""
    changed, count = write(product_model(weight))
    assert count == 1
    graph = ir.from_proto(product_model(weight))
    (strict,), (staged,) = (probes(graph, {"MatMul0"}, factors) for factors in ((), {"MatMul0"}))
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, len(weight))) * 10.0 ** rng.uniform(-30, 0, (40, len(weight)))).astype(np.float32)
    (y,) = oracles.run(changed, {"x": x})
    exact, bound = staged.reference(x)
    within = np.abs(y - exact) <= strict.reference(x)[1]
    assert (np.abs(y - exact) <= bound).all() and bool(within.all()) is not zeros
    assert (bound >= strict.reference(x)[1]).all()
    wrong = oracles.run(product_model(weight * np.float32(1.01)), {"x": x})[0]
    assert not (np.abs(wrong - exact) <= bound).all()
