"""Shapes that follow from the inputs of a graph, beside those that it states of itself, which may be stale.

A model whose batch was made dynamic by hand often still says 1 in its value_info. Runtimes do not mind, but a rewrite
that believed it would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import onnx

from ..errors import ModelError
from ..io.stand_in import is_known
from ..io.tensors import graphs, inner_graphs
from ..io.validity import too_many
from ..io.written import Written, bodies
from ..onnx_ir import onnx_ir as ir
from ..onnx_ir import quiet
from .operators import POOLS

__all__ = [
    *("DOUBTED", "Extents", "Inference", "correct_shapes", "infer_shapes", "inferred_shapes", "shape_of", "shapes_at"),
]

Extents: TypeAlias = "tuple[int | None, ...]"  # None where it is decided at run time
Doubt: TypeAlias = "Callable[[ir.Node, ir.Node], None]"

KEY = "scission.shape"
DOUBTED = "scission.doubted"  # a domain of which nobody knows the operators
GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
ROUNDS = 8  # pools that are looked at one after another; of more, nothing is inferred
LARGE = 1000  # bytes of a tensor whose values say nothing about shapes


def shape_of(value: ir.Value) -> ir.Shape | None:
    """The inferred shape of a value, where shapes were inferred, else the one that the model states."""
    shape: ir.Shape | None = value.meta.get(KEY, value.shape)
    return shape


def infer_shapes(model: ir.Model) -> None:
    """Infer the shape of every node's outputs afresh with ONNX's own inference; what the model states stays stated."""
    for value, shape in inferred_shapes(model):
        value.meta[KEY] = shape


def inferred_shapes(model: ir.Model) -> list[tuple[ir.Value, ir.Shape | None]]:
    """What ONNX's own inference says of every node's outputs, whatever the model states; changes nothing."""
    try:
        with quiet():
            return list(_told(model, _inferred(model)))
    except Exception:  # ONNX and onnx_ir raise whatever their parts raise: what cannot be inferred has no shapes
        return [(value, None) for graph in graphs(model) for node in graph for value in node.outputs]


def shapes_at(model: ir.Model, settings: Sequence[Mapping[str, int]]) -> list[dict[ir.Value, Extents]]:
    """The shapes of every node's outputs in each setting, as far as ONNX's own inference finds them.

    settings: sizes of open dimensions of the inputs, by name, under '' those without one. Local functions are not
    looked into. Changes nothing.
    """
    inference = Inference(model)
    fed = [one.type.tensor_type.shape for one in inference.proto.graph.input if one.type.HasField("tensor_type")]
    dims = [(dim, "" if dim.WhichOneof("value") is None else dim.dim_param) for shape in fed for dim in shape.dim]
    open_ = [(dim, name) for dim, name in dims if not _fixed(dim)]
    found: list[dict[ir.Value, Extents]] = []
    for sizes in settings:
        for dim, name in open_:
            if name in sizes:
                dim.dim_value = sizes[name]
        found.append(inference.shapes())
    return found


class Inference:
    """Shapes of one model at many sizes of its inputs; the model must not change in between.

    doubt: is handed every node and its copy in what is inferred, which it may change: nothing is inferred of a copy in
    the domain `DOUBTED` but what is stated of its outputs.
    """

    def __init__(self, model: ir.Model, doubt: Doubt | None = None) -> None:
        self.model, self.proto = model, _skeleton(model, doubt)
        self.endless = bool(too_many(model))  # ONNX's inference unfolds functions

    def at(self, inputs: Mapping[str, Sequence[int]]) -> dict[ir.Value, Extents]:
        """The shapes of every node's outputs where inputs have these shapes, by name; as in `shapes_at`."""
        for one in self.proto.graph.input:
            if one.name in inputs and one.type.HasField("tensor_type"):
                dims = (onnx.TensorShapeProto.Dimension(dim_value=extent) for extent in inputs[one.name])
                one.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto(dim=dims))
        return self.shapes()

    def shapes(self) -> dict[ir.Value, Extents]:
        """The same for what the inputs look like now."""
        if self.endless:
            return {}
        try:
            inferred = onnx.shape_inference.infer_shapes(self.proto, data_prop=True)
        except Exception:  # whatever the C++ of onnx throws at a graph that cannot be inferred
            return {}
        return dict(_known(self.model.graph, inferred.graph))


def _skeleton(model: ir.Model, doubt: Doubt | None = None) -> onnx.ModelProto:
    """The model without large weights and without what it states of values in between."""
    if doubt is None and not model.functions:
        return _written(model)
    scratch = model.clone()
    for name, value in scratch.graph.initializers.items():
        if value.const_value is not None and value.const_value.nbytes > LARGE:
            value.const_value = _elsewhere(name, value.const_value)
    for one in graphs(scratch):
        for node in one:
            for value in node.outputs:
                value.shape = None
    if doubt is None:
        return ir.to_proto(scratch)
    for own, copied in zip(graphs(model), graphs(scratch), strict=True):
        for node, twin in zip(own, copied, strict=True):
            doubt(node, twin)
    proto: onnx.ModelProto = ir.to_proto(scratch)
    for holder in (proto, *proto.functions):
        holder.opset_import.add(domain=DOUBTED, version=1)
    return proto


