"""The product behind the power of a transform, such as with the weights of mels: it reads frequencies where they lie.

    power (B, bins, F) ─ Transpose ─ Slice of frames ─ MatMul(W) ─► (B, F, mels)
                          ──►  for each band of mels   Gather of the frequencies that it reads ─ Conv(Wᵀ of it)
                               Concat (B, mels, F) ─ Transpose ─ Slice of frames

Stages leave frequencies in an order of their own. What brings them into another one copies them, and so does what a
band reads of them: one copy is enough. And mels are fewer than frequencies, so that it is they that are turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.onnx_ir import onnx_ir as ir
from ..decompose.cover_cost import CoverCost
from ..decompose.segmentation import cheapest
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import copy_seconds, products_seconds, transpose_seconds
from .framed import Framed
from .power import Power

__all__ = ["Mel", "bands_seconds", "best_bands", "mel"]

MOST = 512  # outputs; the runs of more are not tried
FRAMES, RANK = 1, 3  # the axis of frames where frequencies are last, and axes of a power


@dataclass(frozen=True, slots=True, eq=False)
class Mel:
    """between: what stands between a power and the product; weight: (bins, outputs); turned: whether outputs come
    before frames in what the product makes."""

    product: ir.Node
    between: tuple[ir.Node, ...]
    weight: npt.NDArray[np.float32]
    turned: bool

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators, in order."""
        return (*self.between, self.product)

    @property
    def slices(self) -> tuple[ir.Node, ...]:
        """Those that leave frames out."""
        return tuple(node for node in self.between if node.op_type == "Slice")

    @property
    def read(self) -> npt.NDArray[np.int64]:
        """The frequencies that are read at all."""
        return np.flatnonzero(self.weight.any(axis=1))


def mel(one: Framed, power: Power, constants: Constants) -> Mel | None:
    """The product with a constant behind a power, where nothing else reads that; None where there is none."""
    try:
        return _mel(one, power, constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return None  # whatever cannot be read stays


def _mel(one: Framed, power: Power, constants: Constants) -> Mel | None:
    if power.keeps or len(power.axes) > 1 or any(axis % (RANK + 1) != FRAMES for axis in power.axes):
        return None
    value, last, between = power.reduce.outputs[0], one.transform is not None, list[ir.Node]()
    while (use := only_use(value)) is not None and is_standard(use[0]):
        node, place = NodeView(use[0], constants), use[1]
        if use[0].op_type == "MatMul":
            weight = _weight(node, place, last, power.bins)
            return None if weight is None else Mel(use[0], tuple(between), weight, not last)
        if place:
            return None
        if use[0].op_type == "Transpose" and list(node.attribute("perm") or ()) == [0, 2, 1]:
            last = not last
        elif use[0].op_type != "Slice" or not _cuts_frames(node, FRAMES if last else FRAMES + 1):
            return None
        between.append(use[0])
        value = use[0].outputs[0]
    return None


def _weight(node: NodeView, place: int, last: bool, bins: int) -> npt.NDArray[np.float32] | None:
    """The constant (bins, outputs) that a product multiplies frequencies by, None where it does not."""
    held, constants = node.operand(1 - place), node.constants
    if place != (0 if last else 1) or held is None or held not in constants or constants.has_ambiguous_leaf(held):
        return None
    shape, dtype = constants.describe(held)
    if dtype != ir.DataType.FLOAT or len(shape) != 2 or shape[0 if last else 1] != bins:
        return None
    if not 0 < shape[1 if last else 0] <= MOST:
        return None
    found = np.asarray(constants.read(held), np.float32)
    return (found if last else found.T) if np.isfinite(found).all() and found.any() else None


def _cuts_frames(node: NodeView, frames: int) -> bool:
    """Whether a Slice leaves out frames alone, and says which axis that is."""
    axes = node.integers("axes", 3) if node.operand(3) is not None else None
    return axes is not None and len(axes) == 1 and -RANK <= axes[0] < RANK and axes[0] % RANK == frames


def best_bands(one: Mel, frames: int, prices: Prices) -> tuple[int, ...]:
    """How many outputs, which follow one another, are computed together, of all of them in order.

    frames: how many there are in all.
    """
    product = prices.left()
    element = prices.gemm_io_s + prices.copy_s
    cost = CoverCost(
        mac=frames * product.mac_s,
        read=prices.find_row_s + frames * element,
        write=frames * element,
        launch=prices.gemm_launch_s + prices.node_s,
    )
    read = np.packbits(one.weight.T != 0, axis=1, bitorder="little")
    words = np.zeros((read.shape[0], -(-read.shape[1] // 8) * 8), np.uint8)
    words[:, : read.shape[1]] = read
    runs, _ = cheapest(words.view(np.uint64), np.ones(len(words), np.int64), cost)
    return tuple(stop - start for start, stop in runs)


def bands_seconds(one: Mel, bands: tuple[int, ...], frames: int, prices: Prices) -> float:
    """Predicted of the products of bands, of what these read, and of joining their results and turning them."""
    shapes, outputs = [], one.weight.shape[1]
    for stop, size in zip(np.cumsum(bands).tolist(), bands, strict=True):
        shapes.append((max(int(one.weight[:, stop - size : stop].any(axis=1).sum()), 1), size))
    read = sum(shape[0] for shape in shapes)
    seconds: float = products_seconds(shapes, frames, FLOAT_BYTES, prices.left()) + (len(bands) + 1) * prices.node_s
    seconds += read * (prices.find_row_s + copy_seconds(read, frames, FLOAT_BYTES, prices))
    seconds += outputs * copy_seconds(outputs, frames, FLOAT_BYTES, prices)
    return seconds + (0 if one.turned else transpose_seconds(outputs * frames, FLOAT_BYTES, prices))
