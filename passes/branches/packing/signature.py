"""What nodes are like: two of one signature compute the same of what they read, but for what their weights hold."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Scope
from ....ir.graph.node import leaf_shape, size, subgraphs
from ....ir.graph.operators import CONTRACTING, UNORDERED
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import LAYER
from ...diff.tensor_identity import Contents
from ...diff.value_numbering import Numbers, attribute_key, constant_of, operands, operator, stated

__all__ = ["Signatures"]

TOLD = 1024  # entries of a constant of integers that says where elements go: larger ones are weights
INTEGERS = frozenset({ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL, ir.DataType.STRING})


class Signatures:
    """Numbers of the nodes of a scope, equal for nodes that are alike; each is found once, when it is asked for."""

    def __init__(self, scope: Scope, constants: Constants) -> None:
        self._scope = scope
        self._constants = constants
        self._numbers = Numbers()
        self._contents = Contents()
        self._local: dict[ir.Node, int] = {}
        self._deep: dict[ir.Node, int] = {}
        self._products: dict[ir.Node, ir.Node | None] = {}

    def local(self, node: ir.Node) -> int:
        """Operator, attributes, and the constants of a node, weights by type and shape alone; and the layer that it is
        said to be in, as one node cannot be on two devices."""
        if node not in self._local:
            self._local[node] = self._numbers.of("local", *self._key(node))
        return self._local[node]

    def deep(self, node: ir.Node) -> int:
        """The same together with all that follows until something else is read as well."""
        stack = [node]
        while stack:
            top = stack[-1]
            if top in self._deep:
                stack.pop()
            elif missing := [reader for _, reader in self._through(top) if reader not in self._deep]:
                stack.extend(missing)
            else:
                self._deep[top] = self._numbers.of("deep", self.local(top), *sorted(self._leads(top)))
                behind = (self._products[reader] for _, reader in self._through(top))
                own = top if top.op_type in CONTRACTING else None
                self._products[top] = own or next((one for one in behind if one is not None), None)
        return self._deep[node]

    def product(self, node: ir.Node) -> ir.Node | None:
        """The first product with a constant that follows before something else is read as well, or the node itself."""
        self.deep(node)
        return self._products[node]

    def holds(self, value: ir.Value) -> Hashable:
        """What a constant holds: a number of its contents, or the value itself where it is computed."""
        tensor = constant_of(value)
        return value if tensor is None else self._contents.of(tensor)

    def same(self, one: ir.Value, other: ir.Value) -> bool:
        """Whether two values are constants that hold the same."""
        tensors = constant_of(one), constant_of(other)
        return None not in tensors and self._contents.of(tensors[0]) == self._contents.of(tensors[1])

    def _key(self, node: ir.Node) -> Iterator[Hashable]:
        if any(True for _ in subgraphs(node)) or any(one.is_ref() for one in node.attributes.values()):
            yield id(node)  # like no other
            return
        yield operator(node)
        yield len(node.outputs)
        yield node.metadata_props.get(LAYER)
        for name, attribute in stated(node, self._scope.opset_imports).items():
            yield name, attribute_key(attribute, self._contents)
        for value in operands(node):
            yield self._operand(value)

    def _operand(self, value: ir.Value | None) -> Hashable:
        if value is None or value not in self._constants:
            return value is None
        node, tensor = value.producer(), constant_of(value)
        if tensor is None:
            return ("computed", id(value)) if node is None else ("computed", self.local(node))
        shape = leaf_shape(value)
        told = tensor.dtype in INTEGERS and size(shape) <= TOLD
        return str(tensor.dtype), shape, self._contents.of(tensor) if told else None

    def _through(self, node: ir.Node) -> Iterator[tuple[int, ir.Node]]:
        """The readers of a node that read nothing else that is computed, each with the place where they read it."""
        for value in node.outputs:
            for reader, slot in value.uses():
                if not self._joins(reader) and reader.graph is self._scope.graph:
                    yield slot, reader

    def _leads(self, node: ir.Node) -> Iterator[tuple[int, int]]:
        yield from ((slot, self._deep[reader]) for slot, reader in self._through(node))
        for value in node.outputs:
            for reader, slot in value.uses():
                if self._joins(reader) or reader.graph is not self._scope.graph:
                    place = -1 if reader.op_type in UNORDERED else slot
                    yield place, self._numbers.of("join", operator(reader))

    def _joins(self, node: ir.Node) -> bool:
        read = {value for value in node.inputs if value is not None and value not in self._constants}
        return len(read) > 1
