"""Task metrics: what a model's outputs are worth, against labels or against the outputs of the original."""

from __future__ import annotations

import importlib
import math
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ..ir.errors import ScissionError
from ..ir.levels import within

__all__ = ["IGNORED", "Budget", "Metric", "MetricError", "parse_budget", "parse_metric"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Outputs = Mapping[str, Any]
Needs = Literal["no", "optional", "yes"]
Values = Callable[[Outputs, Outputs, Array | None], Float64]
Kernel = Callable[[Array, Array, Array | None, str], Float64]

IGNORED = -100  # a label with this value is not counted, as in PyTorch
BUILT_IN = "argmax, top5, cosine, mse, perplexity, perplexity:shift or python:module.function"


class MetricError(ScissionError):
    """A metric that is not known, or outputs and labels that it cannot judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number for how good outputs are; `parse_metric` makes it.

    span: the range of the metric, None where it has no bound; exponential: whether the mean is of logarithms.
    """

    name: str
    higher_is_better: bool
    needs_labels: Needs
    span: float | None
    exponential: bool = False
    values: Values = field(compare=False, repr=False)

    def score(self, outputs: Outputs, reference: Outputs, labels: Array | None = None) -> Float64:
        """One value per case of a batch: the value of `aggregate` is a mean over the cases of all batches.

        outputs: of the model under test, by name; reference: of the original on the same inputs, which may be the same.
        Raises MetricError when labels are missing or do not match, or the outputs do not suit the metric.
        """
        if self.needs_labels == "yes" and labels is None:
            raise MetricError(f"metric {self.name!r} needs labels; give them with --labels")
        return self.values(outputs, reference, None if self.needs_labels == "no" else labels)

    def aggregate(self, scores: Iterable[Float64]) -> float:
        """The metric over all batches: the mean of their cases; for perplexity its exponential.

        Raises MetricError when there is no case at all.

        >>> parse_metric("argmax").aggregate([np.array([1.0, 0.0, 1.0]), np.array([1.0])])
        0.75
        """
        values = np.concatenate([np.zeros(0), *scores])
        if not values.size:
            raise MetricError(f"metric {self.name!r}: there is no case to judge; every label is {IGNORED}, or no data")
        mean = float(values.mean())
        if not self.exponential:
            return mean
        return math.exp(mean) if mean < 700 else math.inf if mean == mean else math.nan


@dataclass(frozen=True, slots=True)
class Budget:
    """How much worse a metric may become; the limit is in the units of the metric."""

    metric: Metric
    limit: float

    def allows(self, drop: float | None) -> bool:
        """Whether a drop (positive = worse) is within the limit; one that is unknown is not."""
        return within(drop, self.limit)


def parse_metric(text: str) -> Metric:
    """The metric that a text names; a case is a row of the output, everything but its last axis.

    argmax: the largest entry is the label, or without labels that of the original. top5: the label, or the original's
    largest entry, is among the five largest. cosine: of a row with that of the original. mse: mean squared difference
    from the labels, or from the original. perplexity: exp of the mean negative log-likelihood of the labels (…) under
    logits (…, V); `perplexity:shift` judges each position by the label of the next. They take the first float output,
    or the one named in `argmax@logits`. Ties go to the first entry; a row with a NaN is wrong.
    python:module.function: called as function(outputs, reference, labels) with the outputs by name, returns one number
    per case or one per batch; its attributes `higher_is_better` (True) and `needs_labels` ("optional") are heeded.
    Raises MetricError when there is no such metric or the function cannot be imported.

    >>> metric = parse_metric("argmax")
    >>> original, annealed = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([[1.0, 2.0], [1.0, 3.0]])
    >>> metric.score({"y": annealed}, {"y": original}).tolist()
    [1.0, 0.0]
    >>> metric.score({"y": annealed}, {"y": original}, np.array([0, 1])).tolist()
    [0.0, 1.0]
    """
    text = text.strip()
    if text.startswith("python:"):
        return _python(text)
    kind, at, output = text.partition("@")
    if kind not in KERNELS or (at and not output):
        raise MetricError(f"there is no metric {text!r}; use {BUILT_IN}, with @output to choose an output")
    higher, needs, span, kernel = KERNELS[kind]

    def values(outputs: Outputs, reference: Outputs, labels: Array | None) -> Float64:
        name = output or _first_float(text, reference)
        ours, original = (_tensor(text, name, side) for side in (outputs, reference))
        if ours.shape != original.shape:
            raise MetricError(f"{text}: output {name!r} has shape {ours.shape}, of the original {original.shape}")
        return kernel(ours, original, labels, f"{text}: output {name!r}") if ours.size else np.zeros(0)

    exponential = kind.startswith("perplexity")
    return Metric(
        name=text, higher_is_better=higher, needs_labels=needs, span=span, exponential=exponential, values=values
    )


def parse_budget(text: str) -> Budget:
    """A limit such as `argmax<=0.01`, `argmax≤1%` or `perplexity<=0.5`: how much worse the metric may become.

    A percent is a hundredth of the metric's unit, so it is refused for mse and perplexity, whose scale is open.
    Raises MetricError when it is none.

    >>> parse_budget("argmax≤1%").limit
    0.01
    """
    found = re.fullmatch(r"(.+?)\s*(?:<=|≤)\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)\s*(%?)", text.strip())
    if found is None:
        raise MetricError(f"{text!r} is no limit; write a metric, <= and a number, quoted: 'argmax<=0.01'")
    metric, percent = parse_metric(found[1]), bool(found[3])
    limit = float(found[2])
    if percent and metric.span is None and not metric.name.startswith("python:"):
        raise MetricError(
            f"{text!r}: {metric.name} has no fixed scale to take a percent of; give the limit in its units"
        )
    if not math.isfinite(limit):
        raise MetricError(f"{text!r}: the limit must be finite")
    return Budget(metric, limit / 100 if percent else limit)


def _first_float(text: str, outputs: Outputs) -> str:
    for name, value in outputs.items():
        if isinstance(value, np.ndarray) and (value.dtype.kind == "f" or value.dtype == ml_dtypes.bfloat16):
            return name
    raise MetricError(f"{text}: none of the outputs {list(outputs)} is a float tensor; use python:module.function")


def _tensor(text: str, name: str, outputs: Outputs) -> Float64:
    if name not in outputs:
        raise MetricError(f"{text}: there is no output {name!r}; the outputs are {list(outputs)}")
    value = outputs[name]
    if not isinstance(value, np.ndarray) or (value.dtype.kind not in "biuf" and value.dtype != ml_dtypes.bfloat16):
        raise MetricError(f"{text}: output {name!r} is no tensor of numbers; choose another with @output")
    return value.astype(np.float64)


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
            return total - np.take_along_axis(rows, target[:, None], -1)[:, 0]

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


def _python(text: str) -> Metric:
    module_name, _, name = text.removeprefix("python:").rpartition(".")
    if not module_name or not name:
        raise MetricError(f"{text!r}: write python:module.function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise MetricError(f"{text}: {_told(error)}") from error
        raise MetricError(
            f"{text}: there is no module {error.name!r}; install it, or put its folder on the path: PYTHONPATH=folder"
        ) from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise MetricError(f"{text}: {_told(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise MetricError(f"{text}: {module.__file__} holds no function {name!r}")
    needs, higher = getattr(function, "needs_labels", "optional"), getattr(function, "higher_is_better", True)
    if needs not in ("no", "optional", "yes") or not isinstance(higher, bool):
        raise MetricError(f"{text}: needs_labels must be 'no', 'optional' or 'yes', and higher_is_better a bool")

    def values(outputs: Outputs, reference: Outputs, labels: Array | None) -> Float64:
        try:
            found = function(_guarded(outputs), _guarded(reference), labels)
        except Exception as error:  # whatever the user's function raises
            raise MetricError(f"{text}: {_told(error, module.__file__)}") from error
        try:
            array = np.asarray(found)
        except (TypeError, ValueError):  # ragged, or on a device
            array = np.empty((), object)
        if array.dtype.kind not in "biuf":
            raise MetricError(f"{text}: it must return a number or an array of numbers, got {type(found).__name__}")
        return (
            np.full(_cases(outputs, labels), array, np.float64)
            if not array.ndim
            else array.astype(np.float64).reshape(-1)
        )

    return Metric(name=text, higher_is_better=higher, needs_labels=needs, span=None, values=values)


def _guarded(outputs: Outputs) -> dict[str, Any]:
    """The same arrays, read-only: the outputs of the original are used again for every level."""
    views: dict[str, Any] = {}
    for name, value in outputs.items():
        views[name] = value.view() if isinstance(value, np.ndarray) else value
        if isinstance(value, np.ndarray):
            views[name].setflags(write=False)
    return views


def _cases(outputs: Outputs, labels: Array | None) -> int:
    """The samples of a batch, as the weight of a function that gives one number for it."""
    arrays = [labels, *outputs.values()]
    return next((len(array) for array in arrays if isinstance(array, np.ndarray) and array.ndim), 1)


def _told(error: Exception, file: str | None = None) -> str:
    """Type, message and place of an exception in the user's code; the last place in `file`, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ([frame for frame in frames if frame.filename == file] or frames)[-1:]
    where = f" ({place[0].filename}, line {place[0].lineno})" if place else ""
    return f"{type(error).__name__}: {error}{where}"
