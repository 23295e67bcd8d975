"""One operator inside a region for one block, or for a stack of blocks: the same node on fewer features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ....ir.graph.operators import NORMS, POINTWISE, QUANTISING, REDUCING, RESHAPING, SOFTMAX, VECTOR_BIASED
from ....ir.onnx_ir import onnx_ir as ir
from ...decompose.region import Selection
from .region_node import Stackable, Unsuited

__all__ = ["restrict"]


def restrict(site: Stackable) -> list[ir.Value | None]:
    """Emit a node for one group of blocks; returns its outputs, None for those that nobody reads.

    Raises Unsuited with a reason where that is not possible in the layout that was asked for.
    """
    op = site.node.op_type
    if site.features_first and op not in POINTWISE | QUANTISING:
        raise Unsuited(f"{op} cannot be computed with features first")
    return EMITTERS[op](site)


def _of_output(site: Stackable) -> tuple[int, Sequence[Selection]]:
    value = next(output for output in site.node.outputs if output in site.labels)
    return site.labels[value].ndim, site.selected[value]


def _pointwise(site: Stackable) -> list[ir.Value | None]:
    rank, selections = _of_output(site)
    if site.node.op_type in VECTOR_BIASED and len(site.node.inputs) > 1 and (site.stacked or site.features_first):
        raise Unsuited(f"{site.node.op_type} takes a vector along the last axis only")
    if site.node.op_type == "PRelu" and site.stacked and not site.inside[0]:
        raise Unsuited("PRelu has as many dimensions as its first operand, which comes from outside")
    return site.one([site.aligned(index, rank, selections) for index in range(len(site.node.inputs))])


def _transpose(site: Stackable) -> list[ir.Value | None]:
    rank = site.rank(site.node.inputs[0])
    perm = [int(axis) for axis in site.attribute("perm", range(rank - 1, -1, -1))]
    return site.one([site.operands[0]], perm=[0, *(axis + 1 for axis in perm)] if site.stacked else perm)


def _reshape(site: Stackable) -> list[ir.Value | None]:
    """Reshape to the extents of the block where features lie, to what the node says elsewhere."""
    rank, selections = _of_output(site)
    labels = next(site.labels[output] for output in site.node.outputs if output in site.labels)
    extents = [selections[0][axis].size if labels.shape[axis] > 1 else None for axis in range(rank)]
    emitter, op = site.emitter, site.node.op_type
    first = site.operands[0]
    if op in ("Squeeze", "Unsqueeze"):
        source = site.rank(site.node.inputs[0])
        axes = site.integers("axes", 1)
        if axes is None:
            raise Unsuited("Squeeze of whatever extents are 1")
        counted = [site.from_last(axis, rank if op == "Unsqueeze" else source) for axis in axes]
        return site.one([first, emitter.integers(counted, f"{site.role}/axes")], axes=None)
    if op == "Flatten":
        if site.stacked:
            raise Unsuited("Flatten cannot be stacked")
        return site.one([first])
    lead = [len(selections)] if site.stacked else []
    wanted = site.integers("shape", 1)
    copied = [] if site.attribute("allowzero", 0) else _copied(site, extents)
    for axis in copied:  # a zero there would copy what the block has of it
        if wanted is None or wanted[axis] == 0:
            extents[axis] = site.extent(site.node.outputs[0], axis)
    if wanted is not None:
        told = [extent if extent is not None else wanted[axis] for axis, extent in enumerate(extents)]
        return site.one([first, emitter.integers([*lead, *told], f"{site.role}/shape")])
    key = (site.operands[1], tuple(extents), len(selections))
    if key not in site.shared:
        site.shared[key] = _extents(site, extents, lead)
    return site.one([first, site.shared[key]])


def _copied(site: Stackable, extents: Sequence[int | None]) -> list[int]:
    """The axes of a Reshape's result that tell no features apart, but whose namesakes in what it reads do."""
    value = site.node.inputs[0]
    assert value is not None
    before = site.labels[value].shape
    return [axis for axis, extent in enumerate(extents) if extent is None and before[axis : axis + 1] > (1,)]


