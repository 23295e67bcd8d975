"""Preparations that are wrong are taken back, whatever kind they are of, and said; the model that comes out runs."""

from __future__ import annotations

import json

import numpy as np
import onnx
import oracles
import pytest
from compiled_forests import of_perfect_trees, random_trees
from doubled_relu import DoubledRelu, doubled_relu  # noqa: F401
from factored import fourier, hadamard, product_model
from framed import conv_model
from hierarchical import wavelet
from onnx import helper
from typer.testing import CliRunner

import scission
from scission import Trials
from scission.ir.findings.taken_back import TakenBack
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.matrix import weight
from scission.models.planted.branches import Repeated, repeated
from scission.passes.rewrite.preparations import CARRIED_OUT
from scission.runtime.cli.app import app
from scission.runtime.compare import compare

QUICK = Trials(provider="cpu", threads=1, seconds=0.01)


def idle_channels():
    W = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    W[:, [1, 2]] = 0
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Relu", ["h"], ["r"]), ("MatMul", ["r", "W2"], ["y"])]
    return oracles.graph(nodes, {"x": ["n", 5]}, {"y": ["n", 4]}, {"W": W, "W2": np.ones((6, 4), np.float32)})


def convolution():
    rng = np.random.default_rng(0)
    nodes = [
        ("Conv", ["x", "w"], ["c"]),
        ("Squeeze", ["c", "last"], ["s"]),
        ("Add", ["s", "b"], ["a"]),
        ("Relu", ["a"], ["y"]),
    ]
    held = {"w": rng.standard_normal((32, 32, 3, 1)), "b": rng.standard_normal((32, 1))}
    held = {name: array.astype(np.float32) for name, array in held.items()} | {"last": np.array([3])}
    return oracles.graph(nodes, {"x": ["n", 32, 64, 1]}, {"y": None}, held)


def branches():
    what = Repeated(lanes=12, inputs=8, widths=(8, 8), equal=True, source="places", end="stack", axis=1)
    return repeated(np.random.default_rng(0), what).model


def forest():
    return of_perfect_trees(random_trees(np.random.default_rng(5), 40, 5, 3, sure=True), 3)


def transform():
    return product_model(hadamard(256), rows=[512])


def wavelets():
    return product_model(wavelet(1024).astype(np.float32), rows=[512])


def frames():
    model = conv_model(fourier(400, window=np.hanning(400)), 160, then=[helper.make_node("Relu", ["f"], ["y"])])
    for place, size in ((0, 1), (2, 48000)):  # long enough for stages to pay
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = size
    return model


MODELS = {
    "forests": forest,
    "frames": frames,
    "convolutions": convolution,
    "factors": transform,
    "channels": idle_channels,
    "branches": branches,
}


def doubled(model):
    """Another function: what each output was is added to itself."""
    for output in list(model.graph.outputs):
        add = ir.node("Add", [output, output])
        add.outputs[0].name, output.name = output.name, f"{output.name} once"
        add.outputs[0].type, add.outputs[0].shape = output.type, output.shape
        model.graph.append(add)
        model.graph.outputs[model.graph.outputs.index(output)] = add.outputs[0]


def unknown(model):
    """No model that ONNX Runtime loads."""
    model.graph[-1].op_type = "NoSuchOperator"


def stuck(model):
    """A model that loads and does not run."""
    output = model.graph.outputs[0]
    shape = ir.val("thirteen", const_value=ir.tensor(np.array([13, 17, 19])))
    model.graph.register_initializer(shape)
    reshape = ir.node("Reshape", [output, shape])
    reshape.outputs[0].name, output.name = output.name, f"{output.name} once"
    reshape.outputs[0].dtype = output.dtype
    model.graph.append(reshape)
    model.graph.outputs[0] = reshape.outputs[0]


def renamed(model):
    """A model with another interface."""
    model.graph.inputs[0].name = "another"


def spoil(monkeypatch, kind, how):
    real = CARRIED_OUT[kind]

    def wrong(model, found):
        changed = real(model, found)
        how(changed)
        return changed

    monkeypatch.setitem(CARRIED_OUT, kind, wrong)


def test_every_kind_has_a_model_here():
    # Sizes are asked for, not found; what is hierarchical is mostly zeros, so that something else is left to do.
    assert set(MODELS) == set(CARRIED_OUT) - {"sizes", "hierarchical"}


