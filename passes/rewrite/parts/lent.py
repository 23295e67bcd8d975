"""A model that is lent: whoever has it may cut its main graph, and once he is done it is as it was.

What was found out about a model is about its own nodes and values, and takes long to find out. Many parts can be made
of one such model, one after another, where each is copied before the model is put back:

    analysed once ──lent──► cut for part 0 ──copied──► part 0
         ▲                      │
         └──────as it was───────┘  … cut for part 1 ──copied──► part 1
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ....ir.graph.node import subgraphs
from ....ir.io.tensors import every_node
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["lent"]


@contextmanager
def lent(graph: ir.Graph) -> Iterator[None]:
    """Within the context a main graph may be changed in place; afterwards it is as it was, nodes and values the same.

    Of the bodies of its nodes only what their nodes read, and attributes, may be changed.
    """
    before = _snapshot(graph)
    try:
        yield
    finally:
        before.restore(graph)


@dataclass(frozen=True, slots=True, eq=False)
class _NodeAsItWas:
    node: ir.Node
    inputs: tuple[ir.Value | None, ...]
    attributes: tuple[ir.Attr, ...]

    def restore(self) -> None:
        node = self.node
        if len(node.inputs) != len(self.inputs):
            node.resize_inputs(len(self.inputs))
        for index, value in enumerate(self.inputs):
            if node.inputs[index] is not value:
                node.replace_input_with(index, value)
        now = [*node.attributes.values()]
        if len(now) != len(self.attributes) or any(a is not b for a, b in zip(now, self.attributes, strict=True)):
            node.attributes.clear()
            node.attributes.update({attribute.name: attribute for attribute in self.attributes})


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot:
    """inside: the nodes of bodies; values: with their names and shapes; constants: the initializers."""

    nodes: tuple[_NodeAsItWas, ...]
    inside: tuple[_NodeAsItWas, ...]
    values: tuple[tuple[ir.Value, str | None, ir.Shape | None], ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    constants: tuple[ir.Value, ...]

    def restore(self, graph: ir.Graph) -> None:
        """Make the graph what it was."""
        graph.inputs.clear()
        graph.outputs.clear()
        own = {one.node for one in self.nodes}
        new = [node for node in graph if node not in own]
        for node in new:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
        graph.remove(new)
        self._put_back(graph)
        for one in (*self.nodes, *self.inside):
            one.restore()
        for value in [*graph.initializers.values()]:
            del graph.initializers[value.name or ""]
        for value, name, shape in self.values:
            if value.name != name:
                value.name = name
            if value.shape is not shape:
                value.shape = shape
        for value in self.constants:
            graph.initializers[value.name or ""] = value
        graph.inputs.extend(self.inputs)
        graph.outputs.extend(self.outputs)

    def _put_back(self, graph: ir.Graph) -> None:
        """The nodes that were removed, each after the one that it came after."""
        last: ir.Node | None = None
        for one in self.nodes:
            if one.node.graph is None:
                if last is not None:
                    graph.insert_after(last, one.node)
                elif len(graph):
                    graph.insert_before(graph[0], one.node)
                else:
                    graph.append(one.node)
            last = one.node


def _snapshot(graph: ir.Graph) -> _Snapshot:
    inside = [within for node in graph for _, _, inner in subgraphs(node) for within in every_node(inner)]
    made = (value for node in graph for value in node.outputs)
    values = [*graph.inputs, *graph.initializers.values(), *made]
    return _Snapshot(
        nodes=tuple(map(_as_it_is, graph)),
        inside=tuple(map(_as_it_is, inside)),
        values=tuple((value, value.name, value.shape) for value in values),
        inputs=tuple(graph.inputs),
        outputs=tuple(graph.outputs),
        constants=tuple(graph.initializers.values()),
    )


def _as_it_is(node: ir.Node) -> _NodeAsItWas:
    return _NodeAsItWas(node, tuple(node.inputs), tuple(node.attributes.values()))
