"""A workflow of Olive with a split in it: torch in, an ONNX file out, its layers marked for devices on the way.

python examples/olive_workflow.py [FOLDER]

Needs Olive and torch: pip install olive-ai==0.13.0 torch
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from pathlib import Path

from folder import folder

os.environ.setdefault("OLIVE_DISABLE_TELEMETRY", "1")

import olive
import onnx

import scission.olive

SCRIPT = """
import torch


class Experts(torch.nn.Module):
    # Four small layers side by side, kept as one dense weight that is zero elsewhere.
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        own = torch.block_diag(*[torch.ones(64, 64)] * 4)
        self.up, self.down = torch.nn.Linear(256, 256), torch.nn.Linear(256, 256)
        for layer in (self.up, self.down):
            layer.weight.data.mul_(own)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


def load(_):
    return Experts().eval()


def inputs(_):
    return {"x": torch.ones(2, 256)}
"""


def workflow(here: Path) -> dict[str, object]:
    """What Olive is told: which model, which passes, where."""
    return {
        "input_model": {
            "type": "PyTorchModel",
            "model_loader": "load",
            "model_script": str(here / "experts.py"),
            "dummy_inputs_func": "inputs",
            "io_config": {"input_names": ["x"], "input_shapes": [[2, 256]], "output_names": ["y"]},
        },
        "systems": {
            "here": {
                "type": "LocalSystem",
                "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}],
            }
        },
        "passes": {
            "layers": {"type": "CaptureLayerAnnotations", "layer_annotations": {"up": ["up"], "down": ["down"]}},
            "export": {"type": "OnnxConversion", "target_opset": 18, "use_dynamo_exporter": False},
            "split": {"type": "ScissionSplit", "force": True, "bench": False},  # whatever is faster here: it is small
        },
        "engine": {
            "target": "here",
            "cache_dir": str(here / "cache"),
            "output_dir": str(here / "out"),
            "evaluate_input_model": False,
        },
    }


def main(here: Path) -> None:
    """Run it, and print what became of the model."""
    logging.disable(logging.WARNING)  # Olive tells of every step that it takes
    (here / "experts.py").write_text(SCRIPT, encoding="utf-8")
    found = olive.run(workflow(here), package_config=scission.olive.package_config())
    (made,) = found.get_output_models()
    outcome = made.model_config["model_attributes"]["scission"]
    assert outcome == "split"
    nodes = onnx.load(made.model_path).graph.node
    marked = Counter(one.value for node in nodes for one in node.metadata_props if one.key == "layer_ann")
    assert set(marked) == {"up", "down"}
    print(f"{outcome}, proved equal; nodes in layer up: {marked['up']}, in layer down: {marked['down']}")


if __name__ == "__main__":
    main(folder(sys.argv))
