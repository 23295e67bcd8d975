"""A folder of models, and the command line in it."""

import numpy as np
import onnx
import pytest
from annealable import network
from digraphs import EXAMPLE
from shell import W, model_of, typed

import scission


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a model, its plan, and the model split."""
    monkeypatch.chdir(tmp_path)
    model = model_of(W)
    plan = scission.plan(model, force=True, provider="cpu")
    onnx.save(model, "in.onnx")
    onnx.save(model_of(W + W), "other.onnx")
    onnx.save(scission.apply(model, plan), "split.onnx")
    (tmp_path / "plan.json").write_text(plan.dumps())
    np.save("w.npy", W[:30])
    np.save("example.npy", EXAMPLE)
    return tmp_path


@pytest.fixture
def scission_cli(monkeypatch, capfd):
    """Run one command line; returns (exit status, stdout, stderr)."""
    return typed(monkeypatch, capfd)


@pytest.fixture
def noisy(folder):
    """A model with blocks planted in noise, inputs, labels, and its weights as they were."""
    rng = np.random.default_rng(0)
    model, weights, _ = network(rng, (64, 96, 64), signal=8.0)
    onnx.save(model, folder / "noisy.onnx")
    x = rng.standard_normal((40, 64)).astype(np.float32)
    np.savez(folder / "calib.npz", x=x)
    np.save(folder / "labels.npy", (np.maximum(x @ weights[0], 0) @ weights[1]).argmax(1))
    np.savez(folder / "start.npz", **{f"W{index}": np.where(w > 0.5, 0, w) for index, w in enumerate(weights)})
    return folder
