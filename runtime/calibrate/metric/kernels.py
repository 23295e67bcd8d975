"""The metrics that are built in, as functions of one output, that of the original, and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError

__all__ = ["IGNORED", "KERNELS", "Kernel", "MetricError", "Needs"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Needs = Literal["no", "optional", "yes"]
Kernel = Callable[[Array, Array, Array | None, str], Float64]

IGNORED = -100  # a label with this value is not counted, as in PyTorch


class MetricError(ScissionError):
    """A metric that is not known, or outputs and labels that it cannot judge."""


def _classes(ours: Array, original: Array, labels: Array | None, what: str) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Rows of scores (cases, classes) and the class that each should have; ignored cases are left out."""
    if ours.ndim < 2 or ours.shape[-1] < 2:
        raise MetricError(f"{what} has shape {ours.shape}: no scores of classes; choose another with @output")
    rows = ours.reshape(-1, ours.shape[-1])
    if labels is None:
        return rows, original.reshape(rows.shape).argmax(-1)
    wanted = labels.shape[:-1] if labels.ndim == ours.ndim and labels.shape[-1] == 1 else labels.shape
    if wanted != ours.shape[:-1]:
        raise MetricError(f"{what} has shape {ours.shape} and needs labels {ours.shape[:-1]}, got {labels.shape}")
    if labels.dtype.kind not in "biuf" or not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        raise MetricError(f"{what}: labels must be integers, the numbers of classes, got {labels.dtype}")
    target = labels.reshape(-1).astype(np.int64)
    counted = target != IGNORED
    rows, target = rows[counted], target[counted]
    if target.size and not 0 <= target.min() <= target.max() < rows.shape[-1]:
        wrong, last = target[(target < 0) | (target >= rows.shape[-1])][0], rows.shape[-1] - 1
        raise MetricError(f"{what}: label {wrong} is not a class from 0 to {last}, nor {IGNORED} for none")
    return rows, target


def _among(most: int) -> Kernel:
    """Whether the class is among the `most` largest."""

    def kernel(ours: Array, original: Array, labels: Array | None, what: str) -> Float64:
        rows, target = _classes(ours, original, labels, what)
        if rows.shape[-1] <= most:
            raise MetricError(f"{what} has {rows.shape[-1]} classes, all among the {most} largest; use argmax")
        own = np.take_along_axis(rows, target[:, None], -1)
        earlier = np.arange(rows.shape[-1]) < target[:, None]
        rank = ((rows > own) | ((rows == own) & earlier)).sum(-1)
        return np.where(np.isnan(rows).any(-1), 0.0, rank < most)

    return kernel


def _cosine(ours: Array, original: Array, labels: Array | None, what: str) -> Float64:
    """Of each row; two rows of zeros agree, what is not finite must be the same in both and then does not count."""
    a, b = (np.atleast_1d(array).reshape(-1, array.shape[-1] if array.ndim else 1) for array in (ours, original))
    same = ~np.isfinite(a) & ((a == b) | (np.isnan(a) & np.isnan(b)))
    a, b = np.where(same, 0.0, a), np.where(same, 0.0, b)
    broken = ~(np.isfinite(a) & np.isfinite(b)).all(-1)
    a, b = _unit(np.where(broken[:, None], 0.0, a)), _unit(np.where(broken[:, None], 0.0, b))
    zeros = ~a.any(-1) & ~b.any(-1)
    return np.where(broken, 0.0, np.where(zeros, 1.0, np.clip((a * b).sum(-1), -1.0, 1.0)))


def _unit(rows: Float64) -> Float64:
    """Rows of length 1, those of zeros as they are; first by the largest entry, whose square may leave the range."""
    for order in (np.inf, 2):
        length = np.linalg.norm(rows, order, axis=-1, keepdims=True)
        rows = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return rows


def _mse(ours: Array, original: Array, labels: Array | None, what: str) -> Float64:
    target = original
    if labels is not None:
        if labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
            raise MetricError(f"{what}: labels must be finite numbers, got {labels.dtype}")
        if _squeezed(labels.shape) != _squeezed(ours.shape):
            raise MetricError(f"{what} has shape {ours.shape}, and the labels {labels.shape}; they must be the same")
        target = labels.reshape(ours.shape).astype(np.float64)
    both = (ours == target) | (np.isnan(ours) & np.isnan(target))
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.where(both, 0.0, (ours - target) ** 2)
    rows = square if ours.ndim < 2 else square.reshape(-1, ours.shape[-1]).mean(-1)
    return np.where(np.isnan(rows), np.inf, rows).reshape(-1)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape


def _likelihood(shift: int) -> Kernel:
    """Negative log-likelihood of each label; shift: how many positions later the label lies."""

    def kernel(ours: Array, original: Array, labels: Array | None, what: str) -> Float64:
        assert labels is not None
        if shift and (ours.ndim < 3 or labels.ndim < 2 or ours.shape[-2] <= shift):
            raise MetricError(f"{what} has shape {ours.shape}; perplexity:shift needs (batch, positions, vocabulary)")
        logits, wanted = (ours[..., :-shift, :], labels[..., shift:]) if shift else (ours, labels)
        rows, target = _classes(logits, logits, wanted, what)
        top = rows.max(-1, keepdims=True, initial=-np.inf)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = np.log(np.exp(rows - top).sum(-1)) + top[:, 0]
            lost: Float64 = total - np.take_along_axis(rows, target[:, None], -1)[:, 0]
        return lost

    return kernel


# higher is better, labels, span, kernel
KERNELS: dict[str, tuple[bool, Needs, float | None, Kernel]] = {
    "argmax": (True, "optional", 1.0, _among(1)),
    "top5": (True, "optional", 1.0, _among(5)),
    "cosine": (True, "no", 1.0, _cosine),
    "mse": (False, "optional", None, _mse),
    "perplexity": (False, "yes", None, _likelihood(0)),
    "perplexity:shift": (False, "yes", None, _likelihood(1)),
}