def _written(model: ir.Model) -> onnx.ModelProto:
    """The same of a model without functions, of which nothing is copied but what is written."""
    graph = model.graph
    weights = []
    for name, value in graph.initializers.items():
        tensor = value.const_value
        large = tensor is not None and tensor.nbytes > LARGE
        stub = ir.Value(name=name, type=value.type, shape=value.shape, const_value=_elsewhere(name, tensor))
        weights.append(stub if large else value)
    view: Any = ir.GraphView(graph.inputs, graph.outputs, nodes=graph, initializers=weights, name=graph.name)
    proto = onnx.ModelProto(ir_version=model.ir_version)
    for domain, version in model.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    ir.serde.serialize_graph_into(proto.graph, view, model_ir_version=model.ir_version)
    stack = [proto.graph]
    while stack:
        own = stack.pop()
        given = {one.name for one in (*own.input, *own.initializer)}
        for info in (*own.value_info, *own.output):
            if info.name not in given:
                _forget(info.type)
        for node in own.node:
            for attribute in node.attribute:
                stack += [attribute.g] if attribute.HasField("g") else attribute.graphs
    return proto


def _elsewhere(name: str, tensor: ir.TensorProtocol | None) -> ir.ExternalTensor | None:
    """A reference in place of a tensor, that nobody follows."""
    if tensor is None:
        return None
    return ir.ExternalTensor("-", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=name)


