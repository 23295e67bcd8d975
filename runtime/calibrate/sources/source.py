"""Data from wherever they are: which of the forms a source has, and its samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ....ir.graph.sizes import InputError
from ...inputs.inputs import npz_bytes, read_npz
from ...ort.tensor_spec import TensorSpec
from .arrow_table import is_saved_dataset, read_parquet, read_saved_dataset
from .columns import LABELS, Columns, Room
from .function_source import file_of_function, is_function, read_function
from .sample_folder import files_of_folder, read_array, read_sample_folder, read_tensor
from .sample_rows import rows_of
from .text_table import read_text_table

__all__ = ["files_of_source", "read_source"]

TEXT, PARQUET = (".csv", ".tsv"), (".parquet", ".pq")


def read_source(source: Path, spec: Sequence[TensorSpec], most: int | None = None) -> Columns:
    """All samples of a source by the names of inputs and labels: a file, a folder, or `module:function`.

    .npz: an array for each input; .npy and .pb: that of the one input; .csv, .tsv and .parquet: columns, see `assign`;
    a folder: a file for each sample, or what `datasets` saved; a function: see `read_function`. spec: the inputs, none
    where labels alone are wanted: the only array or column, or the one that is called so. most: bytes that the samples
    may take. Raises InputError naming the file and what is wrong in which row or column of it, LabelledError where
    nothing tells which are the labels, NoMemoryError where it holds more than may be used.
    """
    room = Room(most)
    if is_function(source):
        return read_function(source, spec, room)
    if source.is_dir():
        return (read_saved_dataset if is_saved_dataset(source) else read_sample_folder)(source, spec, room)
    suffix = source.suffix.lower()
    if suffix in TEXT:
        return read_text_table(source, spec, room)
    if suffix in PARQUET:
        return read_parquet(source, spec, room)
    if suffix in (".npy", ".pb"):
        return _one_array(source, spec, room)
    room.take(str(source), npz_bytes(source))
    return Columns(arrays=read_npz(source), typed=True)


def files_of_source(data: Any) -> list[Path]:
    """The files that reading data reads, as far as they are known before: nothing may be written over them."""
    if not isinstance(data, (str, os.PathLike)):
        return []
    source = Path(data)
    if is_function(source):
        file = file_of_function(source)
        return [] if file is None else [file]
    if not source.is_dir():
        return [source]
    return [source, *(source.rglob("*") if is_saved_dataset(source) else _files(source))]


def _files(folder: Path) -> list[Path]:
    try:
        return files_of_folder(folder)
    except InputError:
        return []  # whoever reads it says what is wrong with it


def _one_array(source: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    if len(spec) > 1:
        names = [value.name for value in spec]
        raise InputError(f"{source}: holds one array, and the model has the inputs {names}; write an .npz file")
    if source.is_file():
        room.take(str(source), source.stat().st_size)
    array = (read_array if source.suffix.lower() == ".npy" else read_tensor)(source)
    held = {spec[0].name: rows_of(str(source), array, spec[0])} if spec else {LABELS[0]: array}
    return Columns(arrays=held, typed=True)
