"""A feed-forward network of which few hidden units are active: it learns to tell the next byte of English prose.

12 bytes, embedded in 32 features each, a residual network of 3,072 hidden units with ReLU behind a normalisation, and
a score for each next byte. The mean sum of its activations, times `penalty`, is part of the loss: units learn to be
silent (Glorot et al., Deep sparse rectifier neural networks, 2011), nothing says which ones together.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from scission import Samples, SampleSets
from scission.models.trained.prose import prose

__all__ = ["NextByte", "export", "sample_sets", "trained"]

CONTEXT, EMBEDDED, HIDDEN, BYTES = 12, 32, 3072, 128
SENTENCES, LEARNT, CALIBRATION, ROWS = 20_000, 0.8, 20_000, 512
STEPS, BATCH, RATE = 800, 512, 2e-3


class NextByte(nn.Module):
    """(M, 12) bytes to (M, 128) scores; after a call `hidden` (M, 3072) holds its hidden units."""

    hidden: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        d = CONTEXT * EMBEDDED
        self.embedding = nn.Embedding(BYTES, EMBEDDED)
        self.before, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, HIDDEN), nn.Linear(HIDDEN, d)
        self.behind, self.last = nn.LayerNorm(d), nn.Linear(d, BYTES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stream = self.embedding(x).flatten(1)
        self.hidden = torch.relu(self.up(self.before(stream)))
        scores: torch.Tensor = self.last(self.behind(stream + self.down(self.hidden)))
        return scores


def _windows(sentences: Sequence[str]) -> npt.NDArray[np.int64]:
    """Each run of 13 bytes: 12, and the one behind them."""
    text = np.frombuffer("\n".join(sentences).encode("ascii", "replace"), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1).astype(np.int64)


def _texts() -> tuple[list[str], list[str]]:
    """Sentences to learn from, and others."""
    texts = prose(SENTENCES)
    return texts[: int(LEARNT * SENTENCES)], texts[int(LEARNT * SENTENCES) :]


def trained(penalty: float) -> NextByte:
    """The network after 800 steps of Adam on 512 windows each, some 3 minutes of one core."""
    windows, rng = _windows(_texts()[0]), np.random.default_rng(0)
    torch.manual_seed(0)
    made = NextByte()
    optimizer = torch.optim.Adam(made.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        batch = torch.from_numpy(windows[rng.integers(len(windows), size=BATCH)])
        loss = nn.functional.cross_entropy(made(batch[:, :-1]), batch[:, -1])
        optimizer.zero_grad()
        (loss + penalty * made.hidden.sum(1).mean()).backward()
        optimizer.step()
        schedule.step()
    return made


def export(made: NextByte, path: Path) -> None:
    """Write it to one file; inputs x (n, 12) int64, output y (n, 128)."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            made.eval(),
            (torch.zeros(2, CONTEXT, dtype=torch.int64),),
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


def sample_sets() -> SampleSets:
    """Windows of what it learnt to fit to, of one half of the other sentences to choose by, of the rest to judge by."""
    learnt, others = _texts()
    half = len(others) // 2
    return SampleSets(
        calibration=_samples(learnt, CALIBRATION),
        selection=_samples(others[:half], CALIBRATION),
        judgement=_samples(others[half:], CALIBRATION),
    )


def _samples(sentences: Sequence[str], count: int) -> Samples:
    windows = _windows(sentences)
    some = windows[np.linspace(0, len(windows) - 1, count // ROWS * ROWS).astype(np.int64)]
    parts = [some[start : start + ROWS] for start in range(0, len(some), ROWS)]
    return Samples(feeds=[{"x": part[:, :-1].copy()} for part in parts], labels=[part[:, -1].copy() for part in parts])