def _forget(kind: onnx.TypeProto) -> None:
    """Leave the shape away that a type states, that of elements too."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        getattr(kind, which).ClearField("shape")
    elif which in ("sequence_type", "optional_type"):
        _forget(getattr(kind, which).elem_type)


def _fixed(dim: Any) -> bool:
    """Whether a dimension has an extent; a negative one means that it is open."""
    return bool(dim.HasField("dim_value") and dim.dim_value >= 0)


def _known(graph: ir.Graph, proto: onnx.GraphProto) -> Iterator[tuple[ir.Value, Extents]]:
    """The values of a graph and the graphs inside it whose rank is known."""
    told: dict[str, Any] = {one.name: one.type for one in (*proto.value_info, *proto.output)}
    alike: dict[bytes, Extents] = {}
    for node, twin in zip(graph, proto.node, strict=True):
        for value in node.outputs:
            kind = told.get(value.name or "")
            if kind is not None and kind.tensor_type.HasField("shape"):
                key = kind.SerializeToString()
                if key not in alike:
                    dims = kind.tensor_type.shape.dim
                    alike[key] = tuple(dim.dim_value if _fixed(dim) else None for dim in dims)
                yield value, alike[key]
        if not node.attributes:
            continue
        inner = {one.name: _graphs_of(one) for one in twin.attribute}
        for attribute in node.attributes.values():
            if attribute.type in GRAPHS and not attribute.is_ref():
                ours = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else list(attribute.value)
                for own, theirs in zip(ours, inner[attribute.name], strict=True):
                    yield from _known(own, theirs)


def _inferred(model: ir.Model) -> onnx.ModelProto:
    """The model with what ONNX infers of it, without its large weights."""
    if count := too_many(model):
        raise ModelError(f"functions unfold to {count} nodes")
    return _as_run(_skeleton(model))


def _as_run(skeleton: onnx.ModelProto) -> onnx.ModelProto:
    """What is inferred of a model, but of pools that count their windows upwards: a window that begins outside of what
    it slides along is not there when they run, and ONNX counts it. What follows from them follows from what they make.

    The skeleton is changed: such pools become operators of which nothing is known but what is stated of them.
    """
    #     size 5, stride 3, windows of 1:   x . . x . (.)   ONNX infers 3, and 2 are made
    there = bodies(skeleton)
    pools = [(one, node) for one in there for node in one.telling if _counts_upwards(node)]
    if not pools:
        return _infer(skeleton)
    for holder in (skeleton, *skeleton.functions):
        holder.opset_import.add(domain=DOUBTED, version=1)
    for one, node in pools:
        node.domain = node.domain if one.function is None else DOUBTED
    for again in range(ROUNDS, -1, -1):
        inferred = _infer(skeleton)
        wrong = _first_wrong_pool(there, inferred)
        if wrong is None:
            break
        graph, node, made = wrong
        node.domain = DOUBTED
        held = next((one for one in (*graph.value_info, *graph.output) if one.name == node.output[0]), None)
        (graph.value_info.add(name=node.output[0]) if held is None else held).type.CopyFrom(made)
        for pool in (pool for _, pool in pools if not again and _counts_upwards(pool)):
            pool.domain = DOUBTED
    return _infer(skeleton) if wrong is not None else inferred


def _infer(skeleton: onnx.ModelProto) -> onnx.ModelProto:
    proto: onnx.ModelProto = onnx.shape_inference.infer_shapes(
        skeleton, check_type=False, strict_mode=False, data_prop=True
    )
    return proto


def _counts_upwards(node: onnx.NodeProto) -> bool:
    """Whether a node is a pool that may have a window which stands outside."""
    if node.op_type not in POOLS or node.domain not in ("", "ai.onnx"):
        return False
    return any(one.name == "ceil_mode" and (one.i or one.ref_attr_name) for one in node.attribute)


def _first_wrong_pool(
    there: Sequence[Written], inferred: onnx.ModelProto
) -> tuple[onnx.GraphProto, onnx.NodeProto, onnx.TypeProto] | None:
    """The first pool, with its graph, that makes other than what is inferred, and what it makes."""
    for written, twin in zip(there, (one.body for one in bodies(inferred)), strict=True):
        graph = written.body
        pools = list(filter(_counts_upwards, written.telling)) if isinstance(graph, onnx.GraphProto) else []
        told = {one.name: one.type for one in (*twin.value_info, *twin.output, *twin.input)} if pools else {}
        for node in pools:
            kind, source = told.get(node.output[0]), told.get(node.input[0])
            if kind is not None and kind.tensor_type.HasField("shape"):
                made = onnx.TypeProto()
                made.CopyFrom(kind)
                _count_windows(node, source, made.tensor_type.shape)
                if made != kind:
                    return graph, node, made
    return None


def _count_windows(node: onnx.NodeProto, source: onnx.TypeProto | None, made: onnx.TensorShapeProto) -> None:
    """Leave the windows away that begin outside, of the extents that are inferred; open those that are not certain."""
    told = {one.name: one for one in node.attribute}
    after = made.dim[2:]
    before = source.tensor_type.shape.dim[2:] if source is not None else ()
    certain = len(before) == len(after) and not any(one.ref_attr_name for one in node.attribute)
    certain = certain and ("auto_pad" not in told or told["auto_pad"].s in (b"", b"NOTSET"))
    defaults = {"strides": 1, "dilations": 1, "pads": 0, "kernel_shape": 1}
    strides, dilations, pads, windows = (
        list(told[name].ints) if name in told else [default] * 2 * len(after) for name, default in defaults.items()
    )
    certain = certain and min(map(len, (strides, dilations, windows, pads[len(after) :]))) >= len(after)
    for axis, dim in enumerate(after):
        if not _fixed(dim):
            continue
        if not certain or not _fixed(before[axis]):
            dim.Clear()
            continue
        size, end = before[axis].dim_value, pads[axis] + pads[axis + len(after)]
        if size + end <= dilations[axis] * (windows[axis] - 1):  # no window stands inside: of some there is none
            dim.Clear()
        elif (dim.dim_value - 1) * strides[axis] >= size + pads[axis]:
            dim.dim_value -= 1


def _told(model: ir.Model, proto: onnx.ModelProto) -> Iterator[tuple[ir.Value, ir.Shape | None]]:
    """What a model written out says of the outputs of all nodes; shapes that are alike are one object."""
    alike: dict[bytes, ir.Shape | None] = {}
    functions = {(one.domain, one.name, one.overload): one for one in proto.functions}
    stack: list[tuple[Any, Any]] = [(model.graph, proto.graph)]
    stack += [(function, functions[name]) for name, function in model.functions.items()]
    while stack:
        graph, twin = stack.pop()
        infos = (*twin.value_info, *(twin.output if isinstance(twin, onnx.GraphProto) else ()))
        told = {one.name: one.type for one in infos}
        for node, written in zip(graph, twin.node, strict=True):
            for value in node.outputs:
                kind = told.get(value.name or "")
                key = b"" if kind is None else kind.SerializeToString()
                if key not in alike:
                    read = ir.serde.deserialize_type_proto_for_shape
                    alike[key] = None if kind is None or not is_known(kind) else read(kind)
                yield value, alike[key]
            if node.attributes:
                stack += zip(inner_graphs(node), _inner_of(written), strict=True)


def _inner_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The same of one that is written, in the same order."""
    return [graph for one in node.attribute for graph in _graphs_of(one)]


def _graphs_of(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    """The graphs in an attribute: one without anything is there although the field is not."""
    return [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else list(attribute.graphs)


def correct_shapes(model: ir.Model) -> None:
    """Where the stated shape of an intermediate value contradicts the inferred one, state what was inferred.

    ONNX Runtime believes value_info when it moves a Transpose, and a rewrite adds some.
    """
    for graph in graphs(model):
        for node in graph:
            for value in node.outputs:
                inferred = value.meta.get(KEY)
                if inferred is not None and value.shape is not None and not value.is_graph_output():
                    value.shape = _reconciled(value.shape, inferred)


def _reconciled(stated: ir.Shape, inferred: ir.Shape) -> ir.Shape:
    """The inferred shape, with stated extents where nothing was inferred."""
    if len(stated) != len(inferred):
        return inferred
    unknown = [not isinstance(dim, int) and dim.value is None for dim in inferred]
    return ir.Shape([old if open_ else new for old, new, open_ in zip(stated, inferred, unknown, strict=True)])
