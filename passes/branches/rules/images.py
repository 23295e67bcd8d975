"""Convolutions and pools: of all branches as images of a longer batch, or with the weights of each as a group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir
from ..packing.packed import Pack, Packed, Result
from ..packing.piece import dims
from ..packing.recipe import Fixed, Ref, integers, turned_back

__all__ = ["convolution", "pool"]


def convolution(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The convolutions of all branches, whose images are stacked.

    equal weights   (B, N, C, …) → (B N, C, …)      one convolution of a longer batch
    a weight each   (B, N, C, …) → (N, B C, …)      a group for each branch, or as many as each has
    """
    first, *weights = operands
    if first is None or not weights or any(one is not None and one.kind != "fixed" for one in weights):
        return None
    held = [one for one in weights if one is not None]
    if weights[0] is None or len(pack.shape_of(weights[0])) != first.rank:
        return None
    if not all(map(pack.equal, held)):
        return _grouped(pack, first, held)
    return _longer(pack, first, [one.values[0] for one in held])


def pool(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """What windows of the images of all branches make."""
    first = operands[0]
    return None if first is None or len(operands) > 1 else _longer(pack, first, [])


def _longer(pack: Pack, first: Packed, weights: Sequence[ir.Value]) -> Result:
    """The operator of all branches on the images of all of them, one after another."""
    if (known := _known(pack, first)) is None:
        return None
    stacked, before, after = known
    images = pack.made("Reshape", stacked, integers([-1, *before], "images"), like=first.values[0])
    made = pack.again(images, *weights)
    return pack.made("Reshape", made, integers([pack.lanes, -1, *after], "branches")), "stack"


def _grouped(pack: Pack, first: Packed, weights: Sequence[Packed]) -> Result:
    """One convolution whose channels are those of all branches, one branch after another."""
    known = _known(pack, first) if pack.nodes[0].op_type == "Conv" else None
    if known is None:
        return None
    stacked, before, after = known
    like, count = first.values[0], pack.lanes
    order = [1, 0, *range(2, len(before) + 2)]
    beside = turned_back(stacked, order) or pack.made("Transpose", stacked, like=like, perm=order)
    channels, *places = before
    images = pack.made("Reshape", beside, integers([0, count * channels, *places], "images"), like=like)
    groups = int(pack.view.attribute("group", 1)) * count
    attributes = pack.attributes | {"group": groups}
    made = pack.made("Conv", images, *(_joined(pack, one) for one in weights), **attributes)
    apart = pack.made("Reshape", made, integers([0, count, *after], "branches"))
    return pack.made("Transpose", apart, perm=order), "stack"


def _known(pack: Pack, operand: Packed) -> tuple[Ref, list[int], list[int]] | None:
    """The images of all branches on a new first axis, and what is behind the batch before and after the operator; None
    where all read the same, or not enough is known of them."""
    if operand.kind in ("same", "fixed") or (stacked := pack.stacked(operand)) is None:
        return None
    before, after = _behind_batch(operand.values[0]), _behind_batch(pack.output)
    return None if before is None or after is None else (stacked, before, after)


def _behind_batch(value: ir.Value) -> list[int] | None:
    """Channels and places of an image; None where one of them is not known, or there are none."""
    shape = dims(value)
    if shape is None or len(shape) < 3:
        return None
    known = [extent for extent in shape[1:] if extent is not None]
    return known if len(known) == len(shape) - 1 and all(known) else None


def _joined(pack: Pack, operand: Packed) -> Fixed:
    """The kernels, or the biases, of all branches one after another."""
    count, *rest = pack.shape_of(operand)

    def make() -> npt.NDArray[np.generic]:
        return np.concatenate([pack.constants.read(value) for value in operand.values])

    return Fixed((count * pack.lanes, *rest), make, "kernels")
