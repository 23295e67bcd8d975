"""Which nodes of a region do not run: ONNX Runtime makes one of a GELU that is spelt out with Erf."""

from __future__ import annotations

from ....ir.axes.region import Region
from ....ir.onnx_ir import onnx_ir as ir
from ..prices import Prices

__all__ = ["merged_nodes"]


# x ─┬─ Div √2 ── Erf ── Add 1 ── Mul ── Mul ½ ── y        (the factors come in either order)
#    └──────────────────────────────┘
#
# Of these five the last one stays, which writes what others read.


def merged_nodes(region: Region, prices: Prices) -> list[ir.Node]:
    """The nodes between the linears of a region that are not launched on a machine with these prices, as others are
    launched in their place."""
    if prices.gelu_nodes > 1:
        return []
    merged: dict[ir.Node, None] = {}
    for node in region.by_operator.get("Erf", ()):
        chain = [*_before(node), node, *_behind(node)]
        if len(chain) == prices.gelu_nodes + 4 and all(one in region.computed and one not in merged for one in chain):
            merged.update(dict.fromkeys(chain[: -prices.gelu_nodes]))
    return list(merged)


def _before(erf: ir.Node) -> list[ir.Node]:
    made = erf.inputs[0].producer() if erf.inputs[0] is not None else None
    return [made] if made is not None and made.op_type in ("Div", "Mul") else []


def _behind(erf: ir.Node) -> list[ir.Node]:
    """Add, Mul and Mul, each the only one to read what the one before wrote."""
    found: list[ir.Node] = []
    value = erf.outputs[0]
    for op in ("Add", "Mul", "Mul"):
        readers = list(value.consumers())
        if len(readers) != 1 or readers[0].op_type != op:
            break
        found.append(readers[0])
        value = readers[0].outputs[0]
    return found
