"""A function of the user's own as a metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...user_function import file_of_module, load_user_function, told
from .kernels import MetricError, Needs

__all__ = ["Outputs", "Values", "load_function", "module_file"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]
Outputs = Mapping[str, Any]
Values = Callable[[Outputs, Outputs, Array | None], Float64]


def module_file(metric: object) -> Path | None:
    """The file in which the function of a metric `python:module.function` is; None for any other metric.

    >>> module_file("python:scission.ir.errors.option").name, module_file("argmax<=0.01")
    ('errors.py', None)
    """
    named = re.match(r"python:([\w.]+)\.\w+", metric) if isinstance(metric, str) else None
    if named is None:
        return None
    return file_of_module(named[1])


def load_function(text: str) -> tuple[bool, Needs, Values]:
    """Whether higher is better, whether labels are needed, and the values of a metric `python:module.function`.

    Raises MetricError when there is no such function or its attributes say nothing; its values raise it when it fails.
    """
    module_name, _, name = text.removeprefix("python:").rpartition(".")
    if not module_name or not name:
        raise MetricError(f"{text!r}: write python:module.function")
    function, file = load_user_function(text, module_name, name, MetricError)
    needs: Needs = getattr(function, "needs_labels", "optional")
    higher = getattr(function, "higher_is_better", True)
    if needs not in ("no", "optional", "yes") or not isinstance(higher, bool):
        raise MetricError(f"{text}: needs_labels must be 'no', 'optional' or 'yes', and higher_is_better a bool")

    def values(outputs: Outputs, reference: Outputs, labels: Array | None) -> Float64:
        try:
            found = function(_guarded(outputs), _guarded(reference), labels)
        except Exception as error:  # whatever the user's function raises
            called = "it is called with two dicts of arrays by name, (outputs, reference, labels)"
            raise MetricError(f"{text}: {told(error, file)}; {called}") from error
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

    return higher, needs, values


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
