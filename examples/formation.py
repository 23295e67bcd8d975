"""Structure that forms in training: the experiment behind Theorem 2.1 of the paper, watched step by step.

    python examples/formation.py [FOLDER]

One linear operator over 121 features learns to restore the rows of five data sets of scikit-learn, a row of one
activating only the features of that one. Nothing tells it which features belong together; the entries that learning
changes do. Writes the log of the run and its picture, and prints at which step each data set was found. Needs torch,
scikit-learn and matplotlib.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from scission.models.networks.cooccurrence import noisy
from scission.models.tables import load
from scission.runtime.render.picture.formation import formation_picture
from scission.torch import StructureMonitor, read_run

STEPS, RATE = 40, 0.02


def train(folder: Path, seed: int = 0) -> Path:
    """Train one row a step, and return the log."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    tables = load(rng)
    features = tables[0].X.shape[1]
    layer = torch.nn.Linear(features, features, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=RATE)
    log = folder / "formation.jsonl"
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    for _ in range(STEPS):
        table = tables[rng.integers(len(tables))]
        row = table.X[rng.integers(len(table.X))][None]
        target = torch.from_numpy(row)
        error = (layer(torch.from_numpy(noisy(rng, row))) - target) * (target != 0)  # over what the row activates
        optimizer.zero_grad()
        (error.square().sum() / 2).backward()
        optimizer.step()
        monitor.step()
    return log


def main() -> None:
    """Train, print when blocks were found, and draw."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    log = train(folder)
    run = read_run(log)
    blocks = 0
    for look in run.looks:
        seen = look.weights[0].subject
        if seen.components != blocks:
            blocks = seen.components
            print(f"step {look.step}: {blocks} blocks, {seen.dormant} features dormant")
    picture = folder / "formation.svg"
    picture.write_bytes(formation_picture(run, "Theorem 2.1: one operator, five data sets"))
    print(f"wrote {log} and {picture}; the same in a terminal: scission monitor {log}")


if __name__ == "__main__":
    main()
