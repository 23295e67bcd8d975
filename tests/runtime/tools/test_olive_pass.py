"""Run where Olive is installed; `tests/bench/ecosystem.py` installs it in an environment of its own."""

import json
from pathlib import Path

import numpy as np
import onnx
import oracles
import pytest
from one_linear import saved

import scission
from scission import PartitionError
from scission.ir.provenance import LAYER, ORIGIN
from scission.runtime.ort.session import open_session

olive = pytest.importorskip("olive")
from scission.olive import package_config  # noqa: E402 - it imports olive


def workflow(folder, kind="ScissionSplit", after=True, **options):
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(folder / "model.onnx")},
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "passes": {
            "split": {"type": kind, **options},
            **({"after": {"type": "OnnxPeepholeOptimizer", "onnxoptimizer_optimize": False}} if after else {}),
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
    assert {"OnnxPeepholeOptimizer", "ScissionSplit", "ScissionSweep", "ScissionPartition"} <= {*config["passes"]}


@pytest.mark.parametrize("limit", ["cosine<=0.2", "cosine<=1e-12"])
def test_a_workflow_anneals_its_model_within_a_budget(tmp_path, monkeypatch, limit):
    """Blocks of ones in a little noise: they are found where the budget lets the noise go, and nothing is lost else."""
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    rng = np.random.default_rng(0)
    noisy = np.kron(np.eye(4), np.ones((8, 8))) + 1e-3 * rng.standard_normal((32, 32))
    sizes = ["n", 32]
    model = oracles.graph([("MatMul", ["x", "w"], ["y"])], {"x": sizes}, {"y": sizes}, {"w": noisy.astype(np.float32)})
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=rng.standard_normal((256, 32)).astype(np.float32))
    options = {"data": str(tmp_path / "data.npz"), "max_drop": limit, "anneal": "blocks", "force": True, "bench": False}
    found = olive.run(workflow(tmp_path, "ScissionSweep", **options), package_config=package_config())
    (made,) = found.get_output_models()
    outcome = made.model_config["model_attributes"]["scission"]
    assert outcome == ("split" if limit == "cosine<=0.2" else "unchanged")
    assert scission.check(tmp_path / "model.onnx", made.model_path).equal == (outcome == "unchanged")


@pytest.mark.parametrize("parts", [None, 2])
def test_a_workflow_cuts_its_model_into_parts(tmp_path, monkeypatch, parts):
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    before = saved(tmp_path)
    options = {"parts": parts} if parts else {}
    found = olive.run(workflow(tmp_path, "ScissionPartition", after=False, **options), package_config=package_config())
    (made,) = found.get_output_models()
    names = made.model_config["model_component_names"]
    assert names == [f"part{index}" for index in range(parts or 4)]
    assert all(Path(one["config"]["model_path"]).exists() for one in made.model_config["model_components"])
    folder = Path(made.model_config["model_path"])
    x = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    whole = open_session(before, provider="cpu", threads=1).run({"x": x})["y"]
    assert np.allclose(scission.load_parts(folder, threads=1).run({"x": x})["y"], whole, atol=1e-5)


def test_a_model_in_one_piece_ends_a_workflow(tmp_path, monkeypatch):
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    saved(tmp_path, blocks=1)
    with pytest.raises(PartitionError, match="nothing in it is independent"):
        olive.run(workflow(tmp_path, "ScissionPartition", after=False), package_config=package_config())
    assert not [*(tmp_path / "out").rglob("*.onnx")]


LAYERS = """
import torch


class Layer(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.up = torch.nn.Linear(32, 32)
        self.up.weight.data.mul_(torch.block_diag(*[torch.ones(8, 8)] * 4))

    def forward(self, x):
        return torch.relu(self.up(x))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer(0), Layer(1)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def load(_):
    return Net().eval()


def inputs(_):
    return {"x": torch.ones(3, 32)}
"""


@pytest.mark.filterwarnings("ignore")
def test_layers_that_olive_marks_stay_marked_and_are_split_by_it(tmp_path, monkeypatch):
    """Captured from torch, for ONNX Runtime and for SplitModel, both by what the older exporter calls nodes: the dynamo
    exporter's names do not say what they are part of."""
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    (tmp_path / "layers.py").write_text(LAYERS)
    given = {"type": "PyTorchModel", "model_loader": "load", "dummy_inputs_func": "inputs"}
    given |= {"model_script": str(tmp_path / "layers.py")}
    given |= {"io_config": {"input_names": ["x"], "input_shapes": [[3, 32]], "output_names": ["y"]}}
    layers = {"first": ["layers.0"], "second": ["layers.1"]}
    told = workflow(tmp_path, force=True, bench=False, after=False) | {"input_model": given}
    told["passes"] = {
        "parts": {"type": "CaptureSplitInfo", "num_splits": 2, "block_to_split": "layers"},
        "layers": {"type": "CaptureLayerAnnotations", "layer_annotations": layers},
        "export": {"type": "OnnxConversion", "target_opset": 18, "use_dynamo_exporter": False},
        **told["passes"],
    }
    (whole,) = olive.run(told, package_config=package_config()).get_output_models()
    assert whole.model_config["model_attributes"]["scission"] == "split"
    model = onnx.load(whole.model_path)
    marked = {one.value for node in model.graph.node for one in node.metadata_props if one.key == LAYER}
    blocks = [node for node in model.graph.node if any(one.key == ORIGIN for one in node.metadata_props)]
    assert marked == {"first", "second"} and blocks
    for node in blocks:
        notes = {one.key: one.value for one in node.metadata_props}
        assert notes[LAYER] == ("first" if "layers.0" in notes[ORIGIN] else "second")

    told["passes"]["cut"] = {"type": "SplitModel"}
    told["engine"]["output_dir"] = str(tmp_path / "cut")
    (made,) = olive.run(told, package_config=package_config()).get_output_models()
    parts = [one["config"] for one in made.model_config["model_components"]]
    assert len(parts) == 2
    x = value = np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    for part in parts:
        session = open_session(Path(part["model_path"]) / part["onnx_file_name"], provider="cpu", threads=1)
        (value,) = session.run({session.inputs[0].name: value}).values()
    (expected,) = open_session(whole.model_path, provider="cpu", threads=1).run({"x": x}).values()
    assert np.allclose(value, expected, atol=1e-5)
