"""Run where Olive is installed; `tests/bench/ecosystem.py` installs it in an environment of its own."""

import json

import onnx
import pytest
from one_linear import saved

import scission

olive = pytest.importorskip("olive")
from scission.olive import package_config  # noqa: E402 - it imports olive


def workflow(folder, **options):
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(folder / "model.onnx")},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "passes": {
            "split": {"type": "ScissionSplit", **options},
            "after": {"type": "OnnxPeepholeOptimizer", "onnxoptimizer_optimize": False},
        },
        "engine": {
            "target": "here",
            "cache_dir": str(folder / "cache"),
            "output_dir": str(folder / "out"),
            "evaluate_input_model": False,
        },
    }


@pytest.mark.parametrize("force", [True, False])
def test_a_workflow_splits_its_model(tmp_path, monkeypatch, force):
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    before = saved(tmp_path)
    found = olive.run(workflow(tmp_path, force=force, bench=False), package_config=package_config())
    (made,) = found.get_output_models()
    assert made.model_config["model_attributes"]["scission"] == ("split" if force else "unchanged")
    assert scission.check(before, made.model_path).equal
    shapes = [tuple(one.dims) for one in onnx.load(made.model_path).graph.initializer]
    assert ((32, 32) in shapes) == (not force)


def test_the_file_for_the_command_line_is_what_is_returned(tmp_path):
    config = package_config(tmp_path / "package.json")
    assert json.loads((tmp_path / "package.json").read_text()) == config
    assert "OnnxPeepholeOptimizer" in config["passes"]
