"""Operators that read constants which were counted at others: in several branches, or in several chains over them."""

from __future__ import annotations

from collections.abc import Iterable

from ..onnx_ir import onnx_ir as ir
from .constants import Constants
from .node import leaf_shape

__all__ = ["repeated"]


def repeated(operators: Iterable[tuple[ir.Node, tuple[str, ...]]], constants: Constants) -> tuple[str, ...]:
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
