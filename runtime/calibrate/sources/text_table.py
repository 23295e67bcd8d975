"""Tables as text, a row a sample: CSV with commas, semicolons or tabs, with or without a line of names."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.files.reading import SAMPLES, open_file
from ....ir.graph.sizes import InputError
from ...ort.tensor_spec import TensorSpec
from .assignment import assign, piece_of
from .columns import Columns, Gathered, Room

__all__ = ["read_text_table"]

Array = npt.NDArray[Any]
Row = tuple[int, list[str]]  # its line in the file, its cells

ROWS = 4096  # that are parsed at a time
DIGITS = 400  # letters of a number: a float64 has no more
LONGEST = 1 << 24  # characters of a line
SEPARATORS = ",;\t"


def read_text_table(path: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    """The columns of a .csv or .tsv file as inputs and labels, see `assign`.

    Without a line of names all columns are the features of the one input. Raises InputError naming the file, the line
    and the column of a cell that is no number, and of a row with too few or too many.
    """
    where = str(path)
    try:
        with open_file(path, SAMPLES) as file:
            return _read(where, io.TextIOWrapper(file, "utf-8-sig", newline=""), spec, room)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _read(where: str, text: io.TextIOWrapper, spec: Sequence[TensorSpec], room: Room) -> Columns:
    lines = _lines(where, text)
    first = next(lines, "")
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(itertools.chain([first], lines), delimiter=separator, strict=True)
    rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader if row)
    top = next(rows, None)
    if top is None:
        raise InputError(f"{where}: there are no samples in it")
    named = not all(map(_is_number, top[1]))
    _require_head(where, top[1], named)
    names = top[1] if named else [f"column {place}" for place in range(1, len(top[1]) + 1)]
    places = assign(where, names, spec)
    gathered, numbered = Gathered(where, room), rows if named else itertools.chain([top], rows)
    while some := list(itertools.islice(numbered, ROWS)):
        _require_whole(where, some, names)

        def column(at: int, value: TensorSpec | None, some: Sequence[Row] = some) -> Array:
            return _column(where, some, (at, names[at]), value)

        gathered.add(piece_of(where, places, spec, column), f"line {some[0][0]}")
    return gathered.columns(typed=False)


def _require_head(where: str, cells: Sequence[str], named: bool) -> None:
    """Raise InputError for a first line of which nothing tells whether it is names or the first sample."""
    if named and (any(map(_is_number, cells)) or not all(cells)):
        odd = next((cell for cell in cells if not _is_number(cell)), "")
        said = f"has numbers and {odd[:40]!r}" if odd else "has cells that are empty"
        raise InputError(
            f"{where}: line 1 {said}: neither names of columns nor a sample; mend it, or put names before it"
        )
    if not named and len(cells) > 2 and list(cells) == [str(place) for place in range(len(cells))]:
        raise InputError(
            f"{where}: line 1 is 0, 1, 2 …, as columns without names are numbered, or a sample; take it away, or put a "
            "line of names before it"
        )


def _lines(where: str, text: io.TextIOWrapper) -> Iterator[str]:
    """Lines of a length that memory holds."""
    while line := text.readline(LONGEST):
        if len(line) == LONGEST:
            raise InputError(f"{where}: a line is longer than {LONGEST:,} characters; it is no table")
        yield line


def _require_whole(where: str, rows: Sequence[Row], names: Sequence[str]) -> None:
    for line, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"{where}: line {line} has {len(cells)} cells, and the first one {len(names)}")


def _column(where: str, rows: Sequence[Row], place: tuple[int, str], value: TensorSpec | None) -> Array:
    """A column as integers where all are, else as floats; as text where the input wants that."""
    at, name = place
    cells = [cells[at] for _, cells in rows]
    if value is not None and value.dtype == "string":
        return np.array(cells, object)
    told = np.array(cells if all(map(_is_number, cells)) else [""])
    for kind in (np.int64, np.float64):
        try:
            return told.astype(kind)
        except (ValueError, OverflowError):
            continue
    line, wrong = next((line, cells[at]) for line, cells in rows if not _is_number(cells[at]))
    what = f"{wrong[:40]!r} is no number" if wrong else "is empty"
    classes = "; number the classes as the model does" if value is None else ""
    raise InputError(f"{where}: line {line}, column {name!r}: {what}{classes}")


def _is_number(cell: str) -> bool:
    if len(cell) > DIGITS or "_" in cell or not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
