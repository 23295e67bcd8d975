"""The survey: every linear and recurrent operator of a model, every node that is neither and why, and its size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..io.tensors import constant_tensors
from ..onnx_ir import onnx_ir as ir
from .constants import Constants
from .linear import Linear, scopes
from .loop_carried import hidden_to_hidden
from .node import leaf_shape
from .recognise import find_operators
from .recurrent import Recurrent
from .skipped import Skipped

__all__ = ["Survey", "survey"]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What was found in one model; `constants` reads its weights, `parameters` counts all constant entries, `hidden`
    are the addresses of the linears that map states of a loop to themselves, `repeated` those of operators whose
    matrices were all read before."""

    linears: tuple[Linear, ...]
    recurrents: tuple[Recurrent, ...]
    skipped: tuple[Skipped, ...]
    constants: Constants
    parameters: int
    hidden: frozenset[str]
    repeated: tuple[str, ...]


def survey(model: ir.Model) -> Survey:
    """Look through the main graph, every subgraph and every function, in that order; reads no weight.

    >>> import onnx
    >>> node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> w = onnx.helper.make_tensor("w", 1, [2, 2], [1, 0, 0, 1])
    >>> model = ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [w])))
    >>> [(linear.address, linear.shape) for linear in survey(model).linears]
    [('product', (2, 2))]
    """
    constants = Constants(model)
    linears: list[Linear] = []
    recurrents: list[Recurrent] = []
    skipped: list[Skipped] = []
    addresses: set[str] = set()
    for scope in scopes(model):
        addresses.update(scope.addresses.values())
        found, cells, left = find_operators(scope, constants, model.functions)
        linears += found
        recurrents += cells
        skipped += left
    recurrents = [replace(way, address=_free(way.address, addresses)) if way.count > 1 else way for way in recurrents]
    parameters = sum(math.prod(tensor.shape.numpy()) for tensor in constant_tensors(model))
    hidden = hidden_to_hidden(model, linears)
    again = _repeated(_in_order(model, linears, recurrents, skipped), constants)
    return Survey(tuple(linears), tuple(recurrents), tuple(skipped), constants, parameters, hidden, again)


def _in_order(
    model: ir.Model, linears: list[Linear], recurrents: list[Recurrent], skipped: list[Skipped]
) -> Iterator[tuple[ir.Node, tuple[str, ...]]]:
    """Every node that was found, with its addresses, as they stand in the model."""
    own: dict[ir.Node, tuple[str, ...]] = {one.node: (one.address,) for one in linears}
    for way in recurrents:
        own[way.node] = (*own.get(way.node, ()), way.address)
    left = {skip.node for skip in skipped}
    for scope in scopes(model):
        for node, address in scope.addresses.items():
            if node in own:
                yield node, own[node]
            elif address in left:
                yield node, (address,)


def _free(wish: str, taken: set[str]) -> str:
    """An address that no node has: nothing forbids one called 'lstm[forward]'."""
    while wish in taken:
        wish += "'"
    taken.add(wish)
    return wish


def _repeated(operators: Iterable[tuple[ir.Node, tuple[str, ...]]], constants: Constants) -> tuple[str, ...]:
    """The addresses of operators of which every matrix is read by one before them, so that sums leave them out.

    operators: nodes in order, each with its addresses, one for each direction of a recurrent one.
    """
    seen: set[ir.Value] = set()
    found: list[str] = []
    for node, addresses in operators:
        read = [value for value in node.inputs if value is not None and value in constants]
        own = {leaf for value in read for leaf in constants.leaves(value) if len(leaf_shape(leaf)) >= 2}
        if own and own <= seen:
            found += addresses
        seen |= own
    return tuple(found)
