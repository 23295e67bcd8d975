"""A function of the user's own as a metric."""

from __future__ import annotations

import importlib
import importlib.util
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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
    try:
        found = importlib.util.find_spec(named[1])
    except Exception:  # whatever the packages do that the module is in: who loads it says so
        return None
    return Path(found.origin) if found is not None and found.origin is not None else None


def load_function(text: str) -> tuple[bool, Needs, Values]:
    """Whether higher is better, whether labels are needed, and the values of a metric `python:module.function`.

    Raises MetricError when there is no such function or its attributes say nothing; its values raise it when it fails.
    """
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
    needs: Needs = getattr(function, "needs_labels", "optional")
    higher = getattr(function, "higher_is_better", True)
    if needs not in ("no", "optional", "yes") or not isinstance(higher, bool):
        raise MetricError(f"{text}: needs_labels must be 'no', 'optional' or 'yes', and higher_is_better a bool")

    def values(outputs: Outputs, reference: Outputs, labels: Array | None) -> Float64:
        try:
            found = function(_guarded(outputs), _guarded(reference), labels)
        except Exception as error:  # whatever the user's function raises
            called = "it is called with two dicts of arrays by name, (outputs, reference, labels)"
            raise MetricError(f"{text}: {_told(error, module.__file__)}; {called}") from error
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


def _told(error: Exception, file: str | None = None) -> str:
    """Type, message and place of an exception in the user's code; the last place in `file`, if it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ([frame for frame in frames if frame.filename == file] or frames)[-1:]
    where = f" ({place[0].filename}, line {place[0].lineno})" if place else ""
    return f"{type(error).__name__}: {error}{where}"
