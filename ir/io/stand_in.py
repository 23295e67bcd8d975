"""What onnx_ir cannot hold travels as a stand-in that it can, and comes back as it was when the model is written.

Sparse tensors become dense ones that are computed when they are read; types of values and attributes without any
counterpart (maps, element types of a later version, texts that are no UTF-8) become a number by which they are found.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import ModelError
from ..folding.budget import Work, budget_of
from ..onnx_ir import onnx_ir as ir
from ..wire.wire import HERE
from .placement import Home, PlacementError
from .tensor_form import TYPES, plain_array
from .written import Written, bodies

__all__ = ["MARK", "OUTSIDE", "SPARSE", "Kept", "SparseTensor", "embed_sparse", "is_known", "prepare", "restore"]

Carried: TypeAlias = "onnx.SparseTensorProto | onnx.AttributeProto | onnx.TypeProto"

SPARSE = "/as a sparse tensor"  # location of the stand-in of a sparse tensor; its offset is the number
MARK = "\0carried"  # in a text that no model has
OUTSIDE = "weights lie in external files; give the model's path instead of its contents"
A = onnx.AttributeProto


@dataclass(frozen=True, slots=True)
class Kept:
    """A model as onnx_ir was given it, and what the stand-ins in it stand for; None when nothing was kept."""

    proto: onnx.ModelProto | None = None
    carried: tuple[Carried, ...] = ()

    @property
    def given(self) -> onnx.ModelProto:
        """The model as onnx_ir is given it."""
        assert self.proto is not None, "nothing was kept"
        return self.proto

    def sparse(self, number: int) -> onnx.SparseTensorProto:
        """The sparse tensor behind a stand-in."""
        found = self.carried[number]
        sparse: onnx.SparseTensorProto = found.sparse_tensor if isinstance(found, A) else found
        return sparse


class SparseTensor(ir.LazyTensor):
    """A sparse tensor as operators see it: dense, from the moment on that somebody reads it."""

    def __init__(self, number: int, sparse: onnx.SparseTensorProto, name: str | None) -> None:
        super().__init__(
            lambda: ir.Tensor(_dense(sparse), name=name),
            ir.DataType(sparse.values.data_type),
            ir.Shape(sparse.dims),
            name=name,
        )
        self.number = number

    def reference(self) -> ir.ExternalTensor:
        """The stand-in that `restore` knows it by."""
        return ir.ExternalTensor(SPARSE, self.number, None, self.dtype, shape=self.shape, name=self.name or "")


def _dense(sparse: onnx.SparseTensorProto) -> npt.NDArray[Any]:
    """All entries of it. Raises ModelError where they are far more than what it is made of."""
    values, places = map(plain_array, (sparse.values, sparse.indices))
    whole = Work(math.prod(sparse.dims) * values.itemsize, 0.0)
    if why := budget_of(values.nbytes + places.nbytes).excess(whole):
        raise ModelError(f"sparse constant {sparse.values.name!r}: {why}")
    dense = np.zeros(sparse.dims, values.dtype)
    if places.ndim == 1:
        dense.reshape(-1)[places] = values
    else:
        dense[tuple(places.T)] = values
    return dense


def embed_sparse(there: Iterable[Written], home: Home | None) -> tuple[Path, ...]:
    """Put what sparse tensors have in other files inside of the model, as ONNX Runtime does; those files, each once.

    there: the `bodies` of a model. Raises ModelError without a home, where a file cannot be read or may not be, and
    where it is too short.
    """
    files: dict[Path, None] = {}
    for part in _sparse_parts(there):
        if (
            part.data_location != onnx.TensorProto.EXTERNAL
            or part.data_type not in TYPES
            or min(part.dims, default=0) < 0
        ):
            continue  # the last two are refused for what they are
        place = {entry.key: entry.value for entry in part.external_data}
        if place.get("location") == HERE:
            continue
        if home is None:
            raise ModelError(OUTSIDE)
        location, start = place.get("location", ""), place.get("offset") or "0"
        size = -(-math.prod(part.dims) * ir.DataType(part.data_type).bitwidth // 8)
        try:
            with home.data(location) as file:
                if not start.isdecimal() or int(start) + size > os.fstat(file.fileno()).st_size:
                    raise ModelError(f"sparse constant {part.name!r} needs bytes that {location} does not have")
                file.seek(int(start))
                part.raw_data = file.read(size)
                files[Path(os.fspath(file.name))] = None
        except PlacementError as error:
            raise ModelError(f"external data {location!r} {error}") from None
        part.ClearField("data_location")
        del part.external_data[:]
    return tuple(files)


def _sparse_parts(there: Iterable[Written]) -> Iterator[onnx.TensorProto]:
    """Values and places of the sparse tensors that operators read."""
    for written in there:
        found = list(getattr(written.body, "sparse_initializer", ()))
        found += [one.sparse_tensor for node, one in written.attributes if _is_sparse_constant(node, one)]
        for sparse in found:
            yield from (sparse.values, sparse.indices)


def prepare(proto: onnx.ModelProto, there: Collection[Written]) -> Kept:
    """The model with a stand-in for everything that onnx_ir would refuse or drop; `proto` itself where nothing is.

    there: its `bodies`. Training information is not looked at, since onnx_ir does not look at it either.
    """
    if not any(True for _ in _strangers(there)) and not any(map(_idle_devices, _nodes(there))):
        return Kept(proto)
    prepared = onnx.ModelProto()
    prepared.CopyFrom(proto)
    there = bodies(prepared)
    for node in filter(_idle_devices, _nodes(there)):
        kept = [one for one in node.device_configurations if one.configuration_id]
        del node.device_configurations[:]
        node.device_configurations.extend(kept)
    carried: list[Carried] = []
    for holder, stranger in list(_strangers(there)):
        number = len(carried)
        carried.append(type(stranger).FromString(stranger.SerializeToString()))
        if isinstance(holder, onnx.GraphProto):
            holder.initializer.append(_reference(number, stranger, stranger.values.name))
        elif isinstance(stranger, onnx.TypeProto):
            stranger.Clear()
            stranger.opaque_type.domain, stranger.opaque_type.name = MARK, str(number)
        elif _is_sparse_constant(holder, stranger):
            sparse = carried[number].sparse_tensor
            stranger.Clear()
            stranger.name, stranger.type = "value", A.TENSOR
            stranger.t.CopyFrom(_reference(number, sparse, ""))
        else:
            name = stranger.name
            stranger.Clear()
            stranger.name, stranger.type, stranger.s = name, A.STRING, f"{MARK}{number}".encode()
    for graph in (one.body for one in bodies(prepared)):
        if isinstance(graph, onnx.GraphProto):
            del graph.sparse_initializer[:]
    return Kept(prepared, tuple(carried))


def restore(proto: onnx.ModelProto, kept: Kept) -> None:
    """Put what was carried back in place of its stand-ins, in a model that may have been edited in between."""
    if not kept.carried:
        return
    for written in bodies(proto):
        if isinstance(written.body, onnx.GraphProto):
            _restore_initializers(written.body, kept)
        for info in _infos(written.body):
            if info.type.opaque_type.domain == MARK:
                info.type.CopyFrom(kept.carried[int(info.type.opaque_type.name)])
        for _, attribute in _attributes(written):
            number = _number_of(attribute)
            if number is None:
                continue
            found = kept.carried[number]
            if isinstance(found, A):
                attribute.CopyFrom(found)
            else:  # a sparse initializer that was made a Constant
                attribute.Clear()
                attribute.name, attribute.type = "sparse_value", A.SPARSE_TENSOR
                attribute.sparse_tensor.CopyFrom(found)


def _restore_initializers(graph: onnx.GraphProto, kept: Kept) -> None:
    dense = []
    for tensor in graph.initializer:
        number = _number_in(tensor)
        if number is None:
            dense.append(tensor)
            continue
        sparse = graph.sparse_initializer.add()
        sparse.CopyFrom(kept.sparse(number))
        sparse.values.name = tensor.name
    if graph.sparse_initializer:
        kept_dense = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in dense]
        del graph.initializer[:]
        graph.initializer.extend(kept_dense)


def _reference(number: int, sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, dims=sparse.dims, data_type=sparse.values.data_type)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=SPARSE)
    tensor.external_data.add(key="offset", value=str(number))
    return tensor


def _number_in(tensor: onnx.TensorProto) -> int | None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return int(entries["offset"]) if entries.get("location") == SPARSE else None


def _number_of(attribute: onnx.AttributeProto) -> int | None:
    if attribute.type == A.TENSOR:
        return _number_in(attribute.t)
    if attribute.type == A.STRING and attribute.s.startswith(MARK.encode()):
        return int(attribute.s[len(MARK) :])
    return None


def _nodes(there: Iterable[Written]) -> Iterator[onnx.NodeProto]:
    return (node for one in there for node in one.nodes)


def _idle_devices(node: onnx.NodeProto) -> bool:
    """Whether a node says of a device configuration not even which, which says nothing; onnx_ir could not write it."""
    said = getattr(node, "device_configurations", ())
    return bool(said) and any(not one.configuration_id for one in said)


def _strangers(there: Iterable[Written]) -> Iterator[tuple[Any, Any]]:
    """(what holds it, what onnx_ir cannot hold): sparse initializers, types of values, and attributes."""
    for written in there:
        body = written.body
        if isinstance(body, onnx.GraphProto):
            yield from ((body, sparse) for sparse in body.sparse_initializer)
        yield from ((info, info.type) for info in _infos(body) if info.HasField("type") and not is_known(info.type))
        yield from ((node, attribute) for node, attribute in _attributes(written) if not _is_readable(attribute))


def _infos(body: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.ValueInfoProto]:
    if isinstance(body, onnx.GraphProto):
        yield from body.input
        yield from body.output
    yield from body.value_info


def _attributes(written: Written) -> Iterator[tuple[Any, onnx.AttributeProto]]:
    if isinstance(written.body, onnx.FunctionProto):
        yield from ((written.body, attribute) for attribute in written.body.attribute_proto)
    yield from written.attributes


def is_known(type_: onnx.TypeProto) -> bool:
    """Whether onnx_ir reads the type; what it reads without a word, such as no type at all, is put back later."""
    which = type_.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        found = getattr(type_, which)
        return not found.HasField("elem_type") or found.elem_type in TYPES
    if which in ("sequence_type", "optional_type"):
        inner = getattr(type_, which).elem_type
        return is_known(inner) and inner.WhichOneof("value") not in (None, "opaque_type") and _has_element(inner)
    return which != "map_type" and type_.opaque_type.domain != MARK


def _has_element(type_: onnx.TypeProto) -> bool:
    which = type_.WhichOneof("value")
    return which not in ("tensor_type", "sparse_tensor_type") or getattr(type_, which).HasField("elem_type")


def _is_readable(attribute: onnx.AttributeProto) -> bool:
    if attribute.ref_attr_name:
        return True
    if attribute.type in (A.SPARSE_TENSOR, A.SPARSE_TENSORS):
        return False
    if attribute.type in (A.TYPE_PROTO, A.TYPE_PROTOS):
        return all(map(is_known, [attribute.tp] if attribute.type == A.TYPE_PROTO else attribute.type_protos))
    if attribute.type in (A.STRING, A.STRINGS):
        return _is_text([attribute.s] if attribute.type == A.STRING else attribute.strings)
    if attribute.type in (A.TENSOR, A.TENSORS):
        held = [attribute.t] if attribute.type == A.TENSOR else attribute.tensors
        return all(tensor.data_type in TYPES - {onnx.TensorProto.UNDEFINED} for tensor in held)
    return attribute.type != A.UNDEFINED


def _is_text(strings: Iterable[bytes]) -> bool:
    try:
        for string in strings:
            if string.decode().startswith(MARK):
                return False
    except UnicodeDecodeError:
        return False
    return True


def _is_sparse_constant(holder: Any, attribute: onnx.AttributeProto) -> bool:
    constant = isinstance(holder, onnx.NodeProto) and holder.op_type == "Constant" and holder.domain in ("", "ai.onnx")
    sparse = attribute.name == "sparse_value" and attribute.type == A.SPARSE_TENSOR
    return constant and sparse and attribute.sparse_tensor.values.data_type in TYPES
