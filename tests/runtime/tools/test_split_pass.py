import numpy as np
import onnx
import onnx_ir.passes.common as common
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.ir.onnx_ir import onnx_ir as ir
from scission.runtime.tools.proved import SplitError


def network(parts: int, width: int = 8, seed: int = 0) -> onnx.ModelProto:
    """Two linears of so many blocks in a random order, with a Relu between."""
    rng, size = np.random.default_rng(seed), parts * width
    order = rng.permutation(size)
    blocks = [rng.standard_normal((width, width)).astype(np.float32) for _ in range(2 * parts)]
    first, second = np.zeros((2, size, size), np.float32)
    for part in range(parts):
        at = slice(part * width, (part + 1) * width)
        first[at, at], second[at, at] = blocks[2 * part], blocks[2 * part + 1]
    nodes = [("MatMul", ["x", "a"], ["h"]), ("Relu", ["h"], ["r"]), ("MatMul", ["r", "b"], ["y"])]
    return oracles.graph(
        nodes, {"x": ["n", size]}, {"y": ["n", size]}, {"a": first[:, order].copy(), "b": second[order].copy()}
    )


FORCED = scission.PlanOptions(force=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(0, 1000), st.booleans())
def test_a_pass_gives_what_apply_gives(parts, seed, twice):
    proto = network(parts, seed=seed)
    expected = scission.apply(proto, scission.plan(proto, FORCED))
    model = ir.from_proto(proto)
    step = scission.SplitPass(FORCED)
    done = step(model)
    assert done.model is model
    assert done.modified == (step.result.outcome == "split") == (expected is not proto)
    if done.modified:
        assert oracles.operators(ir.to_proto(model)) == oracles.operators(expected)
    feeds = {"x": np.random.default_rng(seed).standard_normal((3, 8 * parts)).astype(np.float32)}
    oracles.assert_close(oracles.run(proto, feeds), oracles.run(ir.to_proto(model), feeds))
    if twice:
        assert not scission.SplitPass()(model).modified


@pytest.mark.parametrize("manager", [ir.passes.Sequential, lambda *steps: ir.passes.PassManager(steps, steps=2)])
def test_it_works_among_other_passes(manager):
    proto = network(4)
    model = ir.from_proto(proto)
    steps = common.LiftConstantsToInitializersPass(), scission.SplitPass(FORCED), common.RemoveUnusedNodesPass()
    later = common.CommonSubexpressionEliminationPass(), common.TopologicalSortPass(), common.CheckerPass()
    done = manager(*steps, *later)(model)
    assert done.modified and done.model is model
    feeds = {"x": np.ones((2, 32), np.float32)}
    oracles.assert_close(oracles.run(proto, feeds), oracles.run(ir.to_proto(model), feeds))


def test_it_works_before_and_after_the_optimizer_of_onnxscript():
    optimizer = pytest.importorskip("onnxscript.optimizer")
    proto = network(4)
    feeds = {"x": np.ones((2, 32), np.float32)}
    for first in (True, False):
        model, step = ir.from_proto(proto), scission.SplitPass(FORCED)
        for run in (step, optimizer.optimize)[:: 1 if first else -1]:
            model = getattr(run(model), "model", None) or model
        assert step.result.outcome == "split"
        oracles.assert_close(oracles.run(proto, feeds), oracles.run(ir.to_proto(model), feeds))


def test_the_graph_that_the_model_had_stays_as_it_was():
    model = ir.from_proto(network(4))
    graph, before = model.graph, [node.name for node in model.graph]
    assert scission.SplitPass(FORCED)(model).modified
    assert model.graph is not graph and [node.name for node in graph] == before


def test_a_model_that_differs_stays_whole(monkeypatch):
    model = ir.from_proto(network(4))
    before = ir.to_proto(model).SerializeToString()
    failed = scission.optimize(network(4), options=FORCED, bench=False)
    failed = type(failed)(outcome="failed", reason="y differs", plan=failed.plan)
    monkeypatch.setattr("scission.runtime.tools.proved.optimize", lambda *_, **__: failed)
    with pytest.raises(SplitError, match="y differs"):
        scission.SplitPass(FORCED)(model)
    with pytest.raises(ir.passes.PassError):
        ir.passes.Sequential(scission.SplitPass(FORCED))(model)
    assert ir.to_proto(model).SerializeToString() == before


class Optimized(ir.passes.InPlacePass):
    """onnxscript's optimizer among other passes."""

    def call(self, model):
        from onnxscript import optimizer

        before = len(list(model.graph))
        optimizer.optimize_ir(model)
        return ir.passes.PassResult(model, modified=len(list(model.graph)) != before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("optimize", [False, True], ids=["as captured", "optimized"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "open"])
def test_a_program_of_torch_is_split_between_two_runs_of_the_optimizer(optimize, dynamic):
    """All in one Sequential: what it makes is the same program, which ONNX Runtime runs as torch computes."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            own = torch.block_diag(*[torch.ones(8, 8)] * 4)
            order = torch.randperm(32)
            self.norm, self.up, self.down = torch.nn.LayerNorm(32), torch.nn.Linear(32, 32), torch.nn.Linear(32, 32)
            self.up.weight.data = (self.up.weight.data * own)[:, order]
            self.down.weight.data = (self.down.weight.data * own)[order]

        def forward(self, x):
            return x + self.down(torch.nn.functional.gelu(self.up(self.norm(x)), approximate="tanh"))

    net, x = Net().eval(), torch.randn(3, 32)
    shapes = {"x": {0: torch.export.Dim("n")}} if dynamic else None
    program = torch.onnx.export(
        net, (x,), dynamo=True, optimize=optimize, dynamic_shapes=shapes, input_names=["x"], output_names=["y"]
    )
    step = scission.SplitPass(FORCED)
    done = ir.passes.Sequential(Optimized(), step, Optimized(), common.CheckerPass())(program.model)
    assert done.modified and done.model is program.model
    assert step.result.outcome == "split" and len(step.result.plan.rewrites) == 2
    assert not [one for one in done.model.graph.initializers.values() if tuple(one.shape or ()) == (32, 32)]
    oracles.assert_close([net(x).detach().numpy()], oracles.run(program.model_proto, {"x": x.numpy()}))
    again = scission.SplitPass(FORCED)(program.model)
    assert not again.modified
