"""Folders of samples, a file each: .npz, .npy or .pb, or the test data that ONNX's own models come with."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ....ir.errors import ScissionError
from ....ir.files.archive import array_of
from ....ir.files.reading import SAMPLES, open_file, read_bytes
from ....ir.graph.sizes import InputError
from ....ir.onnx_ir import onnx_ir as ir
from ...inputs.inputs import read_npz
from ...ort.tensor_spec import TensorSpec
from .columns import LABELS, Columns, Gathered, Room
from .sample_rows import sample_rows

__all__ = ["files_of_folder", "read_array", "read_sample_folder", "read_tensor"]

Array = npt.NDArray[Any]

KINDS = (".npz", ".npy", ".pb")
SETS = "test_data_set_"  # how ONNX calls folders of inputs and the outputs that they are to give
LONGEST = 255  # letters of a name that count for the order
FILES = 1 << 22  # that a folder may have


def read_sample_folder(folder: Path, spec: Sequence[TensorSpec], room: Room) -> Columns:
    """All samples of a folder in the order of their names, numbers in them by their value.

    Each file is one sample, or rows of them where its arrays have as many dimensions as the inputs; .npz by the names
    of inputs and labels, .npy and .pb of models with one input. Of ONNX's test data the inputs are read, in their
    order. Raises InputError naming the file that does not fit.
    """
    gathered = Gathered(str(folder), room)
    for files in _sets(folder):
        if _is_set(files):
            gathered.add(_feed(folder, files, spec), files[0].parent.name)
            continue
        for file in files:
            gathered.add(_sample(file, spec), file.name)
    return gathered.columns(typed=True)


def files_of_folder(folder: Path) -> list[Path]:
    """The files of samples in a folder, and in its folders of test data."""
    return [file for files in _sets(folder) for file in files]


def _sets(folder: Path) -> list[list[Path]]:
    try:
        listed = sorted(itertools.islice(folder.iterdir(), FILES), key=_by_number)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from error
    sets = [one for one in listed if one.name.startswith(SETS) and one.is_dir()]
    if sets:
        return [[file for file in sorted(one.iterdir(), key=_by_number) if file.suffix == ".pb"] for one in sets]
    files = [one for one in listed if one.suffix.lower() in KINDS and not one.name.startswith(".")]
    kinds = sorted({one.suffix.lower() for one in files})
    if len(kinds) != 1:
        what = f"files of the kinds {kinds}; keep one kind" if kinds else f"none of {', '.join(KINDS)} in it"
        raise InputError(f"{folder}: a folder of samples holds one file for each of them; there are {what}")
    return [files]


def _is_set(files: Sequence[Path]) -> bool:
    """Whether files are the inputs and outputs of one feed, as ONNX calls them."""
    return all(re.fullmatch(r"(input|output)_\d+\.pb", file.name) for file in files)


def _by_number(path: Path) -> list[Any]:
    numbers = [
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", path.name[:LONGEST])
    ]
    return [*numbers, (0, path.name)]  # 1 and 01 have an order too, whatever the folder's


def _feed(folder: Path, files: Sequence[Path], spec: Sequence[TensorSpec]) -> dict[str, Array]:
    inputs = [file for file in files if file.name.startswith("input_")]
    place = files[0].parent if files else folder
    if len(inputs) != len(spec) or not spec:
        raise InputError(f"{place}: holds {len(inputs)} inputs, and the model has {len(spec)}")
    held = {value.name: read_tensor(file) for file, value in zip(inputs, spec, strict=True)}
    return sample_rows(str(place), held, spec)


def _sample(file: Path, spec: Sequence[TensorSpec]) -> dict[str, Array]:
    if file.suffix.lower() == ".npz":
        return sample_rows(str(file), read_npz(file), spec)
    if len(spec) > 1:
        raise InputError(f"{file}: holds one array, and the model has {len(spec)} inputs; write .npz files")
    array = read_array(file) if file.suffix.lower() == ".npy" else read_tensor(file)
    return sample_rows(str(file), {spec[0].name if spec else LABELS[0]: array}, spec)


def read_array(path: Path) -> Array:
    """The array of an .npy file. Raises InputError when there is no such file or it cannot be read."""
    try:
        with open_file(path, SAMPLES) as file:
            return array_of(file)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, EOFError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it with numpy.save, without objects") from error


def read_tensor(path: Path) -> Array:
    """The tensor of a .pb file. Raises InputError when there is no such file or it holds none."""
    try:
        proto = onnx.TensorProto.FromString(read_bytes(path, SAMPLES))
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError("its data are in another file")
        return np.asarray(ir.serde.deserialize_tensor(proto).numpy())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except ScissionError:
        raise
    except Exception as error:  # protobuf and onnx_ir have no one error for bytes that are no tensor
        raise InputError(f"{path}: holds no tensor of ONNX ({type(error).__name__}: {error})") from error
