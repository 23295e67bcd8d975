"""Samples as they are gathered, piece by piece, within the memory that may be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError, option
from ....ir.graph.sizes import InputError
from ...ort.memory import NoMemoryError, shown_bytes

__all__ = ["LABELS", "Columns", "Gathered", "LabelledError", "Room", "label_name", "which_labels"]

Array = npt.NDArray[Any]

LABELS = ("labels", "y", "label", "target")  # what an array of labels beside the inputs is called
PIECES = 1024  # that are put together at a time: one sample each may be as many as they like
OVERHEAD = 128  # bytes of an array beside its entries


class LabelledError(ScissionError):
    """Data whose arrays do not hold the same samples, or too few of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """All samples of a source, by the names of inputs and labels, samples along the first axis.

    typed: whether somebody chose the types, as of arrays that were saved; floats of tables are rounded to the input's.
    """

    arrays: Mapping[str, Array]
    typed: bool


class Room:
    """The memory that data may take. most: bytes, None for any number."""

    def __init__(self, most: int | None) -> None:
        self.most, self.taken = most, 0

    def take(self, where: str, size: int) -> None:
        """Set bytes aside. Raises NoMemoryError naming the source where there are not so many."""
        self.taken += size
        if self.most is not None and self.taken > self.most:
            raise NoMemoryError(
                f"{where} holds {shown_bytes(self.taken)} or more and {shown_bytes(self.most)} may be used; give fewer "
                "samples, or allow more with ",
                option("memory"),
            )


class Gathered:
    """Pieces of the same columns, one after another. Raises InputError naming the piece that does not go on."""

    def __init__(self, where: str, room: Room) -> None:
        self.where, self.room = where, room
        self._pieces: dict[str, list[Array]] = {}
        self._first: dict[str, Array] = {}
        self._types: dict[str, set[np.dtype[Any]]] = {}

    def add(self, piece: Mapping[str, Array], at: str) -> None:
        """Rows of every column; at: what an error calls the piece."""
        if not self._first:
            self._first = {name: array[:0] if array.ndim else array for name, array in piece.items()}
            self._types = {name: {array.dtype} for name, array in piece.items()}
            self._pieces = {name: [] for name in piece}
        if piece.keys() != self._first.keys():
            raise InputError(f"{self.where}: {at} holds {[*piece]}, and the first sample {[*self._first]}")
        for name, array in piece.items():
            first = self._first[name]
            if not array.ndim or not first.ndim:  # one value for all samples
                if array.ndim or first.ndim or not (array == first or (array != array and first != first)):
                    what = f"{name!r} is not what it is in the first sample, and the model takes one for all of a batch"
                    raise InputError(f"{self.where}: {at}: {what}")
                continue
            if array.shape[1:] != first.shape[1:]:
                what = f"{name!r} has shape {array.shape[1:]}, and that of the first sample {first.shape[1:]}"
                raise InputError(f"{self.where}: {at}: {what}; give all samples the same shape, padded where needed")
            if (array.dtype.kind in "biufV") != (first.dtype.kind in "biufV"):
                raise InputError(f"{self.where}: {at}: {name!r} is {array.dtype}, and the first sample {first.dtype}")
            self._types[name].add(array.dtype)
            self.room.take(self.where, array.nbytes + OVERHEAD)
            pieces = self._pieces[name]
            pieces.append(array)
            if len(pieces) >= PIECES and len(pieces[0]) < len(pieces):
                pieces[:] = [np.concatenate(pieces)]

    def columns(self, typed: bool) -> Columns:
        """What was gathered. Raises InputError where that is nothing."""
        if not self._first:
            raise InputError(f"{self.where}: there are no samples in it")
        arrays = {}
        for name in [*self._pieces]:
            pieces = self._pieces.pop(name)
            if not self._first[name].ndim:
                arrays[name] = self._first[name]
                continue
            if typed and len(kinds := {(kind.kind, kind.itemsize) for kind in self._types[name]}) > 1:
                self._require_lossless(name, {kind for kind, _ in kinds})
            arrays[name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return Columns(arrays=arrays, typed=typed)

    def _require_lossless(self, name: str, kinds: set[str]) -> None:
        """Types that are mixed in files of samples have to be of one kind: others meet in one that holds neither."""
        if len(kinds) > 1 or not kinds <= set("iufU"):
            listed = sorted(str(one) for one in self._types[name])
            raise InputError(f"{self.where}: {name!r} is of the types {', '.join(listed)}; give all samples the same")


def label_name(wanted: list[str]) -> str:
    """What labels without a name are called beside inputs of these names."""
    return next(name for name in (*LABELS, "the labels") if name not in wanted)


def which_labels(where: str, names: Iterable[str], kind: str = "arrays") -> str:
    """The name of labels in a source of nothing else: that of labels, or the only one. Raises LabelledError."""
    listed = [*names]
    own = [name for name in LABELS if name in listed] or listed
    if len(own) != 1:
        raise LabelledError(f"{where}: which of the {kind} {listed} holds the labels? Call it 'labels'")
    return own[0]
