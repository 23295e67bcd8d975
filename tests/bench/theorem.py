"""Theorem 2.1 on real data: `python tests/bench/theorem.py [--seed N] [--steps N] [--save]`.

One operator over 121 features learns to restore the rows of five data sets of scikit-learn, a row of one activating
only the features of that one. Which of its weights keep their initial bits, and do the blocks of the others tell the
data sets apart: for every loss, optimiser and initialisation, and for samples in which two data sets are active
together. Outside means the weights between features that no training sample ties together; filled means that those
are set to zero. A data set's own outputs are those of the features that it activates: whatever W, they cannot depend
on weights of inputs that are zero, so 0 is what disjoint activation says, not what training does. Errors are mean
squares over noisy rows, averaged over the data sets. --save writes the figures to tests/bench/results/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import scipy
import sklearn
from rich.console import Console
from rich.table import Table
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import adjusted_rand_score

from scission.models.networks.cooccurrence import Experiment, Init, Loss, noisy, train
from scission.passes.connectivity.bipartite import components
from scission.runtime.ort.environment import machine

RESULTS = Path(__file__).parent / "results"
OPTIMISERS = {
    "SGD": {"optimiser": "sgd", "decay": 0.0},
    "SGD + decay 1e-3": {"optimiser": "sgd", "decay": 1e-3},
    "Adam": {"optimiser": "adam", "decay": 0.0},
    "AdamW 0.1": {"optimiser": "adamw", "decay": 0.1},
    "Adam + L2 1e-3": {"optimiser": "adam", "decay": 1e-3},
}
SHARES = (0.0, 0.0003, 0.001, 0.003, 0.01)
SEEDS = range(5)

Row = dict[str, Any]


def labels(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """One label for each of the K + N features; every dormant one is a block of its own."""
    found = np.concatenate([inputs, outputs])
    return np.where(found < 0, -1 - np.arange(found.size), found)


def agreement(result: Experiment, kept: np.ndarray) -> float:
    """Adjusted Rand index of the components of the kept entries and the co-occurrence classes: 1 is the same."""
    found = components(kept)
    true = np.where(result.active, result.classes, -1)
    return float(adjusted_rand_score(labels(true, true), labels(found.inputs, found.outputs)))


def best_threshold(result: Experiment, active: bool = False) -> float:
    """The agreement that the best of all thresholds on |W| reaches; only an oracle knows which one that is.

    The components change at the entries of a maximum spanning forest and nowhere else. active: look only at the
    features that are, as an observer of the activations could.
    """
    awake = result.active if active else np.ones_like(result.active)
    size = np.abs(result.trained) * (awake[:, None] & awake)
    K, N = size.shape
    k, n = size.nonzero()
    cost = 1 + float(size.max()) - size[k, n].astype(np.float64)
    forest = minimum_spanning_tree(coo_array((cost, (k, K + n)), (K + N, K + N)).tocsr()).tocoo()
    levels = np.unique(size[forest.row, forest.col - K])
    return max(agreement(result, size >= level) for level in levels)


def damage(result: Experiment, seed: int) -> Row:
    """What block-fill changes: the largest change of an own output, and the errors before and after."""
    errors, changes = [], []
    rng = np.random.default_rng([seed, 1])  # not the noise of the training
    for table in result.datasets:
        x = noisy(rng, table.X)
        full, filled = x @ result.trained, x @ result.filled
        changes.append(np.abs(full - filled)[:, table.active].max())
        squares = [np.square(y - table.X, dtype=np.float64) for y in (full, filled)]
        errors.append([*(s[:, table.active].mean() for s in squares), *(s.mean() for s in squares)])
    own, own_filled, everything, everything_filled = np.mean(errors, axis=0).tolist()
    return {
        "own_output_change": float(max(changes)),
        "error_own": own,
        "error_own_filled": own_filled,
        "error_all": everything,
        "error_all_filled": everything_filled,
    }


def measure(loss: Loss, name: str, init: Init, seed: int, steps: int) -> Row:
    """One line of the first table."""
    start = time.perf_counter()
    result = train(seed, loss, init=init, steps=steps, **OPTIMISERS[name])
    seconds = time.perf_counter() - start
    moved = result.trained.view(np.uint32) != result.initial.view(np.uint32)
    outside = ~result.inside
    row: Row = {
        "loss": loss,
        "optimiser": name,
        "init": init,
        "outside_unchanged": float(1 - moved[outside].mean()),
        "inside_unchanged": float(1 - moved[~outside].mean()),
        "outside_sd_ratio": float(result.trained[outside].std() / result.initial[outside].std()),
        "inside_share": float(result.inside.mean()),
        "ari_moved": agreement(result, moved),
        "ari_best_threshold": best_threshold(result),
        "ari_best_threshold_active": best_threshold(result, active=True),
        **damage(result, seed),
        "seconds": round(seconds, 2),
    }
    exact = row["outside_unchanged"] == 1 and row["ari_moved"] == 1 and row["own_output_change"] == 0
    return row | {"met": exact if loss == "local" and OPTIMISERS[name]["decay"] == 0 else None}


def mixing(share: float, steps: int) -> Row:
    """One line of the second table: the classes of active features when some rows belong to two data sets."""
    found = [train(seed, steps=steps, mixed=share) for seed in SEEDS]
    moved = [result.trained.view(np.uint32) != result.initial.view(np.uint32) for result in found]
    return {
        "mixed_share": share,
        "mixed_rows": round(share * sum(len(table.X) for table in found[0].datasets)),
        "classes": [int(np.unique(result.classes[result.active]).size) for result in found],
        "outside_unchanged": min(
            float(1 - m[~r.inside].mean()) if (~r.inside).any() else 1.0 for r, m in zip(found, moved, strict=True)
        ),
        "ari_moved": min(agreement(r, m) for r, m in zip(found, moved, strict=True)),
    }


def shown(row: Row) -> list[str]:
    """The cells of a line of the first table."""
    met = {True: "yes", False: "NO", None: ""}[row["met"]]
    shares = (f"{row[name]:.4f}" for name in ("outside_unchanged", "outside_sd_ratio"))
    indices = (f"{row[name]:.3f}" for name in ("ari_moved", "ari_best_threshold", "ari_best_threshold_active"))
    pairs = (f"{row[name]:.4f} / {row[name + '_filled']:.4f}" for name in ("error_own", "error_all"))
    return [row["loss"], row["optimiser"], row["init"], *shares, *indices, f"{row['own_output_change']:g}", *pairs, met]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the first table")
    parser.add_argument("--steps", type=int, default=4000, help="of 32 rows")
    parser.add_argument("--save", action="store_true", help="keep the figures in tests/bench/results/")
    options = parser.parse_args()
    console = Console(width=170)
    names = ("loss", "optimiser", "init", "outside unchanged", "outside sd/initial", "ARI W≠W0", "ARI best |W|≥t")
    names += ("of active",)
    table = Table(*names, "own outputs changed", "error own full/filled", "error all full/filled", "theorem", box=None)
    rows = []
    for loss in get_args(Loss):
        for name in OPTIMISERS:
            for init in get_args(Init):
                rows.append(measure(loss, name, init, options.seed, options.steps))
                table.add_row(*shown(rows[-1]))
    console.print(table)
    table = Table("mixed samples", "rows", f"classes, {len(SEEDS)} seeds", "outside unchanged", "ARI W≠W0", box=None)
    mixed = [mixing(share, options.steps) for share in SHARES]
    for r in mixed:
        classes = " ".join(map(str, r["classes"]))
        least = (f"{r['outside_unchanged']:.4f}", f"{r['ari_moved']:.3f}")
        table.add_row(f"{r['mixed_share']:.2%}", str(r["mixed_rows"]), classes, *least)
    console.print(table)
    if options.save:
        today = datetime.date.today()
        versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
        about = machine("cpu") | {"gpu": None, "versions": versions}
        settings = {"seed": options.seed, "steps": options.steps, "mixing_seeds": list(SEEDS)}
        data = {"date": str(today), "machine": about, "settings": settings, "rows": rows, "mixing": mixed}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"theorem-cpu-{today}.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
