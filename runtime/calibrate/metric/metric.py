"""Task metrics: what a model's outputs are worth, against labels or against the outputs of the original."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ....ir.errors import option
from ....ir.findings.level_sweep import within
from .function import Outputs, Values, load_function
from .kernels import IGNORED, KERNELS, MetricError, Needs

__all__ = ["IGNORED", "Budget", "Metric", "MetricError", "parse_budget", "parse_metric"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

BUILT_IN = "argmax, top5, cosine, mse, perplexity, perplexity:shift or python:module.function"


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
            raise MetricError(f"metric {self.name!r} needs labels; give them with ", option("labels"))
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
        higher, needs, own = load_function(text)
        return Metric(name=text, higher_is_better=higher, needs_labels=needs, span=None, values=own)
    kind, at, output = text.partition("@")
    if kind not in KERNELS or (at and not output):
        raise MetricError(f"there is no metric {text!r}; use {BUILT_IN}, with @output to choose an output")
    higher, needs, span, kernel = KERNELS[kind]

    def values(outputs: Outputs, reference: Outputs, labels: Array | None) -> Float64:
        name = output or _first_float(text, reference)
        ours, original = (_tensor(text, name, side) for side in (outputs, reference))
        _refuse_nan(f"{text}: output {name!r}", original)
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


def _refuse_nan(what: str, original: Float64) -> None:
    """Where the original itself has no answer nothing can be judged, and whatever is equal to it would pass."""
    rows = original.reshape(-1, original.shape[-1]) if original.ndim > 1 else original.reshape(-1, 1)
    bad = np.isnan(rows).any(-1) | ~np.isfinite(rows).any(-1) if rows.size else np.zeros(0, bool)
    if bad.any():
        raise MetricError(
            f"{what} of the original is NaN or infinite in {int(bad.sum()):,} of {bad.size:,} rows, first in row "
            f"{int(bad.argmax())} of its batch: nothing can be judged there; leave such samples out of the data"
        )


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
