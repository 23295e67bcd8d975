"""Where a weight comes from: a linear or recurrent node of a model, or a file that holds a matrix."""

from __future__ import annotations

import importlib.util
import io
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ...ir.errors import INSPECT, ScissionError
from ...ir.files.archive import arrays_of
from ...ir.files.reading import TABLE, WEIGHTS, open_file, path_of, read_bytes, read_text
from ...ir.foreign import holds_objects
from ...ir.graph.addressing import meant
from ...ir.io.load import first_line
from ...ir.printable import printable
from .many_arrays import safetensors

if TYPE_CHECKING:
    from ...ir.graph.constants import Constants
    from ...ir.graph.recurrent import Recurrent
    from ...ir.graph.survey import Survey
    from ...ir.io.load import Source

__all__ = [
    *("AmbiguousError", "Weight", "WeightError", "find_weight", "from_array", "from_model", "is_matrix_file", "locate"),
    *("numpy_errors", "read_weight", "safetensors_errors"),
]

Array = npt.NDArray[Any]

MOST_ENTRIES = 1 << 28  # of a sparse file, which becomes a dense matrix: 2 GiB of float64


class WeightError(ScissionError):
    """A weight that cannot be found or read; the message names the file and says what to do."""


class AmbiguousError(WeightError):
    """A source that holds several matrices; `choices` are (how to name one, what it is), the likeliest first."""

    def __init__(self, message: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.choices = tuple(choices)


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """A matrix (rows, columns), what to call it, and the files that it was read from."""

    name: str
    matrix: Array
    files: tuple[Path, ...] = ()

    @property
    def square(self) -> bool:
        """Whether rows and columns can be the same states."""
        return bool(self.matrix.shape[0] == self.matrix.shape[1])


def locate(source: str) -> tuple[Path, str | None]:
    """(file, what is named in it) of 'FILE' or 'FILE:NAME', where either may have colons of its own.

    The longest beginning that is there is the file. Raises WeightError when there is none.
    """
    if os.path.lexists(source):
        return Path(source), None
    ends = [at for at, letter in enumerate(source) if letter == ":"]
    for end in reversed(ends):
        if source[:end] and os.path.exists(source[:end]):  # noqa: PTH110 - this one never raises
            return Path(source[:end]), source[end + 1 :] or None
    raise WeightError(f"{source}: no such file; give a model, a weight file, or MODEL:NODE")


def read_weight(source: str | os.PathLike[str], node: str | None = None) -> Weight:
    """The weight that 'FILE' or 'FILE:NAME' stands for; `node` names it apart from the path.

    By suffix: .npy, .npz, .mtx, .csv, .tsv, .txt, .safetensors, and anything else is an ONNX model. Nothing is ever
    unpickled. Raises WeightError when there is no such matrix, AmbiguousError when there are several.
    """
    path, name = (Path(source), node) if node is not None else locate(os.fspath(source))
    try:
        if path.is_dir():
            raise WeightError(f"{path}: is a folder; give a model or a weight file")
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            return from_model(path, name)
        shown = f"{path}:{name}" if name else str(path)
        return from_array(reader(path, name), shown, (path,))
    except (OSError, EOFError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "too large for the memory of this machine"
        raise WeightError(f"{path}: {reason}; give a readable model or weight file") from None


def find_weight(source: Source | Array, node: str | None = None) -> Weight:
    """The weight in a model as `scission.plan` takes it, at a path as the command line takes it, or a matrix itself.

    node: address of a linear in the model. Raises WeightError and ModelError as `read_weight` and `from_model` do.

    >>> find_weight(np.eye(2)).square
    True
    """
    if hasattr(source, "detach"):  # a tensor of torch
        source = source.detach().cpu().numpy()
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, (str, os.PathLike)):
        return read_weight(cast("str | os.PathLike[str]", source), node)
    return from_model(source, node)


def is_matrix_file(path: Path) -> bool:
    """Whether a file holds matrices rather than a model, by its suffix.

    >>> is_matrix_file(Path("w.NPY")), is_matrix_file(Path("model.onnx"))
    (True, False)
    """
    return path.suffix.lower() in READERS


def from_array(matrix: Array, name: str = "weight", files: tuple[Path, ...] = ()) -> Weight:
    """A matrix as a weight. Raises WeightError when it is no matrix of numbers, or has no entry."""
    if matrix.ndim != 2:
        told = "give one slice of it" if matrix.ndim > 2 else "give one of inputs by outputs"
        raise WeightError(f"{name}: has shape {matrix.shape}, which is no matrix; {told}")
    if not matrix.size:
        raise WeightError(f"{name}: is empty, shape {matrix.shape}; give a matrix with at least one entry")
    if matrix.dtype.kind not in "biufc" and matrix.dtype.name not in _small_floats():
        raise WeightError(f"{name}: holds {matrix.dtype}, not numbers; save it as an array of numbers")
    return Weight(printable(name), matrix, files)  # file names can be no text at all, or steer a terminal


def from_model(source: Any, node: str | None = None) -> Weight:
    """The weight of a linear (K, N), or the recurrent weight of a node as (H, H), by its address as plans show it.

    Without an address: the only weight, or the only square one. A recurrent weight holds the largest absolute value
    of all gates. Raises ModelError when the model cannot be read, WeightError when the node has no such weight,
    AmbiguousError when there are several.
    """
    from ...ir.errors import ModelError
    from ...ir.graph.functions import weight_takers
    from ...ir.graph.view import glance
    from ...ir.io.load import load

    model = load(source)
    found = glance(model.graph).found
    matrices = _matrices(found)
    takers, _ = weight_takers(model.graph)
    if takers and node not in matrices:  # plans may name nodes as they are with their functions inlined
        matrices = _matrices(glance(model.graph, sorted(takers)).found) | matrices
    if node is None:
        node = _only(model.name, {address: matrix.shape for address, matrix in matrices.items()})
    if node not in matrices and (named := meant(node, {key: (one.weight,) for key, one in matrices.items()})):
        node = _only(model.name, {address: matrices[address].shape for address in named})
    if node not in matrices:
        ways = {key: matrix.shape for key, matrix in matrices.items() if key.startswith(f"{node}[")}
        if ways:
            node = _only(model.name, ways)
        else:
            why = [f"{skip.op}, {skip.reason}" for skip in found.skipped if skip.node == node]
            if why:
                raise WeightError(f"{model.name}: node {node!r} has no weight that can be taken: {why[0]}")
            raise WeightError(f"{model.name}: there is no linear {node!r}; ", INSPECT, " lists them")
    try:
        matrix = matrices[node].read()
    except ModelError as error:
        raise WeightError(f"{model.name}: ", *error.parts) from None
    return from_array(matrix, f"{model.name}:{node}", (*([model.path] if model.path else []), *model.data_files()))


class _Matrix(NamedTuple):
    """A weight of a model that has not been read yet."""

    shape: tuple[int, int]
    read: Callable[[], Array]
    weight: str = ""


def _matrices(found: Survey) -> dict[str, _Matrix]:
    """What can be taken from a model, by address."""
    matrices = {
        one.address: _Matrix(one.shape, partial(one.canonical, found.constants), str(one.weight.name))
        for one in found.linears
    }
    for cell in found.recurrents:
        matrices[cell.address] = _Matrix((cell.hidden, cell.hidden), partial(_recurrent, cell, found.constants))
    return matrices


def _recurrent(cell: Recurrent, constants: Constants) -> Array:
    """The recurrent weight over all gates, inputs in rows: state j reaches state h when any gate of it does."""
    _, gates = cell.stored(constants)  # (gates, H, H), row h lists what unit h reads
    strongest: Array = np.abs(gates).max(axis=0).T
    return strongest


def _only(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The one matrix that is meant when none is named."""
    square = [key for key, shape in shapes.items() if len(shape) == 2 and shape[0] == shape[1]]
    matrices = [key for key, shape in shapes.items() if len(shape) == 2]
    for candidates in (list(shapes), square, matrices):
        if len(candidates) == 1:
            return candidates[0]
    if not shapes:
        raise WeightError(f"{name}: there is no matrix in it; ", INSPECT, " tells about a model's weights")
    flat, even = set(matrices), set(square)
    likely = sorted(shapes, key=lambda key: (key not in even, key not in flat, -math.prod(shapes[key])))
    what = f"{len(square)} square matrices" if square else f"{len(shapes)} matrices and none is square"
    raise AmbiguousError(
        f"{name}: there are {what}; name one, as in {name}:{likely[0]}",
        [(f"{name}:{key}", "x".join(map(str, shapes[key]))) for key in likely],
    )


@contextmanager
def numpy_errors(path: Path) -> Iterator[None]:
    """Whatever numpy raises of a file that it reads becomes a WeightError, but for OSError and MemoryError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever is wrong with the file is said once, below
            yield
    except (WeightError, MemoryError, OSError):
        raise
    except Exception as error:  # numpy raises whatever its parsers of headers and archives raise
        if holds_objects(error):
            reason = "holds Python objects, which are never unpickled"
        else:
            reason = f"not a numpy file, or cut short ({first_line(error)})"
        raise WeightError(f"{path}: {reason}; save it again with numpy.save") from None


def _numpy_file(path: Path, name: str | None) -> Array:
    with numpy_errors(path), open_file(path, WEIGHTS) as file:
        if zipfile.is_zipfile(file):
            file.seek(0)
            return _from_archive(path, name, file)
        return _unnamed(path, name, np.load(path_of(file), mmap_mode="r", allow_pickle=False))


def _from_archive(path: Path, name: str | None, file: BufferedReader) -> Array:
    with arrays_of(file) as loaded:
        names: dict[str, tuple[int, ...]] = dict.fromkeys(loaded.files, ())
        if name is None and len(names) > 1:
            names = {key: loaded.form(key)[0] for key in names}
        chosen: Array = loaded[_named(path, name, names)]
        return chosen


def _text_file(path: Path, name: str | None) -> Array:
    try:
        text = read_text(path, TABLE, "utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        delimiter = next((mark for mark in ";," if lines and mark in lines[0]), None)
        matrix = np.loadtxt(lines, delimiter=delimiter, ndmin=2) if lines else np.empty((0, 0))
    except ValueError as error:
        raise WeightError(f"{path}: not a table of numbers ({first_line(error)}); give one row a line") from None
    return _unnamed(path, name, matrix)


def _matrix_market(path: Path, name: str | None) -> Array:
    from scipy.io import mminfo, mmread

    try:
        text = read_bytes(path, TABLE)
        # On other bytes, NUL among them, and on a last line without an end scipy's reader runs past its buffer.
        if not text.isascii() or b"\0" in text:
            raise WeightError(f"{path}: not a Matrix Market file: it holds bytes that are no text in ASCII")
        text = text.rstrip() + b"\n"
        rows, columns = mminfo(io.BytesIO(text))[:2]
        if rows * columns > MOST_ENTRIES:
            raise WeightError(f"{path}: {rows}x{columns} is too large to look at; give a part of it")
        loaded = mmread(io.BytesIO(text))
    except (ValueError, TypeError, IndexError, OverflowError, StopIteration) as error:
        if isinstance(error, WeightError):
            raise
        raise WeightError(f"{path}: not a Matrix Market file, or cut short ({first_line(error)})") from None
    matrix: Array = loaded if isinstance(loaded, np.ndarray) else loaded.toarray()
    return _unnamed(path, name, matrix)


@contextmanager
def safetensors_errors(path: Path) -> Iterator[None]:
    """Whatever is raised of a file that safetensors reads becomes a WeightError, but for OSError and MemoryError."""
    try:
        yield
    except (WeightError, MemoryError, OSError):
        raise
    except Exception as error:  # its own class is only there where the package is, and numpy lacks some types
        raise WeightError(f"{path}: not a safetensors file that numpy can hold ({first_line(error)})") from None


def _safetensors(path: Path, name: str | None) -> Array:
    if importlib.util.find_spec("safetensors") is None:
        raise WeightError(f"{path}: needs the package safetensors; pip install safetensors")
    with safetensors_errors(path), safetensors(path) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
        chosen: Array = file.get_tensor(_named(path, name, shapes))
        return chosen


def _named(path: Path, name: str | None, shapes: dict[str, Any]) -> str:
    if name is None:
        return _only(str(path), shapes)
    if name not in shapes:
        some = ", ".join(list(shapes)[:8]) + (", …" if len(shapes) > 8 else "")
        raise WeightError(f"{path}: there is no array {name!r} in it; there are: {some or 'none'}")
    return name


def _unnamed(path: Path, name: str | None, matrix: Array) -> Array:
    if name is not None:
        raise WeightError(f"{path}: holds one matrix and no names, so {name!r} is not in it; give the path alone")
    return matrix


def _small_floats() -> frozenset[str]:
    """The types of ONNX that numpy itself lacks; they compare and convert like numbers."""
    import ml_dtypes

    return frozenset(name for name in dir(ml_dtypes) if name.startswith(("bfloat", "float", "int", "uint")))


READERS = {
    ".npy": _numpy_file,
    ".npz": _numpy_file,
    ".mtx": _matrix_market,
    ".csv": _text_file,
    ".tsv": _text_file,
    ".txt": _text_file,
    ".safetensors": _safetensors,
}
