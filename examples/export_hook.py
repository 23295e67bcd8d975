"""A step of an export by torch: a layer that mixes channels, flattened to one dense weight, and the split file of it.

python examples/export_hook.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from folder import folder

import scission

CHANNELS, PLACES = 32, 16


def mixing() -> torch.nn.Module:
    """A mixing of channels, the same at every place, as flattening makes it one dense weight."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(CHANNELS * PLACES, CHANNELS * PLACES)
    with torch.no_grad():
        layer.weight.copy_(torch.kron(torch.randn(CHANNELS, CHANNELS), torch.eye(PLACES)))
    return layer


def main(here: Path) -> None:
    """Export it, and print what became of it."""
    made = scission.export(
        mixing(),
        (torch.ones(2, CHANNELS * PLACES),),
        here / "mixing.onnx",
        options=scission.PlanOptions(force=True),  # whatever is faster on this machine: this layer is small
        further=scission.OptimizeOptions(bench=False),
        dynamo=False,
        input_names=["x"],
    )
    (step,) = made.plan.rewrites
    assert made.outcome == "split" and made.verdict is not None and made.verdict.equal
    count, (inputs, outputs) = len(step.decomposition.blocks), step.shape
    print(f"mixing.onnx: {count} blocks of a {inputs}x{outputs} weight, proved equal")


if __name__ == "__main__":
    main(folder(sys.argv))
