"""Which nodes of a region run: ONNX Runtime makes one of a GELU that is spelt out with Erf."""

from __future__ import annotations

from ....ir.axes.region import Region
from ....ir.onnx_ir import onnx_ir as ir
from ..prices import Prices

__all__ = ["kernels"]


# x ─┬─ Div √2 ── Erf ── Add 1 ── Mul ── Mul ½ ── y        (the factors come in either order)
#    └──────────────────────────────┘
#
# Of these five the last one stays, which writes what others read.


def kernels(region: Region, prices: Prices) -> list[ir.Node]:
    """The nodes between the linears of a region that are launched on a machine with these prices."""
    if prices.gelu_nodes > 1:
        return list(region.inner)
    inner = dict.fromkeys(region.inner)
    for node in region.inner:
        if node.op_type == "Erf":
            chain = [*_before(node), node, *_behind(node)]
            if len(chain) == prices.gelu_nodes + 4 and all(one in inner for one in chain):
                for one in chain[: -prices.gelu_nodes]:
                    del inner[one]
    return list(inner)


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
