"""Local functions that take weights as arguments, and their bodies in place of their calls."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TypeAlias

from ..errors import ModelError
from ..io.tensors import graphs
from ..io.validity import too_many
from ..onnx_ir import onnx_ir as ir
from ..reason import Cause, Reason
from .constants import Constants
from .node import subgraphs

__all__ = ["FunctionId", "callers", "inline", "weight_takers"]

FunctionId: TypeAlias = "tuple[str, str, str]"
TAG = "scission.function"
UNFOLDED = "in the place of their calls, functions would be {:,} nodes"


def weight_takers(model: ir.Model) -> tuple[set[FunctionId], dict[FunctionId, Reason]]:
    """Functions that some call hands a constant matrix, directly or through another function.

    Returns those whose bodies can stand in for their calls, and those that cannot, with the reason.
    """
    if not model.functions:
        return set(), {}
    constants = Constants(model)
    calls: dict[FunctionId, list[ir.Node]] = {function: [] for function in model.functions}
    for graph in graphs(model):
        for node in graph:
            if node.op_identifier() in calls:
                calls[node.op_identifier()].append(node)
    takers = {
        function
        for function, nodes in calls.items()
        if any(
            v is not None and v in constants and len(constants.describe(v)[0]) >= 2
            for node in nodes
            for v in node.inputs
        )
    }
    pending = list(takers)
    while pending:
        function = model.functions[pending.pop()]
        handed = set(function.inputs)  # whatever may come from an argument: rather too many than one too few
        for node in function.all_nodes():
            if not handed.intersection(node.inputs):
                continue
            handed.update(node.outputs)
            called = node.op_identifier()
            if called in model.functions and called not in takers:
                takers.add(called)
                pending.append(called)
    if count := too_many(model, takers):
        return set(), dict.fromkeys(takers, Reason(Cause.IN_FUNCTION, UNFOLDED.format(count)))
    problems = {taker: problem for taker in takers if (problem := _problem(model, taker, calls[taker]))}
    return takers - problems.keys(), problems


def _problem(model: ir.Model, function: FunctionId, calls: Sequence[ir.Node]) -> Reason | None:
    imports = model.functions[function].opset_imports
    for domain, version in imports.items():
        if model.opset_imports.get(domain, version) != version:
            told = f"the function imports version {version} of {domain or 'ai.onnx'!r}, the model another one"
            return Reason(Cause.IN_FUNCTION, told)
    graph_types = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    if any(attribute.type in graph_types for node in calls for attribute in node.attributes.values()):
        return Reason(Cause.IN_FUNCTION, "the function takes a graph as an attribute")
    if not all(output.name for node in calls for output in node.outputs):
        return Reason(Cause.IN_FUNCTION, "a call leaves out an output")
    return None


def callers(model: ir.Model, functions: Collection[FunctionId]) -> set[FunctionId]:
    """The functions together with all functions that call them, directly or not."""
    calling: dict[FunctionId, list[FunctionId]] = {}
    for identifier, function in model.functions.items():
        for called in {node.op_identifier() for node in function.all_nodes()}:
            calling.setdefault(called, []).append(identifier)
    found, pending = set(functions), list(functions)
    while pending:
        more = [one for one in calling.get(pending.pop(), ()) if one not in found]
        found.update(more)
        pending += more
    return found


def inline(model: ir.Model, functions: Collection[FunctionId]) -> tuple[ir.Model, dict[ir.Node, FunctionId]]:
    """A copy of the model with the bodies of `functions` in place of their calls, and which node came from which.

    Deterministic: the same model and functions always give the same names. Raises ModelError where they would be far
    too many nodes.
    """
    if functions and (count := too_many(model, functions)):
        raise ModelError(f"{model.graph.name or 'model'}: {UNFOLDED.format(count)}; leave them as they are")
    copy = model.clone()
    if not functions:
        return copy, {}
    from onnx_ir.passes.common import InlinePass

    for identifier in functions:
        for node in copy.functions[identifier].all_nodes():
            node.metadata_props[TAG] = json.dumps(identifier)
    wanted = {id(copy.functions[identifier]) for identifier in functions}
    names = _CopyNames(copy)

    def asked(function: ir.Function) -> bool:
        """Whether a call is replaced, asked right before it is."""
        if id(function) not in wanted:
            return False
        names.rename(function)
        return True

    InlinePass(criteria=asked)(copy)
    origins: dict[ir.Node, FunctionId] = {}
    bodies: list[ir.Graph | ir.Function] = [copy.graph, *copy.functions.values()]
    for graph in bodies:  # inlined bodies end up in the functions that stay, too
        for node in graph.all_nodes():
            tag = node.metadata_props.pop(TAG, None)
            if tag is not None:
                domain, name, overload = json.loads(tag)
                origins[node] = (domain, name, overload)
    return copy, origins


class _CopyNames:
    """Names the nodes and values of a function before each of its copies is made, by what onnx_ir would call these.

    onnx_ir takes the first number from 2 on that makes a name a new one, and looks for it from 2 on each time, so that
    of ten thousand calls of one function it looks fifty million times for each name. A name that is new it leaves.
    """

    def __init__(self, model: ir.Model) -> None:
        graph = model.graph
        outputs = (value for node in graph for value in node.outputs)
        self._nodes = {node.name for node in graph if node.name}
        self._values = {value.name for value in (*graph.inputs, *graph.initializers.values(), *outputs) if value.name}
        self._last: dict[tuple[bool, str], int] = {}
        self._plain: dict[ir.Function, list[tuple[ir.Node | ir.Value, str]]] = {}

    def rename(self, function: ir.Function) -> None:
        """Give everything in its body the names of its next copy."""
        if function not in self._plain:
            self._plain[function] = list(_named(function))
        for thing, name in self._plain[function]:
            thing.name = self._new(name, isinstance(thing, ir.Node))

    def _new(self, name: str, of_node: bool) -> str:
        taken = self._nodes if of_node else self._values
        new, number = name, self._last.get((of_node, name), 1)
        while new in taken:
            number += 1
            new = f"{name}_{number}"
        self._last[of_node, name] = number
        taken.add(new)
        return new


def _named(body: ir.Graph | ir.Function) -> list[tuple[ir.Node | ir.Value, str]]:
    """The nodes and values of a body with the names that it states, in the order in which onnx_ir copies them."""
    found: list[tuple[ir.Node | ir.Value, str]] = []
    for node in body:
        for _, _, graph in subgraphs(node):
            found += _named(graph)
        found.append((node, node.name or "node"))
        found += [(value, value.name or "val") for value in node.outputs]
    return found
