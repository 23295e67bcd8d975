"""Load and save ONNX models: lazily, atomically, and losing nothing."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from ..errors import ModelError
from ..given.sources import Source, unwrapped
from ..onnx_ir import collected_seldom, quiet
from ..onnx_ir import onnx_ir as ir
from ..phase import phase
from ..wire.protobuf import WireError
from ..wire.wire import HERE, hollow
from .formats import HEAD, other_format
from .placement import Home, PlacementError
from .soundness import STANDARD, as_counted, mistyped, unsound
from .stand_in import OUTSIDE, SPARSE, Kept, SparseTensor, embed_sparse, prepare
from .tensor_form import tensors, wrong_tensor
from .tensors import StoredTensor, constant_tensors, every_node, fill_slot, graphs, stored, tensor_slots
from .written import Written, bodies

__all__ = ["HERE", "Model", "Source", "first_line", "load", "open_negative", "sort_nodes"]

KNOWN_DOMAINS = frozenset(  # those that ONNX Runtime knows without being told a version
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"}
    | {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "com.microsoft.experimental"}
    | {"org.pytorch.aten", "com.microsoft.dml"}
)


AGAIN = "export the model again"


class InlineTensor(StoredTensor):
    """A tensor whose bytes still lie in the model file that it was read from; its location is `HERE`."""

    @property
    def path(self) -> str:
        """Where the bytes are: a path of any encoding, which no protobuf string could hold."""
        return self.file


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the passes see it: the graph, the name to call it by, and what onnx_ir would drop.

    path: the file that it was read from; home: where that really was, and where its data may be; embedded: files of
    data whose contents are inside of it now.
    """

    graph: ir.Model
    name: str
    path: Path | None = None
    kept: Kept = field(default_factory=Kept, repr=False)
    home: Home | None = None
    embedded: tuple[Path, ...] = ()

    @property
    def external(self) -> bool:
        """Whether any weight lies in another file."""
        return any(map(_is_external, constant_tensors(self.graph)))

    def data_files(self) -> list[Path]:
        """The external data files, each once, in order of first use, and then those that were embedded."""
        tensors: Iterator[Any] = constant_tensors(self.graph)
        return list(dict.fromkeys((*(Path(one.path) for one in tensors if _is_external(one)), *self.embedded)))


@phase("load")
def load(source: Source, name: str | None = None) -> Model:
    """Open a model from a path, bytes, or what holds one in memory; weights stay on disk until they are read.

    Raises ModelError when the file is missing, empty or corrupt, when external data is missing, too short or lies
    outside the model's folder, when a node reads a value that nothing makes, on cycles, and on operator domains
    that have no version.
    """
    source = unwrapped(source)
    if isinstance(source, ir.Model):
        model = Model(source, name or source.graph.name or "model")
    elif isinstance(source, onnx.ModelProto):
        model = _from_proto(source, name or source.graph.name or "model")
    elif isinstance(source, bytes):
        _refuse_other_formats(source[:HEAD], name or "the given bytes")
        model = _from_proto(_parse(source, name or "the given bytes"), name or "model")
    else:
        model = _load_file(Path(source), name)
    _validate(model, given=isinstance(source, ir.Model))
    return model


def _load_file(path: Path, name: str | None) -> Model:
    name = name or str(path)
    try:
        home = Home.of(path)
        with home.model() as file:
            if not os.fstat(file.fileno()).st_size:
                raise ModelError(f"{name}: the file is empty; export the model again")
            _refuse_other_formats(file.read(HEAD), name)
            # Not closed by hand: an error still holds slices of it, and closing then would raise another error.
            skeleton = hollow(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), HERE)
    except WireError as error:
        raise ModelError(f"{name}: not an ONNX model, or cut short ({error}); export or download it again") from None
    except OSError as error:
        raise ModelError(f"{name}: {error.strerror or error}; give the path of a readable .onnx file") from None
    return _from_proto(_parse(skeleton, name), name, path, home)


def _refuse_other_formats(head: bytes, name: str) -> None:
    other = other_format(head, name)
    if other:
        raise ModelError(f"{name}: {other}")


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
        return proto
    except DecodeError as error:
        raise ModelError(f"{name}: not an ONNX model, or cut short ({error}); export or download it again") from None


