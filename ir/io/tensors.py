"""Tensors of a graph wherever they stand: found, read and put in place."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import ModelError
from ..files.inside import open_real, place_inside
from ..files.reading import DATA
from ..onnx_ir import onnx_ir as ir

__all__ = [
    *(
        "MappedFiles",
        "StoredTensor",
        "constant_tensors",
        "every_node",
        "file_of",
        "fill_slot",
        "graphs",
        "graphs_within",
        "inner_graphs",
        "open_tensor",
    ),
    *("read", "stored", "tensor_slots"),
]


Stored = TypeVar("Stored", bound="StoredTensor")


class StoredTensor(ir.ExternalTensor):
    """A tensor whose bytes lie in a file that is known to be one of its model's: at `file`, a path without links.

    `path` is what to call it. It is read by `read` alone, whoever asks: onnx_ir opens whatever it is told to.
    """

    file = ""

    def numpy(self) -> npt.NDArray[Any]:
        """The tensor as an array of its own. Raises ModelError as `read` does."""
        return read(self)

    def __array__(self, dtype: Any = None) -> npt.NDArray[Any]:
        """The same for numpy."""
        return np.asarray(read(self), dtype)

    def tobytes(self) -> bytes:
        """The bytes as they lie in the file. Raises ModelError as `read` does."""
        return _told(self, _bytes).tobytes()


class MappedFiles:
    """The files of weights, each of them opened once, and no more read of it than is looked at."""

    def __init__(self) -> None:
        self._pages: dict[str, mmap.mmap] = {}

    def array(self, tensor: ir.ExternalTensor) -> npt.NDArray[Any]:
        """A tensor as it lies in its file, in which nobody may write; none of parts of bytes. Raises ModelError as
        `read` does."""
        return _told(tensor, self._array)

    def _array(self, tensor: ir.ExternalTensor) -> npt.NDArray[Any]:
        name = tensor.file if isinstance(tensor, StoredTensor) else str(file_of(tensor))
        if name not in self._pages:
            with open_tensor(tensor) as file:
                self._pages[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        page, offset = self._pages[name], tensor.offset or 0
        if min(page.size(), len(page)) < offset + tensor.nbytes:  # what is no longer there must not be touched
            raise OSError(0, "the file became shorter")
        kind = np.dtype(tensor.dtype.numpy())
        return np.frombuffer(page, kind, tensor.nbytes // kind.itemsize, offset).reshape(tensor.shape.numpy())


def stored(form: type[Stored], tensor: ir.ExternalTensor, file: Path) -> Stored:
    """A tensor that says the same of itself, whose bytes are known to lie in a file."""
    made = form(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=tensor.name,
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )
    made.file = str(file)
    return made


def open_tensor(tensor: ir.ExternalTensor) -> BufferedReader:
    """The file that a tensor lies in, open to be read. Raises OSError."""
    return open_real(file_of(tensor), DATA)


def file_of(tensor: ir.ExternalTensor) -> Path:
    """The file that a tensor lies in, a path without links; one that onnx_ir read lies in the folder that it names.

    Raises OSError.
    """
    if isinstance(tensor, StoredTensor):
        return Path(tensor.file)
    path = Path(tensor.path)
    return place_inside(path, (Path(tensor.base_dir).resolve() if tensor.base_dir else Path(path.absolute().anchor),))


def graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    """The main graph, every subgraph and every function, outermost first."""
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for owner in owners:
        yield owner
        yield from dict.fromkeys(graphs_within(owner))


def every_node(graph: ir.Graph | ir.Function) -> Iterator[ir.Node]:
    """The nodes of a graph, each followed by those of the graphs that it holds."""
    stack: list[Iterator[ir.Node]] = [iter(graph)]
    while stack:
        for node in stack[-1]:
            yield node
            # Of a hundred thousand nodes nearly all hold nothing, which has to be seen at once.
            if node.attributes and (held := inner_graphs(node)):
                stack.append(itertools.chain.from_iterable(held))
                break
        else:
            stack.pop()


def graphs_within(graph: ir.Graph | ir.Function) -> list[ir.Graph]:
    """The graphs inside of a graph, each followed by those inside of it."""
    found: list[ir.Graph] = []
    stack = [held for node in graph if node.attributes for held in inner_graphs(node)][::-1]
    while stack:
        found.append(stack.pop())
        stack += [held for node in found[-1] if node.attributes for held in inner_graphs(node)][::-1]
    return found


def inner_graphs(node: ir.Node) -> list[ir.Graph]:
    """The graphs that are attributes of a node; what is inside of these is not among them."""
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            found.append(attribute.value)
        elif attribute.type == ir.AttributeType.GRAPHS:
            found += attribute.value
    return found


def constant_tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every constant tensor of the model: initializers and tensor attributes, in all graphs and functions."""
    return (tensor for _, _, tensor in tensor_slots(model))


