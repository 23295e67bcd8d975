"""What a model is fed: seeded random inputs that suit its types and tables, or the user's own from an .npz file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ...ir.files.archive import arrays_of
from ...ir.files.reading import WEIGHTS, open_file
from ...ir.graph.sizes import UNNAMED, InputError
from ..ort.tensor_spec import TensorSpec, numpy_dtype

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = [
    "UNNAMED",
    "InputError",
    "count_feeds",
    "draw",
    "fit_type",
    "index_bounds",
    "load_npz",
    "name_of",
    "npz_bytes",
    "origin",
    "read_npz",
    "shape_of",
]

Array = npt.NDArray[Any]
Feed = dict[str, Array]

WORDS = ("", "a", "b", "hello", "world", "ß")
PIECE = 1 << 20  # entries that are drawn at a time
# Operators that pass an index on unchanged, in their first input.
CARRIERS = {"Cast", "Reshape", "Unsqueeze", "Squeeze", "Identity", "Expand", "Slice", "Transpose", "Flatten", "Tile"}
# Contrib embedding: (input that holds the index, input that holds its table).
EMBED_LAYER_NORM = ((0, 2), (1, 4), (7, 3))


def draw(
    spec: Sequence[TensorSpec],
    rng: np.random.Generator,
    sizes: Mapping[str, int] | int = 1,
    bounds: Mapping[str, tuple[int, int]] | None = None,
) -> Feed:
    """One random value for each input, of its type and shape.

    Floats are standard normal, bools fair, text from a small set, integers, and floats that become some, uniform in
    bounds[name] = [low, high), other integers 0 or 1. sizes: what dynamic dimensions become; a symbol has one size
    everywhere, and `UNNAMED` stands for whatever is not named (1 without it). Raises InputError naming the input when
    its type is not a tensor of these.

    >>> spec = [TensorSpec(name="x", dtype="float32", shape=("batch", 3)),
    ...         TensorSpec(name="ids", dtype="int64", shape=("batch", None))]
    >>> feed = draw(spec, np.random.default_rng(0), {"batch": 2, UNNAMED: 5}, {"ids": (0, 10)})
    >>> feed["x"].shape, feed["ids"].shape, bool(feed["ids"].max() < 10)
    ((2, 3), (2, 5), True)
    """
    feed = {}
    for value in spec:
        shape = shape_of(value, sizes)
        try:
            feed[value.name] = _draw_one(value, shape, rng, (bounds or {}).get(value.name))
        except InputError:
            raise
        except (MemoryError, OverflowError, ValueError):
            what = f"input {value.name!r}: shape {list(shape)}"
            raise InputError(f"{what} does not fit into memory; ask for smaller sizes") from None
    return feed


def name_of(value: str, axis: int) -> str:
    """What a dimension without a name is called: it can be told from others so, and given a size."""
    return f"{value}[{axis}]"


def shape_of(value: TensorSpec, sizes: Mapping[str, int] | int) -> tuple[int, ...]:
    """The shape of an input where dynamic dimensions have these sizes, see `draw`."""

    def size(dim: int | str | None) -> int:
        if isinstance(dim, int):
            return dim
        if isinstance(sizes, int):
            return sizes
        return sizes.get(dim or UNNAMED, sizes.get(UNNAMED, 1))

    return tuple(size(dim) for dim in value.shape)


def _draw_one(
    value: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, bound: tuple[int, int] | None
) -> Array:
    dtype = numpy_dtype(value.dtype)
    if dtype is None:
        raise InputError(
            f"input {value.name!r} is of type {value.dtype}, which can neither be drawn nor read from an .npz; "
            "`plan` and `apply` rewrite such a model without a proof"
        )
    if value.dtype == "string":
        return np.array(rng.choice(np.array(WORDS, object), shape), object)
    if value.dtype == "bool":
        return _in_pieces(shape, np.dtype(np.bool_), lambda count: rng.integers(0, 2, count))
    is_float = value.dtype == "bfloat16" or dtype.kind == "f"
    if is_float and bound is None:
        return _in_pieces(shape, dtype, rng.standard_normal)
    if not is_float and dtype.kind not in "iu":
        raise InputError(
            f"input {value.name!r}: cannot draw a random {value.dtype}; give real inputs with ", option("inputs")
        )
    low, high = bound or (0, 2)
    if not low < high:
        raise InputError(f"input {value.name!r}: the range [{low}, {high}) is empty")
    if is_float:
        return _in_pieces(shape, dtype, lambda count: rng.integers(low, high, count))
    top = int(np.iinfo(dtype).max) + 1
    return np.asarray(rng.integers(low, min(high, top), shape, dtype=dtype))


def _in_pieces(shape: tuple[int, ...], dtype: np.dtype[Any], some: Callable[[int], Array]) -> Array:
    """An array of what `some` draws one after another: of its wider type there is never more than a piece."""
    drawn = np.empty(shape, dtype)
    flat = drawn.reshape(-1)
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        piece[...] = some(piece.size).astype(dtype)
    return drawn


def index_bounds(model: ir.Model) -> dict[str, tuple[int, int]]:
    """The range [0, rows) of each input that indexes a table of the model, such as token ids of an embedding.

    An index is followed back from Gather, GatherElements, GatherND and EmbedLayerNormalization through operators that
    pass it on (Cast, Reshape, Unsqueeze, Squeeze, Identity, Expand, Slice, Transpose …). An input that indexes several
    tables gets the smallest range. Tables of unknown size bound nothing.
    """
    inputs = {id(value): value for value in model.graph.inputs}
    bounds: dict[str, tuple[int, int]] = {}
    for node in model.graph.all_nodes():
        for index, rows in _lookups(node):
            source = origin(index)
            if id(source) in inputs and rows and source.name:
                low, high = bounds.get(source.name, (0, rows))
                bounds[source.name] = (low, min(high, rows))
    return bounds


def _lookups(node: ir.Node) -> list[tuple[ir.Value, int]]:
    """(index, rows of the table it points into) of one node; 0 rows when unknown."""
    pairs = EMBED_LAYER_NORM if node.op_type == "EmbedLayerNormalization" else ((1, 0),)
    if node.op_type not in ("Gather", "GatherElements", "GatherND", "EmbedLayerNormalization"):
        return []
    found = []
    for place, source in pairs:
        if max(place, source) < len(node.inputs):
            index, table = node.inputs[place], node.inputs[source]
            if index is not None and table is not None:
                found.append((index, _rows(node, index, table)))
    return found


def _rows(node: ir.Node, index: ir.Value, table: ir.Value) -> int:
    shape = table.shape if table.shape is not None else (table.const_value.shape if table.const_value else None)
    if shape is None or not len(shape):
        return 0
    sizes = [dim if isinstance(dim, int) else 0 for dim in shape]
    if node.op_type == "GatherND":
        first = _integer(node, "batch_dims")
        last = index.shape[-1] if index.shape is not None and len(index.shape) else None
        indexed = sizes[first : first + last] if isinstance(last, int) else sizes[first:]
        return min(indexed, default=0)
    axis = _integer(node, "axis")
    return sizes[axis] if -len(sizes) <= axis < len(sizes) else 0


def _integer(node: ir.Node, name: str) -> int:
    attribute = node.attributes.get(name)
    return attribute.as_int() if attribute is not None else 0


def origin(value: ir.Value) -> ir.Value:
    """Where an index comes from, before the operators that pass it on."""
    while (node := value.producer()) is not None and node.op_type in CARRIERS:
        source = node.inputs[0] if node.inputs else None
        if source is None:
            break
        value = source
    return value


def load_npz(path: Path, spec: Sequence[TensorSpec]) -> list[Feed]:
    """The user's own inputs, one array per input under the input's name, as feeds that the model accepts.

    The whole file is used. Usually that is one feed; where the model fixes its first dimension at n and every array has
    k·n rows, it is k feeds. A type may differ when no value changes, say int32 data for an int64 input.
    Raises InputError naming the file and the input: missing or unknown names, a type that loses values, a wrong shape.
    """
    arrays = read_npz(path)
    wanted = [value.name for value in spec]
    missing = [value.name for value in spec if value.name not in arrays and not value.optional]
    unknown = [name for name in arrays if name not in wanted]
    if missing or unknown:
        parts = [f"missing: {missing}"] * bool(missing) + [f"unknown: {unknown}"] * bool(unknown)
        raise InputError(f"{path}: the names do not match the model's inputs {wanted} ({'; '.join(parts)})")
    given = [value for value in spec if value.name in arrays]
    data = {value.name: fit_type(path, value, arrays[value.name]) for value in given}
    parts_each = {count_feeds(path, value, data[value.name]) for value in given}
    if len(parts_each) > 1:
        raise InputError(f"{path}: the arrays hold different numbers of batches: {sorted(parts_each)}")
    count = parts_each.pop() if parts_each else 1
    return [
        {name: np.split(array, count)[place] if count > 1 else array for name, array in data.items()}
        for place in range(count)
    ]


def read_npz(path: Path) -> Feed:
    """All arrays of an .npz file by name. Raises InputError when there is no such file or it cannot be read."""
    try:
        with open_file(path, WEIGHTS) as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path}: not an .npz file; write it with numpy.savez(path, input_name=array, …)")
            file.seek(0)
            with arrays_of(file) as archive:
                return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except InputError:
        raise
    except (OSError, EOFError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: cannot be read ({error}); write it with numpy.savez, without objects") from error


def npz_bytes(path: Path) -> int:
    """Bytes of all arrays of an .npz file, by its table of contents; 0 where it has none, which `read_npz` refuses."""
    try:
        with open_file(path, WEIGHTS) as file, zipfile.ZipFile(file) as archive:
            return sum(one.file_size for one in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return 0


def fit_type(path: Path, value: TensorSpec, array: Array) -> Array:
    """An array of a file in the type of an input. Raises InputError naming both when that would change a value."""
    dtype = numpy_dtype(value.dtype)
    if dtype is None:
        raise InputError(f"{path}: input {value.name!r} is of type {value.dtype}, which no .npz holds")
    if value.dtype == "bfloat16" and array.dtype == np.dtype("V2"):  # how NumPy stores a bfloat16
        return array.view(dtype)
    if array.dtype == dtype:
        return array
    if value.dtype == "string" and array.dtype.kind == "U":
        return array.astype(object)
    if value.dtype != "string" and array.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            changed = array.astype(dtype)
            same = np.array_equal(changed.astype(array.dtype), array, equal_nan=array.dtype.kind == "f")
        if same and (value.dtype != "bool" or array.dtype.kind != "f") and _same_sign(array, changed):
            return changed
    raise InputError(
        f"{path}: input {value.name!r} is {array.dtype} and does not fit {value.dtype} without loss; "
        f"save it as {value.dtype}"
    )


def _same_sign(array: Array, changed: Array) -> bool:
    """An int that wraps around to unsigned comes back equal; only the sign tells."""
    return not array.size or array.dtype.kind == "b" or bool(((array < 0) == (changed < 0)).all())


def count_feeds(path: Path, value: TensorSpec, array: Array) -> int:
    """How many feeds an array makes: k when it has k times the rows that the model fixes, else 1.

    Raises InputError naming the file and the input when the array has another shape than the model wants.
    """
    if not value.shape:  # a scalar, or of unknown rank
        return 1
    fits = array.ndim == len(value.shape) and all(
        size == dim for size, dim in zip(array.shape[1:], value.shape[1:], strict=True) if isinstance(dim, int)
    )
    first = value.shape[0]
    if fits and (not isinstance(first, int) or array.shape[0] == first):
        return 1
    if fits and isinstance(first, int) and first > 0 and array.shape[0] and array.shape[0] % first == 0:
        return int(array.shape[0]) // first
    shape = ", ".join("?" if dim is None else str(dim) for dim in value.shape)
    raise InputError(f"{path}: input {value.name!r} has shape {array.shape}, the model wants ({shape})")