def _from_proto(proto: onnx.ModelProto, name: str, path: Path | None = None, home: Home | None = None) -> Model:
    if not proto.HasField("graph"):
        raise ModelError(f"{name}: there is no graph in it, so it is not an ONNX model; give an .onnx file")
    if not proto.HasField("ir_version"):
        raise ModelError(f"{name}: it has no IR version, without which nothing runs it; export the model again")
    with collected_seldom(len(proto.graph.node)):
        return _read(proto, name, path, home)


def _read(proto: onnx.ModelProto, name: str, path: Path | None, home: Home | None) -> Model:
    there = bodies(proto)
    _require_named(there, name)
    try:
        embedded = embed_sparse(there, home)
    except ModelError as error:
        raise ModelError(f"{name}: ", *error.parts) from None
    wrong = wrong_tensor(there) or mistyped(proto, there)
    if wrong:
        raise ModelError(f"{name}: {wrong}; export the model again")
    if any(entry.value == SPARSE for tensor in tensors(there) for entry in tensor.external_data):
        raise ModelError(f"{name}: external data {SPARSE!r} lies outside the model's folder; refused, move it there")
    kept = prepare(proto, there)
    try:
        with quiet():
            graph = ir.from_proto(kept.given)
    except Exception as error:  # onnx_ir raises whatever its parts raise; the cause stays attached
        raise ModelError(f"{name}: the graph cannot be read: {first_line(error)}") from error
    # Those of functions stay: ONNX Runtime refuses what is beyond 32 bits there.
    graph.opset_imports.update(
        {name: as_counted(graph.opset_imports[name]) for name in STANDARD & graph.opset_imports.keys()}
    )
    if problem := unsound(graph):
        raise ModelError(f"{name}: {problem}")
    open_negative(graph)
    model = Model(graph, name, path, kept, home, embedded)
    for holder, key, tensor in tensor_slots(graph) if kept.carried else ():
        if isinstance(tensor, ir.ExternalTensor) and tensor.location == SPARSE:
            number = int(tensor.offset or 0)
            fill_slot(holder, key, SparseTensor(number, kept.sparse(number), tensor.name))
    if home is not None:
        _attach_files(model, home)
    elif model.external:
        raise ModelError(f"{name}: {OUTSIDE}")
    return model


def _require_named(there: Iterable[Written], name: str) -> None:
    """Raise ModelError for nodes without an operator, names that are no text, outputs without one, and initializers
    that are there twice."""
    for written in there:
        body = written.body
        last = written.nodes[-1] if written.nodes else None
        if last is not None and not last.op_type:
            number = len(written.nodes) - 1
            raise ModelError(f"{name}: node {last.name or f'number {number}'!r} has no operator; {AGAIN}")
        if bytes in map(type, _names(written)):  # protobuf hands over what it cannot decode
            raise ModelError(f"{name}: a node or value has a name that is no text in UTF-8; export the model again")
        if isinstance(body, onnx.GraphProto) and not all(value.name for value in body.output):
            raise ModelError(f"{name}: a graph in it has an output without a name; export the model again")
        if isinstance(body, onnx.GraphProto) and len({t.name for t in body.initializer}) < len(body.initializer):
            twice = next(name for name, count in Counter(t.name for t in body.initializer).items() if count > 1)
            # ONNX Runtime 1.31 takes the last of three of up to 127 bytes, the second of three larger ones, and refuses
            # two in a branch: there is none that could be read here as it is run there.
            why = "which one ONNX Runtime takes depends on its size and version; keep the one that is meant"
            raise ModelError(f"{name}: initializer {twice!r} is there twice, and {why}")


def _names(written: Written) -> Iterator[str | bytes]:
    for node in written.nodes:
        yield from (node.name, node.op_type, node.domain, *node.input[:], *node.output[:])
    body = written.body
    if isinstance(body, onnx.GraphProto):
        yield from (value.name for values in (body.initializer, body.input, body.output) for value in values)


