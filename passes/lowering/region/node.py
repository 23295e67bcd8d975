"""One operator inside a region for one block, or for a stack of blocks: the same node on fewer features.

What `refusals` has nothing against can be emitted here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ....ir.graph.operators import NORMS, POINTWISE, QUANTISING, REDUCING, RESHAPING, SOFTMAX
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Indices
from .refusals import copied_axes, feature_extents, picked_places, slice_places, why_not_restricted
from .region_node import Stackable, Unsuited

__all__ = ["restrict"]


def restrict(site: Stackable) -> list[ir.Value | None]:
    """Emit a node for one group of blocks; returns its outputs, None for those that nobody reads.

    Raises Unsuited with the reason where its rule cannot be restricted to these blocks.
    """
    if reason := why_not_restricted(site):
        raise Unsuited(reason)
    return EMITTERS[site.node.op_type](site)


def _pointwise(site: Stackable) -> list[ir.Value | None]:
    rank, selections = site.of_output()
    return site.one([site.aligned(index, rank, selections) for index in range(len(site.node.inputs))])


def _transpose(site: Stackable) -> list[ir.Value | None]:
    rank = site.rank(site.node.inputs[0])
    perm = [int(axis) for axis in site.attribute("perm", range(rank - 1, -1, -1))]
    return site.one([site.operands[0]], perm=[0, *(axis + 1 for axis in perm)] if site.stacked else perm)


def _reshape(site: Stackable) -> list[ir.Value | None]:
    """Reshape to the extents of the block where features lie, to what the node says elsewhere."""
    rank, selections = site.of_output()
    extents = feature_extents(site)
    emitter, op = site.emitter, site.node.op_type
    first = site.operands[0]
    if op in ("Squeeze", "Unsqueeze"):
        source = site.rank(site.node.inputs[0])
        counted = [
            site.from_last(axis, rank if op == "Unsqueeze" else source) for axis in site.integers("axes", 1) or ()
        ]
        return site.one([first, emitter.integers(counted, f"{site.role}/axes")], axes=None)
    if op == "Flatten":
        return site.one([first])
    lead = [len(selections)] if site.stacked else []
    wanted = site.integers("shape", 1)
    for axis in copied_axes(site):
        extents[axis] = site.extent(site.node.outputs[0], axis)
    if wanted is not None:
        told = [extent if extent is not None else wanted[axis] for axis, extent in enumerate(extents)]
        return site.one([first, emitter.integers([*lead, *told], f"{site.role}/shape")])
    key = (site.operands[1], tuple(extents), len(selections))
    if key not in site.shared:
        site.shared[key] = _extents(site, extents, lead)
    return site.one([first, site.shared[key]])


def _expand(site: Stackable) -> list[ir.Value | None]:
    """Expand the axes that tell no features apart; the others are broadcast to an extent of 1, as they are."""
    rank, _ = site.of_output()
    first = site.aligned(0, rank, ())
    told = [extent > 1 for extent in site.labels[site.written].shape]
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
    rank, selections = site.of_output()
    axis = int(site.attribute("axis")) % rank
    inputs = [site.aligned(index, rank, selections) for index in range(len(site.node.inputs))]
    return site.one(inputs, axis=axis - rank)


def _slice(site: Stackable) -> list[ir.Value | None]:
    value, result = site.node.inputs[0], site.operands[0]
    assert value is not None and result is not None
    rank, found = site.rank(value), slice_places(site)
    if not found:
        counted = [site.from_last(axis, rank) for axis in site.integers("axes", 3) or ()]
        return site.one([*site.operands[:3], site.emitter.integers(counted, f"{site.role}/axes"), *site.operands[4:]])
    for axis, ((start, end, step), places) in found.items():
        if places is None:
            bounds = [site.emitter.integers([v], f"{site.role}/window") for v in (start, end, axis - rank, step)]
            result = site.emitter.one("Slice", [result, *bounds], site.role)
        else:
            result = _picked(site, result, value, axis, places)
        result.type = value.type
    return [result]


def _picked(site: Stackable, result: ir.Value, value: ir.Value, axis: int, places: Indices) -> ir.Value:
    """Some features along an axis, those of them that the blocks own: the same places in every block of a stack."""
    rank = site.rank(value)
    found = site.places_of(value, axis, places)[0]
    if int(found[-1] - found[0]) + 1 == found.size and bool((np.diff(found) == 1).all()):
        bounds = (int(found[0]), int(found[-1]) + 1, axis - rank)
        window = [site.emitter.integers([v], f"{site.role}/window") for v in bounds]
        return site.emitter.one("Slice", [result, *window], site.role)
    return site.emitter.one(
        "Gather", [result, site.emitter.integers(found, f"{site.role}/places")], site.role, axis=axis - rank
    )


def _gather(site: Stackable) -> list[ir.Value | None]:
    value, first = site.node.inputs[0], site.operands[0]
    assert value is not None and first is not None
    rank, found = site.rank(value), picked_places(site)
    if found is None:
        axis = int(site.attribute("axis", 0)) % rank
        return site.one(list(site.operands), axis=axis - rank)
    axis, places = found
    if places.ndim:
        return [_picked(site, first, value, axis, places)]
    local = np.searchsorted(site.selected[value][0][axis], places)
    return site.one([first, site.emitter.constant(np.asarray(local, np.int64), f"{site.role}/place")])


def _binding(site: Stackable) -> list[ir.Value | None]:
    rank, selections = site.of_output()
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
    rank, selections = site.of_output()
    return site.one(
        [site.operands[index] if site.inside[index] else site.beside(index, rank, selections) for index in range(2)]
    )


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