def tensor_slots(model: ir.Model) -> Iterator[tuple[Any, Any, Any]]:
    """(holder, key, tensor) of every constant tensor: key None for the value of an initializer, else an attribute."""
    for graph in graphs(model):
        for value in list(getattr(graph, "initializers", {}).values()):
            if value.const_value is not None:
                yield value, None, value.const_value
        for node in graph:
            for attribute in list(node.attributes.values()) if node.attributes else ():
                if attribute.is_ref():
                    continue
                if attribute.type == ir.AttributeType.TENSOR:
                    yield node, attribute.name, attribute.value
                elif attribute.type == ir.AttributeType.TENSORS:
                    for index, tensor in enumerate(attribute.value):
                        yield node, (attribute.name, index), tensor


def fill_slot(holder: Any, key: Any, tensor: ir.TensorProtocol) -> None:
    """Put another tensor where `tensor_slots` found one."""
    if key is None:
        holder.const_value = tensor
    elif isinstance(key, str):
        doc = holder.attributes[key].doc_string
        holder.attributes[key] = ir.Attr(key, ir.AttributeType.TENSOR, tensor, doc_string=doc)
    else:
        name, index = key
        held = holder.attributes[name]
        tensors = list(held.value)
        tensors[index] = tensor
        holder.attributes[name] = ir.Attr(name, ir.AttributeType.TENSORS, tensors, doc_string=held.doc_string)


def read(tensor: Any) -> npt.NDArray[Any]:
    """The tensor as an array of its own, in ONNX shape and type; what it costs is freed with the array.

    Raises ModelError when the file behind it cannot be read any more, or when its bytes do not fit its shape.
    """
    return _told(tensor, _read)


def _told(tensor: Any, reader: Callable[[Any], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    try:
        return reader(tensor)
    except (OSError, ValueError, TypeError, IndexError, AssertionError) as error:
        where = f"{tensor.path}: " if isinstance(tensor, ir.ExternalTensor) else ""
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"{where}weight {tensor.name!r} cannot be read: {why}; export the model again") from error


def _read(tensor: Any) -> npt.NDArray[Any]:
    if not isinstance(tensor, ir.ExternalTensor):
        return np.asarray(tensor.numpy())
    data = _bytes(tensor)
    if tensor.dtype.bitwidth < 8:  # several in a byte, or parts of one in two
        packed = onnx.TensorProto(data_type=tensor.dtype, dims=tensor.shape.numpy(), raw_data=data.tobytes())
        return np.asarray(ir.serde.deserialize_tensor(packed).numpy())
    return data.view(np.dtype(tensor.dtype.numpy())).reshape(tensor.shape.numpy())


def _bytes(tensor: ir.ExternalTensor) -> npt.NDArray[np.uint8]:
    data: npt.NDArray[np.uint8] = np.empty(tensor.nbytes, np.uint8)
    with open_tensor(tensor) as file:
        file.seek(tensor.offset or 0)
        filled = file.readinto(data.data)
    if filled != data.size:
        raise OSError(0, "the file became shorter")
    return data