def first_line(error: BaseException) -> str:
    """What the innermost cause of an error says, in one line."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return (str(error) or type(error).__name__).splitlines()[0]


def _attach_files(model: Model, home: Home) -> None:
    """Point inline tensors at the model file, and check every external one and point it at its file."""
    assert model.path is not None, "what has a home came from a file"
    folder = model.path.absolute().parent
    files: dict[str, tuple[Path, int]] = {}
    for holder, key, tensor in tensor_slots(model.graph):
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        if tensor.location == HERE:
            fill_slot(holder, key, stored(InlineTensor, tensor, home.file))
            continue
        location = str(tensor.location)
        if location not in files:
            try:
                files[location] = home.found(location)
            except PlacementError as error:
                raise ModelError(f"{model.name}: external data {location!r} {error}") from None
        end = (tensor.offset or 0) + (tensor.length or tensor.nbytes)
        file, size = files[location]
        if end > size or (tensor.length or tensor.nbytes) < tensor.nbytes:
            raise ModelError(
                f"{model.name}: weight {tensor.name!r} needs bytes up to {end} of {location}, "
                f"which has {size}; download the data file again"
            )
        outside = stored(StoredTensor, tensor, file)
        outside.base_dir = folder
        fill_slot(holder, key, outside)


def _is_external(tensor: Any) -> bool:
    return isinstance(tensor, ir.ExternalTensor) and not isinstance(tensor, InlineTensor)


def _validate(model: Model, *, given: bool) -> None:
    """Raise ModelError for what cannot run. An unsorted graph is sorted, unless it was `given` and is not ours."""
    if not model.graph.opset_imports:
        raise ModelError(f"{model.name}: no operator set version is imported; export it again with one")
    if given and (problem := unsound(model.graph)):
        raise ModelError(f"{model.name}: {problem}")
    functions = {(domain, name) for domain, name, _ in model.graph.functions}
    bodies: list[ir.Graph | ir.Function] = [model.graph.graph, *model.graph.functions.values()]
    for owner in bodies:
        imports = {**model.graph.opset_imports, **owner.opset_imports}
        for node in every_node(owner):
            known = node.domain in imports or node.domain in KNOWN_DOMAINS or (node.domain, node.op_type) in functions
            if not known:
                where = _where(model, node)
                raise ModelError(f"{where}: domain {node.domain!r} has no version; add it to the model's opset_import")
            for value in node.inputs:
                if value is not None and value.producer() is None and value.graph is None:
                    where = _where(model, node)
                    raise ModelError(f"{where}: input {value.name!r} is made by nothing; export the model again")
    for graph in graphs(model.graph):
        for output in graph.outputs:
            if output.producer() is None and not output.is_graph_input() and not output.is_initializer():
                raise ModelError(f"{model.name}: output {output.name!r} is made by nothing; export the model again")
    if given and not all(_is_sorted(graph) for graph in bodies):
        raise ModelError(f"{model.name}: nodes stand before what they read; call model.graph.sort() first")
    try:
        sort_nodes(model.graph)
    except ValueError:
        raise ModelError(f"{model.name}: the graph has a cycle, so it cannot run; export it again") from None


def _where(model: Model, node: ir.Node) -> str:
    return f"{model.name}: node {node.name or node.op_type!r} ({node.op_type})"


def open_negative(model: ir.Model) -> None:
    """Make extents below 0, which some exporters write, dimensions of any size, as ONNX Runtime reads them."""
    for graph in graphs(model):
        for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
            dims = () if value.shape is None else tuple(value.shape)
            if dims and any(isinstance(dim, int) and dim < 0 for dim in dims):
                value.shape = ir.Shape([None if isinstance(dim, int) and dim < 0 else dim for dim in dims])


def sort_nodes(model: ir.Model) -> None:
    """Put nodes behind what they read, in graphs where some are not. Raises ValueError where they form a cycle."""
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in bodies:
        if not _is_sorted(graph):
            graph.sort()


def _is_sorted(graph: ir.Graph | ir.Function) -> bool:
    seen: set[ir.Node] = set()
    for node in every_node(graph):
        for value in node.inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker not in seen and maker.graph is not None and not _encloses(maker, node):
                return False
        seen.add(node)
    return True


def _encloses(maker: ir.Node, node: ir.Node) -> bool:
    """Whether `node` sits in a subgraph of `maker`, whose outputs it therefore cannot read."""
    graph = node.graph
    return graph is not None and getattr(graph, "parent_node", None) is maker