def _expand(site: Stackable) -> list[ir.Value | None]:
    """Expand the axes that tell no features apart; the others are broadcast to an extent of 1, as they are."""
    rank, _ = _of_output(site)
    labels = next(site.labels[output] for output in site.node.outputs if output in site.labels)
    first = site.aligned(0, rank, ())
    told = [extent > 1 for extent in labels.shape]
    wanted = site.integers("shape", 1)
    if wanted is not None:
        mask = told[rank - len(wanted) :]
        kept = [1 if own else extent for own, extent in zip(mask, wanted, strict=True)]
        return site.one([first, site.emitter.integers(kept, f"{site.role}/shape")])
    length = site.extent(site.node.inputs[1], 0)
    key = (site.operands[1], tuple(told), "expand")
    if key not in site.shared:
        apart = site.emitter.constant(np.array(told[rank - length :]), "extents/told")
        chosen = site.emitter.one(
            "Where", [apart, site.emitter.integers([1], "extents/one"), site.operands[1]], "extents"
        )
        chosen.type = ir.TensorType(ir.DataType.INT64)
        site.shared[key] = chosen
    return site.one([first, site.shared[key]])


def _extents(site: Stackable, extents: Sequence[int | None], lead: Sequence[int]) -> ir.Value:
    """The shape that is computed at run time, with the extents of the blocks where they are told."""
    emitter = site.emitter
    mask = emitter.constant(np.array([extent is not None for extent in extents]), "extents/told")
    known = emitter.integers([extent or 0 for extent in extents], "extents/known")
    chosen = emitter.one("Where", [mask, known, site.operands[1]], "extents")
    chosen.type = ir.TensorType(ir.DataType.INT64)
    if site.stacked:
        chosen = emitter.one("Concat", [emitter.integers(lead, "extents/count"), chosen], "extents", axis=0)
        chosen.type = ir.TensorType(ir.DataType.INT64)
    return chosen


def _split(site: Stackable) -> list[ir.Value | None]:
    value = site.node.inputs[0]
    rank = site.rank(value)
    axis = int(site.attribute("axis", 0)) % rank
    assert value is not None
    if site.labels[value].shape[axis] == 1:
        return site.one(list(site.operands), axis=axis - rank)
    sizes = [site.selected[output][0][axis].size for output in site.node.outputs]
    lengths = site.emitter.integers(sizes, f"{site.role}/sizes")
    return site.one([site.operands[0], lengths], axis=axis - rank, num_outputs=None)


def _concat(site: Stackable) -> list[ir.Value | None]:
    rank, selections = _of_output(site)
    axis = int(site.attribute("axis")) % rank
    inputs = [site.aligned(index, rank, selections) for index in range(len(site.node.inputs))]
    if site.stacked and not all(site.inside):
        raise Unsuited("a value from outside stands beside stacked ones")
    return site.one(inputs, axis=axis - rank)


def _slice(site: Stackable) -> list[ir.Value | None]:
    value = site.node.inputs[0]
    rank = site.rank(value)
    assert value is not None
    labels = site.labels[value]
    starts, ends = site.integers("starts", 1), site.integers("ends", 2)
    axes = site.integers("axes", 3)
    if axes is not None and all(labels.shape[axis % rank] == 1 for axis in axes) and len(site.node.inputs) > 3:
        counted = site.emitter.integers([site.from_last(axis, rank) for axis in axes], f"{site.role}/axes")
        return site.one([*site.operands[:3], counted, *site.operands[4:]])
    if starts is None or ends is None:
        raise Unsuited("Slice between bounds that are not known")
    axes = [axis % rank for axis in (axes if axes is not None else range(len(starts)))]
    steps = site.integers("steps", 4) or [1] * len(axes)
    result = site.operands[0]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if labels.shape[axis] == 1:
            bounds = [site.emitter.integers([v], f"{site.role}/window") for v in (start, end, axis - rank, step)]
            assert result is not None
            result = site.emitter.one("Slice", [result, *bounds], site.role)
        else:
            places = np.arange(labels.shape[axis])[start:end:step]
            assert result is not None
            result = _picked(site, result, value, axis, places)
        result.type = value.type
    return [result]


