"""Samples that a function of the user's own yields, one after another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.sizes import InputError
from ...ort.tensor_spec import TensorSpec
from ...user_function import file_of_module, load_user_function, told
from .columns import LABELS, Columns, Gathered, Room, label_name
from .sample_rows import sample_rows

__all__ = ["file_of_function", "is_function", "read_function"]

Array = npt.NDArray[Any]

NAMED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


def is_function(source: Path) -> bool:
    """Whether a source is written as module:function, and is no file.

    >>> is_function(Path("my.data:samples")), is_function(Path("data.csv"))
    (True, False)
    """
    return NAMED.fullmatch(str(source)) is not None and not source.exists()


def file_of_function(source: Path) -> Path | None:
    """The file in which the module of such a source is."""
    named = NAMED.fullmatch(str(source))
    return None if named is None else file_of_module(named[1])


def read_function(source: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    """All samples that `module:function`, called without arguments, yields.

    A sample is a dict of arrays by the names of inputs and labels, a pair of such a dict, or of the one input, and its
    label, also as a list of two arrays, or the one input alone; each array one row of an input, or rows of it. What is
    yielded is kept, so that an iterator without an end is one that takes more memory than may be used. Raises
    InputError naming the sample that does not fit, and what the function raises.
    """
    text = str(source)
    named = NAMED.fullmatch(text)
    assert named is not None, "who calls asked"
    function, file = load_user_function(text, named[1], named[2], InputError)
    gathered = Gathered(text, room)
    for number, sample in enumerate(_yielded(text, function, file)):
        at = f"sample {number}"
        gathered.add(_rows(f"{text}: {at}", sample, spec), at)
    return gathered.columns(typed=False)


def _yielded(text: str, function: Any, file: str | None) -> Iterator[Any]:
    try:
        made = function()
        if not isinstance(made, Iterable):
            raise InputError(f"{text}: returned a {type(made).__name__}; it has to yield samples")
        yield from made
    except InputError:
        raise
    except Exception as error:  # whatever the user's function raises
        raise InputError(f"{text}: {told(error, file)}; it is called without arguments and yields samples") from error


def _rows(where: str, sample: Any, spec: Sequence[TensorSpec]) -> dict[str, Array]:
    values = {value.name: value for value in spec}
    paired = spec and _is_pair(sample)
    inputs, labels = sample if paired else (sample, None)
    if not isinstance(inputs, Mapping):
        if len(spec) > 1:
            raise InputError(f"{where} is a {type(inputs).__name__}; the inputs are {[*values]}, give a dict of them")
        inputs = {spec[0].name if spec else LABELS[0]: inputs}
    held = {str(name): _array(where, str(name), value) for name, value in inputs.items()}
    if labels is not None:
        held[label_name([*values, *held])] = _array(where, "labels", labels)
    unknown = [name for name in held if name not in values and name not in LABELS] if spec else []
    missing = [name for name, value in values.items() if name not in held and not value.optional]
    if unknown or missing:
        parts = [f"missing: {missing}"] * bool(missing) + [f"unknown: {unknown}"] * bool(unknown)
        raise InputError(f"{where}: the names do not match the model's inputs {[*values]} ({'; '.join(parts)})")
    return sample_rows(where, held, spec)


def _is_pair(sample: Any) -> bool:
    """Whether a sample is a pair: a tuple of two, or a list of two arrays, as loaders of PyTorch yield them."""
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        return False
    return isinstance(sample, tuple) or all(hasattr(one, "shape") for one in sample)


def _array(where: str, name: str, value: Any) -> Array:
    try:
        found = np.asarray(value)
    except Exception as error:  # ragged lists, and tensors of libraries that are on a device
        raise InputError(f"{where}: {name!r} is no array of numbers ({type(error).__name__}: {error})") from error
    if found.dtype.kind not in "biufVU":
        raise InputError(f"{where}: {name!r} is no array of numbers but {found.dtype}")
    return found.copy()  # a generator may write its next sample over it
