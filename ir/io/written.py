"""The graphs and functions of a model as it is written, and which of their nodes say more than their operands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import onnx

__all__ = ["Written", "bodies"]

Holder: TypeAlias = onnx.ModelProto | onnx.GraphProto | onnx.FunctionProto


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A graph or function, and its nodes, those with attributes once more: of a hundred thousand few have any, and
    protobuf makes an object for every field of every node that is asked.

    function: the place among a model's functions of the one that it is, or is inside of; None in the main graph. A node
    without an operator, of which a megabyte holds half a million, is the last one that is listed.
    """

    body: onnx.GraphProto | onnx.FunctionProto
    function: int | None
    nodes: list[onnx.NodeProto]
    telling: list[onnx.NodeProto]

    @property
    def attributes(self) -> Iterator[tuple[onnx.NodeProto, onnx.AttributeProto]]:
        """The attributes of all nodes, each with its node."""
        return ((node, attribute) for node in self.telling for attribute in node.attribute)


def bodies(proto: Holder) -> list[Written]:
    """A graph or function, or those of a model, and every graph inside their nodes; true until nodes or attributes are
    added or taken away.

    >>> from onnx import helper
    >>> nodes = [helper.make_node("Elu", ["x"], ["y"], alpha=0.5), helper.make_node("Relu", ["y"], ["z"])]
    >>> [(len(one.nodes), len(one.telling)) for one in bodies(helper.make_graph(nodes, "g", [], []))]
    [(2, 1)]
    """
    stack: list[tuple[onnx.GraphProto | onnx.FunctionProto, int | None]] = [(proto, None)]
    if isinstance(proto, onnx.ModelProto):
        stack = [(proto.graph, None), *((function, place) for place, function in enumerate(proto.functions))]
    found = []
    while stack:
        body, function = stack.pop()
        nodes = []
        for node in body.node:
            nodes.append(node)
            if not node.op_type:
                break
        found.append(Written(body, function, nodes, [node for node in nodes if node.attribute]))
        for _, attribute in found[-1].attributes:
            inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
            stack.extend((graph, function) for graph in inner)
    return found
