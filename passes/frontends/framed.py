"""What takes frames of a signal times a constant: convolutions of one channel with strides, and Fourier transforms.

y[t] = W · x[t·hop … t·hop + n - 1], with a weight W (outputs, n) whichever operator says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ..convolutions.fourier import Fourier, fourier
from ..convolutions.sized import ShapeOf, convolution_seconds
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import Prices
from .emphasis import emphasis
from .padding import padding

__all__ = ["Framed", "framed"]

LARGEST_ENTRIES = 1 << 24  # of a weight, of which copies in float64 are made
UNPADDED = ("NOTSET", "VALID")


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """A product of frames.

    signal: (B, T), (B, 1, T) of a convolution or (B, T, 1) of a transform; weight: (n, outputs), of a transform all
    real parts before all imaginary ones; hop: samples between frames; pads: zeros before and behind the signal; bias:
    (outputs,), None for none; transform: what the operator computes, where it is one, else it is a convolution;
    emphasis: the coefficient of a filter before that, 0 for none; before: operators that pad the signal, whose place
    the pads take.
    """

    node: ir.Node
    signal: ir.Value
    weight: npt.NDArray[np.float32]
    hop: int
    pads: tuple[int, int]
    bias: ir.Value | None = None
    transform: Fourier | None = None
    emphasis: float = 0.0
    before: tuple[ir.Node, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the weight."""
        return fingerprint(self.weight)

    def frames(self, shape_of: ShapeOf) -> tuple[int, int]:
        """(batch, frames of each), at the sizes of a setting."""
        extents = shape_of(self.signal)
        samples = extents[1] if self.transform is not None or len(extents) == 2 else extents[2]
        return extents[0], max((samples + sum(self.pads) - self.weight.shape[0]) // self.hop + 1, 1)

    def seconds(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted of the operator, in the better of the forms that it may have without stages."""
        if self.transform is not None:
            return min(self.transform.seconds(shape_of, prices))
        batch, frames = self.frames(shape_of)
        n, outputs = self.weight.shape
        return convolution_seconds((outputs, 1, n), 1, batch * frames, prices)


def framed(node: ir.Node, constants: Constants) -> Framed | None:
    """The product of frames that a node computes; None for any other node, and where its weights are not known."""
    try:
        return _convolution(node, constants) or _transform(node, constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return None  # whatever cannot be read stays


def _transform(node: ir.Node, constants: Constants) -> Framed | None:
    found = fourier(node, constants)
    if found is None or 2 * found.bins * found.window.size > LARGEST_ENTRIES:
        return None
    first, last = found.places
    whole = np.zeros((found.window.size, 2 * found.bins), np.float32)
    whole[first : last + 1] = found.kernel()[:, 0].T
    parts = np.concatenate([whole[:, 0::2], whole[:, 1::2]], axis=1)
    filtered = emphasis(found.signal, constants)
    whole_signal = Framed(node, found.signal, parts, found.step, (0, 0), transform=found, emphasis=filtered)
    return _with_pads(whole_signal, constants) if found.rank == 2 else whole_signal


def _convolution(node: ir.Node, constants: Constants) -> Framed | None:
    if node.op_type != "Conv" or not is_standard(node) or len(node.inputs) < 2 or len(node.outputs) != 1:
        return None
    signal, weight = node.inputs[:2]
    if signal is None or weight is None or weight not in constants or signal in constants:
        return None
    (outputs, *rest), dtype = constants.describe(weight)
    extents = shape_of(signal)
    if dtype != ir.DataType.FLOAT or len(rest) != 2 or rest[0] != 1 or extents is None or len(extents) != 3:
        return None
    one, n = NodeView(node, constants), rest[1]
    if one.attribute("group", 1) != 1 or one.attribute("auto_pad", "NOTSET") not in UNPADDED:
        return None
    if list(one.attribute("dilations") or [1]) != [1] or not 0 < outputs * n <= LARGEST_ENTRIES:
        return None
    if constants.has_ambiguous_leaf(weight):
        return None
    unpadded = one.attribute("auto_pad", "NOTSET") == "VALID"
    before, behind = (0, 0) if unpadded else map(int, one.attribute("pads") or [0, 0])
    hop = int((one.attribute("strides") or [1])[0])
    if min(before, behind) < 0 or hop < 1:
        return None
    whole: npt.NDArray[np.float32] = np.asarray(constants.read(weight), np.float32)[:, 0].T
    found = Framed(node, signal, whole, hop, (before, behind), one.operand(2), emphasis=emphasis(signal, constants))
    return _with_pads(found, constants)


def _with_pads(one: Framed, constants: Constants) -> Framed:
    """The same of the signal before zeros are put on its sides, where that is all that is done with it."""
    found = padding(one.signal, one.weight.shape[0] // 2, constants)
    if found is None:
        return one
    pads = one.pads[0] + found.pads[0], one.pads[1] + found.pads[1]
    return replace(one, signal=found.signal, pads=pads, before=found.nodes)