@pytest.mark.parametrize(
    ("kind", "how"), [*((kind, doubled) for kind in MODELS), *(("channels", how) for how in (unknown, stuck, renamed))]
)
def test_a_wrong_preparation_that_is_all_there_is_leaves_the_original(kind, how, monkeypatch, tmp_path):
    path, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(MODELS[kind](), path)
    right = scission.plan(path, provider="cpu", threads=1).preparations
    assert {one.kind for one in right} == {kind}
    spoil(monkeypatch, kind, how)
    result = scission.optimize(path, out, bench=False, trials=QUICK)
    assert (result.outcome, result.ok, result.written) == ("unchanged", True, (out,))
    assert out.read_bytes() == path.read_bytes() and not result.plan.changes
    assert result.taken_back.faulty and {one.kind for one in result.taken_back.preparations} == {kind}
    assert result.reason.count("please report this") == 1 and "taken back: " in result.reason
    assert json.loads(json.dumps(result.to_dict()))["taken_back"]["preparations"][0]["kind"] == kind


def with_idle_channels(relus=0):
    """Products that split, and behind them channels that do nothing."""
    W, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
    down = np.random.default_rng(1).standard_normal((48, 6)).astype(np.float32)
    down[:, [1, 2]] = 0
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Softmax", ["h"], ["s"]), ("MatMul", ["s", "W1"], ["r0"])]
    nodes += [("Relu", [f"r{at}"], [f"r{at + 1}"]) for at in range(1 + relus)]
    nodes += [("MatMul", [f"r{1 + relus}", "W2"], ["y"])]
    held = {"W": W, "W1": down, "W2": np.ones((6, 4), np.float32)}
    return oracles.graph(nodes, {"x": ["n", 48]}, {"y": ["n", 4]}, held)


def test_blocks_are_left_of_what_is_wrong_as_hierarchical(monkeypatch):
    spoil(monkeypatch, "hierarchical", doubled)
    result = scission.optimize(wavelets(), bench=False, trials=QUICK)
    assert result.outcome == "split" and result.verdict.equal and not result.plan.preparations
    assert {one.kind for one in result.taken_back.preparations} == {"hierarchical"}


@pytest.mark.parametrize("how", [doubled, renamed])
def test_what_is_split_stays_without_it(how, monkeypatch):
    spoil(monkeypatch, "channels", how)
    result = scission.optimize(with_idle_channels(), force=True, bench=False, trials=QUICK)
    assert result.outcome == "split" and result.plan.rewrites and not result.plan.preparations
    assert result.taken_back.faulty and "2 channels removed" in result.taken_back.text
    assert "channels removed" not in result.reason.split("taken back: ")[0]
    assert scission.check(with_idle_channels(), result.model).equal


@pytest.mark.usefixtures("doubled_relu")
@pytest.mark.parametrize("bad", ["channels", "doubled_relu"])
def test_only_the_kind_that_is_wrong_is_taken_back(bad, monkeypatch):
    spoil(monkeypatch, bad, doubled)
    result = scission.optimize(with_idle_channels(1), force=True, bench=False, trials=QUICK)
    assert result.outcome == "split" and result.verdict.equal
    assert {one.kind for one in result.plan.preparations} == {"channels", "doubled_relu"} - {bad}
    assert {one.kind for one in result.taken_back.preparations} == {bad}


@pytest.mark.usefixtures("doubled_relu")
def test_all_kinds_are_taken_back_where_all_are_wrong(monkeypatch):
    for kind in ("channels", "doubled_relu"):
        spoil(monkeypatch, kind, doubled)
    result = scission.optimize(with_idle_channels(1), force=True, bench=False, trials=QUICK)
    assert result.outcome == "split" and result.verdict.equal and not result.plan.preparations
    assert {one.kind for one in result.taken_back.preparations} == {"channels", "doubled_relu"}


def test_the_command_warns_and_succeeds(monkeypatch, tmp_path):
    path, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(idle_channels(), path)
    spoil(monkeypatch, "channels", doubled)
    told = CliRunner().invoke(app, ["optimize", str(path), str(out), "--no-bench", "--provider", "cpu"])
    assert told.exit_code == 0 and out.read_bytes() == path.read_bytes()
    assert "warning: taken back: 2 channels removed, since with that output 'y'" in told.stderr


def test_an_error_of_the_original_is_raised_as_it_is(monkeypatch):
    """Nothing says that preparations are to blame where the original cannot be checked either."""

    def refuse(*_, **__):
        raise scission.SessionError("no memory for that")

    monkeypatch.setattr(compare, "check", refuse)
    with pytest.raises(scission.SessionError, match="no memory for that"):
        scission.optimize(idle_channels(), bench=False, trials=QUICK)


def test_what_is_slower_is_no_defect():
    (one,) = scission.plan(idle_channels()).preparations
    found = TakenBack.between((one,), (), faulty=False, why="measured 0.5x")
    assert found.text == "taken back: 2 channels removed, with which the model was slower than the original"
    assert TakenBack.between((one,), (one,), faulty=True, why="") is None
