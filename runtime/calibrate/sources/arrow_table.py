"""Tables of Arrow: Parquet files, and data sets that the library `datasets` of Hugging Face saved to a folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.files.reading import SAMPLES, open_file
from ....ir.graph.sizes import InputError
from ...ort.tensor_spec import TensorSpec
from .assignment import assign, piece_of
from .columns import Columns, Gathered, Room

__all__ = ["is_saved_dataset", "read_parquet", "read_saved_dataset"]

Array = npt.NDArray[Any]

ROWS = 4096  # that are read at a time
INDEX = "__index_level_"  # how pandas calls the columns of its index
ONE, SEVERAL = "state.json", "dataset_dict.json"  # what such a folder holds: of one data set, of several splits


def read_parquet(path: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    """The columns of a .parquet file as inputs and labels, see `assign`; a cell may be a list, of equal lengths.

    Raises InputError naming the file, the row and the column of what is empty or no number, and where pyarrow is not
    installed.
    """
    parquet = _imported("pyarrow.parquet", f"{path}: is a Parquet file", "pip install pyarrow")
    arrow = importlib.import_module("pyarrow")
    try:
        with open_file(path, SAMPLES) as file:
            held = parquet.ParquetFile(file)
            names = [name for name in held.schema_arrow.names if not name.startswith(INDEX)]
            places = assign(str(path), names, spec)
            wanted = [names[at] for own in places.values() for at in own]
            return _gathered(str(path), held.iter_batches(ROWS, columns=wanted), names, places, spec, room)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, arrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` saved this folder."""
    return (folder / ONE).is_file() or (folder / SEVERAL).is_file()


def read_saved_dataset(folder: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    """The columns of a data set that `save_to_disk` wrote, as `read_parquet` takes them.

    Raises InputError where there are several splits, naming them, and where `datasets` is not installed.
    """
    library = _imported("datasets", f"{folder}: is a data set of Hugging Face", "pip install datasets")
    try:
        found = library.load_from_disk(str(folder))
    except Exception as error:  # whatever the library raises for files that are none of its own
        raise InputError(f"{folder}: cannot be read by datasets ({type(error).__name__}: {error})") from error
    if isinstance(found, dict):
        if len(found) != 1:
            split = next(iter(found), "train")
            raise InputError(f"{folder}: has the splits {[*found]}; give one of them: {folder / split}")
        found = next(iter(found.values()))
    names = list(found.column_names)
    places = assign(str(folder), names, spec)
    wanted = [names[at] for own in places.values() for at in own]
    tables = found.select_columns(wanted).with_format("arrow").iter(ROWS)
    return _gathered(str(folder), tables, names, places, spec, room)


def _imported(module: str, what: str, remedy: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != module.partition(".")[0]:
            raise InputError(f"{what}, and {module} cannot be imported ({error}); {remedy}") from error
        raise InputError(f"{what}, and what reads it is not installed: {remedy}") from error


def _gathered(
    where: str,
    tables: Iterable[Any],
    names: Sequence[str],
    places: dict[str, tuple[int, ...]],
    spec: Sequence[TensorSpec],
    room: Room,
) -> Columns:
    gathered, row = Gathered(where, room), 0
    for table in tables:

        def column(at: int, value: TensorSpec | None, table: Any = table, row: int = row) -> Array:
            return _column(where, table.column(names[at]), (names[at], row), value)

        gathered.add(piece_of(where, places, spec, column), f"row {row}")
        row += table.num_rows
    return gathered.columns(typed=False)


def _column(where: str, column: Any, place: tuple[str, int], value: TensorSpec | None) -> Array:
    """A column of numbers, of texts, or of lists of equal lengths. Raises InputError naming the row of any other."""
    name, start = place
    if column.null_count:
        row = start + int(np.flatnonzero(_plain(column.is_null()))[0])
        raise InputError(f"{where}: row {row}, column {name!r}: is empty")
    kind = str(column.type)
    if "list" not in kind and "tensor" not in kind:
        found: Array = _plain(column)
        if value is not None and value.dtype == "string" and "string" not in kind:
            raise InputError(f"{where}: column {name!r} is of type {kind}; the model wants texts")
        if found.dtype.kind not in "biuf" and (value is None or value.dtype != "string"):
            classes = "; number the classes as the model does" if value is None else ", or lists of them"
            raise InputError(f"{where}: column {name!r} is of type {kind}; give numbers{classes}")
        return found
    if "tensor" in kind:
        return np.concatenate([chunk.to_numpy_ndarray() for chunk in getattr(column, "chunks", [column])])
    rows = [_cell(where, cell, (name, start + number)) for number, cell in enumerate(column.to_pylist())]
    for number, cell in enumerate(rows):
        if cell.shape != rows[0].shape:
            what = f"holds {cell.shape} of {cell.dtype}, and row {start} {rows[0].shape} of {rows[0].dtype}"
            raise InputError(f"{where}: row {start + number}, column {name!r}: {what}; pad lists to one length")
    return np.stack(rows) if rows else np.zeros((0,))


def _cell(where: str, cell: Any, place: tuple[str, int]) -> Array:
    name, row = place
    try:
        found = np.asarray(cell)
    except ValueError as error:  # lists of different lengths in one cell
        raise InputError(f"{where}: row {row}, column {name!r}: {error}; pad lists to one length") from error
    if found.dtype.kind not in "biuf":
        raise InputError(f"{where}: row {row}, column {name!r}: holds what is empty or no number")
    return found


def _plain(column: Any) -> Array:
    try:
        return np.asarray(column.to_numpy(zero_copy_only=False))
    except TypeError:  # of several chunks, which takes no such argument in some versions
        return np.asarray(column.to_numpy())