def _picked(site: Stackable, result: ir.Value, value: ir.Value, axis: int, places: npt.NDArray[np.int64]) -> ir.Value:
    """Some features along an axis, those of them that the blocks own: the same places in every block of a stack."""
    rank = site.rank(value)
    local = []
    for one in site.selected[value]:
        own = places[np.isin(places, one[axis])]
        local.append(np.searchsorted(one[axis], own))
    if any(not np.array_equal(local[0], other) for other in local[1:]):
        raise Unsuited("stacked blocks own other features of a slice")
    found = local[0]
    if not found.size:
        raise Unsuited("a block owns nothing of a slice")
    if int(found[-1] - found[0]) + 1 == found.size and bool((np.diff(found) == 1).all()):
        bounds = (int(found[0]), int(found[-1]) + 1, axis - rank)
        window = [site.emitter.integers([v], f"{site.role}/window") for v in bounds]
        return site.emitter.one("Slice", [result, *window], site.role)
    return site.emitter.one(
        "Gather", [result, site.emitter.integers(found, f"{site.role}/places")], site.role, axis=axis - rank
    )


def _gather(site: Stackable) -> list[ir.Value | None]:
    value, index = site.node.inputs[0], site.node.inputs[1]
    rank = site.rank(value)
    axis = int(site.attribute("axis", 0)) % rank
    assert value is not None
    if site.labels[value].shape[axis] == 1:
        return site.one(list(site.operands), axis=axis - rank)
    assert index is not None
    places = site.constants.read(index)
    extent = site.labels[value].shape[axis]
    if places.ndim == 0 and not site.stacked:
        local = np.searchsorted(site.selected[value][0][axis], int(places) % extent)
        return site.one([site.operands[0], site.emitter.constant(np.asarray(local, np.int64), f"{site.role}/place")])
    if places.ndim == 0:
        raise Unsuited("a single feature of stacked blocks")
    first = site.operands[0]
    assert first is not None
    return [_picked(site, first, value, axis, places.astype(np.int64) % extent)]


def _binding(site: Stackable) -> list[ir.Value | None]:
    rank, selections = _of_output(site)
    axis = site.from_last(int(site.attribute("axis", -1)), rank)
    if site.node.op_type not in NORMS:
        return site.one([site.operands[0]], axis=axis)
    operands = [site.aligned(index, rank, selections) for index in range(1, len(site.node.inputs))]
    return site.one([site.operands[0], *operands], axis=axis)


def _reduce(site: Stackable) -> list[ir.Value | None]:
    value = site.node.inputs[0]
    rank = site.rank(value)
    # Counted from the first: ONNX Runtime (1.31) takes negative ones of an empty tensor for others.
    axes = [axis % rank + site.stacked for axis in site.integers("axes", 1) or []]
    if len(site.node.inputs) > 1:
        return site.one([site.operands[0], site.emitter.integers(axes, f"{site.role}/axes")])
    return site.one([site.operands[0]], axes=axes)


def _matmul(site: Stackable) -> list[ir.Value | None]:
    ranks = [site.rank(value) for value in site.node.inputs[:2]]
    if site.stacked and ranks[0] != ranks[1]:
        raise Unsuited("a product of values of different ranks cannot be stacked")
    rank, selections = _of_output(site)
    operands = []
    for index in range(2):
        if site.inside[index]:
            operands.append(site.operands[index])
            continue
        operands.append(site.beside(index, rank, selections))
    return site.one(operands)


EMITTERS: dict[str, Callable[[Stackable], list[ir.Value | None]]] = {
    **dict.fromkeys(POINTWISE | QUANTISING, _pointwise),
    **dict.fromkeys(RESHAPING, _reshape),
    **dict.fromkeys(NORMS | SOFTMAX, _binding),
    **dict.fromkeys(REDUCING, _reduce),
    "Expand": _expand,
    "Transpose": _transpose,
    "Split": _split,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "MatMul": _matmul,
}
