"""A submodel: the part of a model that computes a few operators, as a model of its own that can be run and split."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ...ir.errors import ScissionError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear, Scope, scopes
from ...ir.graph.node import GRAPHS
from ...ir.graph.operators import ARITHMETIC_OF_SIZES, MEASURING, is_one_of
from ...ir.graph.recurrent import INITIAL_C, INITIAL_H, LENGTHS, Recurrent
from ...ir.graph.shapes import shape_of
from ...ir.graph.view import View
from ...ir.onnx_ir import onnx_ir as ir
from .edit import INITIALIZERS_ARE_INPUTS

__all__ = ["SOURCE", "ExtractError", "extract", "extract_nodes", "inferred_types"]

SOURCE = "scission.source"  # under which an input of a submodel keeps the value that it stands for


class ExtractError(ScissionError):
    """A part of a model that cannot stand alone; the message says why."""


def extract(seen: View, operators: Collection[Linear | Recurrent], inner: Collection[ir.Node] = ()) -> ir.Model:
    """Some operators of one graph and the nodes `inner` between and behind them, as a model of its own.

    Its inputs are the values that enter, with the shapes that were inferred, its outputs those that leave. Constants
    are those of the model itself, in the main graph now, and sizes are computed as the model computes them. Every node
    is called by its address in the model, so that it has that address here too, and a plan for these operators holds
    for the submodel. Changes nothing. Raises ExtractError when a value that enters has an unknown rank or type, or when
    a node cannot stand outside its function.

    >>> import onnx
    >>> from scission.ir.graph.view import view
    >>> nodes = [onnx.helper.make_node("Relu", ["x"], ["h"]), onnx.helper.make_node("MatMul", ["h", "w"], ["y"], "up")]
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> w = onnx.helper.make_tensor("w", 1, [2, 2], [1, 0, 0, 1])
    >>> seen = view(ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y], [w]))))
    >>> part = extract(seen, seen.found.linears)
    >>> [node.name for node in part.graph], [value.name for value in part.graph.inputs]
    (['up'], ['h'])
    """
    if len({one.node.graph for one in operators}) != 1:
        raise ExtractError(f"{next(iter(operators)).address}: its operators stand in different graphs")
    wanted = {one.node for one in operators} | set(inner)
    wanted |= {added for one in operators if (added := _folded(one)) is not None}
    exits = _exits(wanted) or [one.output for one in operators]
    return _extracted(seen, wanted, exits, _types_of(operators), next(iter(operators)).address)


def extract_nodes(seen: View, nodes: Sequence[ir.Node]) -> ir.Model:
    """The same of any nodes of the main graph; raises ExtractError as `extract` does."""
    name = next(scopes(seen.model)).addresses[nodes[0]]
    return _extracted(seen, nodes, _exits(nodes) or list(nodes[-1].outputs), {}, name)


def _extracted(
    seen: View,
    wanted: Collection[ir.Node],
    exits: Iterable[ir.Value],
    types: dict[ir.Value, ir.DataType],
    name: str,
) -> ir.Model:
    """Nodes of one graph as a model of that name; exits: its outputs; types: of values that state none."""
    graph = next(iter(wanted)).graph
    scope = next(scope for scope in scopes(seen.model) if scope.graph is graph)
    work = _Extraction(seen.model, seen.found.constants, scope, types)
    for node in scope.graph:
        if node in wanted:
            work.node(node)
    return work.model(exits, name)


def _folded(one: Linear | Recurrent) -> ir.Node | None:
    """The Add of a bias that is folded into a linear."""
    if isinstance(one, Recurrent) or one.bias is None or one.bias.via is not None:
        return None
    return one.bias.node


def _types_of(operators: Iterable[Linear | Recurrent]) -> dict[ir.Value, ir.DataType]:
    """The types that operators tell of what they read and write: many models state none of values in between."""
    known: dict[ir.Value, ir.DataType] = {}
    for one in operators:
        values: list[ir.Value | None] = [one.activation, *one.node.outputs, one.output]
        if isinstance(one, Recurrent):
            values += [one.operand(INITIAL_H), one.operand(INITIAL_C)]
            if (lengths := one.operand(LENGTHS)) is not None:
                known[lengths] = ir.DataType.INT32
        else:
            values.append(one.addend)
        known |= {value: one.dtype for value in values if value is not None}
    return known


def _exits(nodes: Collection[ir.Node]) -> list[ir.Value]:
    """What somebody else reads of what some nodes make."""
    made = [value for node in nodes for value in node.outputs if value.name]
    left = {v for v in made if v.is_graph_output() or any(use.node not in nodes for use in v.uses())}
    return [value for value in made if value in left]


@dataclass(slots=True)
class _Extraction:
    """A model in the making: the twin of every value that was met, in order."""

    source: ir.Model
    constants: Constants
    scope: Scope
    types: dict[ir.Value, ir.DataType]
    twins: dict[ir.Value, ir.Value] = field(default_factory=dict)
    built: list[ir.Node] = field(default_factory=list)
    entering: list[ir.Value] = field(default_factory=list)
    held: list[ir.Value] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    addresses: dict[ir.Node, str] = field(default_factory=dict)
    inferred: dict[ir.Value, ir.TypeProtocol] | None = None
    sizes: dict[ir.Value, bool] = field(default_factory=dict)

    def node(self, node: ir.Node) -> None:
        """Add the twin of a node, after whatever it reads."""
        for attribute in node.attributes.values():
            if attribute.is_ref() or attribute.type in GRAPHS:
                raise ExtractError(f"{self._address(node)}: it depends on the function or the graph that it stands in")
        inputs = [None if value is None else self._operand(value) for value in node.inputs]
        outputs = [self._twin(value) for value in node.outputs]
        self.built.append(
            ir.Node(
                node.domain,
                node.op_type,
                inputs,
                list(node.attributes.values()),
                overload=node.overload,
                outputs=outputs,
                name=self._address(node),
                metadata_props=dict(node.metadata_props),
            )
        )

    def model(self, exits: Iterable[ir.Value], name: str) -> ir.Model:
        """What was collected, with these values as its outputs."""
        if not self.entering:
            raise ExtractError(f"{name}: everything that it reads is constant")
        outputs = []
        for value in dict.fromkeys(exits):
            twin = self.twins[value]
            twin.type = self._type(value)
            twin.shape = twin.shape if twin.shape is not None else shape_of(value)
            outputs.append(twin)
        old = (self.source.ir_version or 0) < INITIALIZERS_ARE_INPUTS
        graph = ir.Graph(
            [*self.entering, *(self.held if old else ())],
            outputs,
            nodes=self.built,
            initializers=self.held,
            opset_imports=dict(self.scope.opset_imports),
            name=name,
        )
        return ir.Model(graph, ir_version=self.source.ir_version)

    def _operand(self, value: ir.Value) -> ir.Value:
        if value in self.twins:
            return self.twins[value]
        if value in self.constants or self._is_size(value):
            return self._computed(value)
        return self._enter(value)

    def _enter(self, value: ir.Value) -> ir.Value:
        shape = shape_of(value)
        if shape is None:
            raise ExtractError(f"{value.name!r} enters it with an unknown rank, so no input can be drawn for it")
        twin = self._twin(value)
        twin.type, twin.shape = self._type(value), ir.Shape(list(shape))
        twin.meta[SOURCE] = value
        self.entering.append(twin)
        return twin

    def _computed(self, value: ir.Value) -> ir.Value:
        """The twin of a constant or a size, with the chain of operators that it is computed by; chains can be deep."""
        stack = [value]
        while stack:
            top = stack[-1]
            maker = top.producer()
            if top in self.twins:
                stack.pop()
            elif maker is None:
                self._hold(top)
            elif maker.op_type in MEASURING and top not in self.constants:
                self.node(maker)  # what it measures is inside, or enters
            elif missing := [v for v in maker.inputs if v is not None and v not in self.twins]:
                stack += missing
            else:
                self.node(maker)
        return self.twins[value]

    def _hold(self, value: ir.Value) -> None:
        tensor = value.const_value
        assert tensor is not None
        twin = self._twin(value)
        twin.type, twin.shape, twin.const_value = ir.TensorType(tensor.dtype), ir.Shape(tensor.shape.numpy()), tensor
        self.held.append(twin)

    def _is_size(self, value: ir.Value) -> bool:
        """Whether a value is computed from extents of tensors and constants alone: random sizes would fit nothing."""
        stack = [value]
        while stack:
            top = stack[-1]
            maker = top.producer()
            if top in self.sizes:
                stack.pop()
            elif maker is None or not is_one_of(maker, ARITHMETIC_OF_SIZES | MEASURING):
                self.sizes[top] = False
            elif maker.op_type in MEASURING:
                self.sizes[top] = True
            else:
                varying = [v for v in maker.inputs if v is not None and v not in self.constants]
                verdicts = [self.sizes.get(v) for v in varying]
                if False in verdicts or None not in verdicts:
                    self.sizes[top] = bool(varying) and all(verdicts)
                else:
                    stack += [v for v, verdict in zip(varying, verdicts, strict=True) if verdict is None]
        return self.sizes[value]

    def _twin(self, value: ir.Value) -> ir.Value:
        twin = ir.Value(name=self._free(value.name) if value.name else "", type=value.type, shape=value.shape)
        self.twins[value] = twin
        return twin

    def _free(self, name: str) -> str:
        """A name of its own: values of a branch and of the graph around it may have one name."""
        while name in self.names:
            name += "'"
        self.names.add(name)
        return name

    def _address(self, node: ir.Node) -> str:
        if not self.addresses:
            self.addresses = {n: address for scope in scopes(self.source) for n, address in scope.addresses.items()}
        return self.addresses[node]

    def _type(self, value: ir.Value) -> ir.TypeProtocol:
        if value.type is not None:
            return value.type
        if value in self.types:
            return ir.TensorType(self.types[value])
        if self.inferred is None:
            self.inferred = inferred_types(self.source)
        if value not in self.inferred:
            raise ExtractError(f"{value.name!r} enters or leaves it, and its type is not known")
        return self.inferred[value]


def inferred_types(model: ir.Model) -> dict[ir.Value, ir.TypeProtocol]:
    """The types that ONNX's own inference finds for the values of the main graph, where the model states none."""
    from onnx_ir.passes.common import ShapeInferencePass

    scratch = model.clone()
    ShapeInferencePass(check_type=False, strict_mode=False)(scratch)
    return {
        value: twin.type
        for node, other in zip(model.graph, scratch.graph, strict=True)
        for value, twin in zip(node.outputs, other.outputs, strict=True)
        if twin.type is not None
    }
