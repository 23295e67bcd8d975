"""Operators that move elements and compute none: shapes, slices, pieces, look-ups."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .call import Call, Given, Rule, present, text, whole_numbers

__all__ = ["MOVING"]

REDUCED = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _reshape(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    sizes = whole_numbers(call, given, 1, "shape") or []
    if not call.get("allowzero", 0):
        sizes = [x.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    if -1 in sizes and not x.numel():  # of nothing torch cannot tell
        rest = math.prod(size for size in sizes if size != -1)
        sizes = [(x.numel() // rest if rest else 0) if size == -1 else size for size in sizes]
    return x.reshape(tuple(sizes))


def _flatten(call: Call, given: Given) -> Tensor:
    x, axis = present(given, 0), call.get("axis", 1)
    axis += x.dim() if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    order = call.get("perm")
    return x.permute(list(reversed(range(x.dim()))) if order is None else [int(axis) for axis in order])


def _squeeze(call: Call, given: Given) -> Tensor:
    x, axes = present(given, 0), whole_numbers(call, given, 1, "axes")
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(call: Call, given: Given) -> Tensor:
    x, axes = present(given, 0), whole_numbers(call, given, 1, "axes") or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _expand(call: Call, given: Given) -> Tensor:
    x, sizes = present(given, 0), whole_numbers(call, given, 1, "shape") or []
    return x.expand(torch.broadcast_shapes(x.shape, tuple(sizes)))


def _tile(call: Call, given: Given) -> Tensor:
    return present(given, 0).repeat(whole_numbers(call, given, 1, "repeats") or [])


def _concat(call: Call, given: Given) -> Tensor:
    return torch.cat([one for one in given if one is not None], int(call.get("axis", 1)))


def _split(call: Call, given: Given) -> Sequence[Tensor]:
    x, axis = present(given, 0), int(call.get("axis", 0))
    sizes = whole_numbers(call, given, 1, "split")
    if sizes is None:
        count, extent = call.get("num_outputs", call.outputs), x.shape[axis]
        part = -(-extent // count)
        sizes = [max(min(part, extent - part * place), 0) for place in range(count)]
    made: Sequence[Tensor] = x.split(sizes, axis)
    return made


def _slice(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    starts, ends = (whole_numbers(call, given, place, name) or [] for place, name in ((1, "starts"), (2, "ends")))
    axes = whole_numbers(call, given, 3, "axes") or list(range(len(starts)))
    steps = whole_numbers(call, given, 4, "steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        at = range(*_bounds(start, end, step, x.shape[axis]))
        if step == 1:
            x = x.narrow(axis, at.start if len(at) else 0, len(at))
        else:
            x = x.index_select(axis, torch.tensor(list(at), dtype=torch.int64, device=x.device))
    return x


def _bounds(start: int, end: int, step: int, extent: int) -> tuple[int, int, int]:
    """(First, behind the last, step) of a slice, ends beyond the axis being its ends, as ONNX has it."""
    least, most = (0, extent) if step > 0 else (-1, extent - 1)
    start, end = (one + extent if one < 0 else one for one in (start, end))
    return min(max(start, 0), most), min(max(end, least), most if step > 0 else extent), step


def _counted(index: Tensor, extent: int) -> Tensor:
    """Indices below zero count from the end."""
    index = index.to(torch.int64)
    return torch.where(index < 0, index + extent, index)


def _gather(call: Call, given: Given) -> Tensor:
    x, index = present(given, 0), present(given, 1)
    axis = int(call.get("axis", 0)) % x.dim()
    at = _counted(index, x.shape[axis])
    picked = x.index_select(axis, at.reshape(-1))
    return picked.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _gather_elements(call: Call, given: Given) -> Tensor:
    x, axis = present(given, 0), int(call.get("axis", 0))
    return x.gather(axis, _counted(present(given, 1), x.shape[axis]))


def _gather_nd(call: Call, given: Given) -> Tensor:
    x, index, lead = present(given, 0), present(given, 1), int(call.get("batch_dims", 0))
    if lead:
        parts = [_picked(a, i) for a, i in zip(x.flatten(0, lead - 1), index.flatten(0, lead - 1), strict=True)]
        return torch.stack(parts).reshape(*index.shape[:lead], *parts[0].shape)
    return _picked(x, index)


def _picked(x: Tensor, index: Tensor) -> Tensor:
    return x[_places(x, index)]


def _places(x: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    return tuple(_counted(index[..., place], x.shape[place]) for place in range(index.shape[-1]))


def _scatter_nd(call: Call, given: Given) -> Tensor:
    x, index, updates = (present(given, place) for place in range(3))
    how, places = _reduction(call), _places(x, index)
    if how == "none":
        return x.index_put(places, updates)
    if how == "add":
        return x.index_put(places, updates, accumulate=True)
    shape, width = x.shape, index.shape[-1]
    rows = torch.zeros_like(places[0])
    for place, extent in zip(places, shape[:width], strict=True):
        rows = rows * extent + place
    flat = x.reshape(math.prod(shape[:width]), -1)
    new = updates.reshape(rows.numel(), -1)
    made = flat.scatter_reduce(0, rows.reshape(-1, 1).expand_as(new), new, REDUCED[how], include_self=True)
    return made.reshape(shape)


def _scatter_elements(call: Call, given: Given) -> Tensor:
    x, index, updates = (present(given, place) for place in range(3))
    axis, how = int(call.get("axis", 0)), _reduction(call)
    at = _counted(index, x.shape[axis])
    if how == "none":
        return x.scatter(axis, at, updates)
    return x.scatter_reduce(axis, at, updates, REDUCED[how], include_self=True)


def _reduction(call: Call) -> str:
    return text(call.get("reduction", "none"))


def _pad(call: Call, given: Given) -> Tensor:
    x, pads = present(given, 0), whole_numbers(call, given, 1, "pads") or []
    axes = whole_numbers(call, given, 3, "axes") or list(range(x.dim()))
    mode = text(call.get("mode", "constant"))
    fill = given[2] if len(given) > 2 else None
    value = call.get("value", 0.0) if fill is None else fill.item()
    ends = [(0, 0)] * x.dim()
    for place, axis in enumerate(axes):
        ends[axis] = (pads[place], pads[place + len(axes)])
    if mode == "constant":
        return functional.pad(x, [each for pair in reversed(ends) for each in pair], value=value)
    for axis, (before, after) in enumerate(ends):  # torch repeats floats alone, along its last axes alone
        if before or after:
            at = torch.arange(-before, x.shape[axis] + after, device=x.device)
            x = x.index_select(axis, _repeated(at, x.shape[axis], mode))
    return x


def _repeated(at: Tensor, extent: int, mode: str) -> Tensor:
    """Where along an axis of some extent it says what is at places before and behind it."""
    if mode == "edge":
        return at.clamp(0, extent - 1)
    if mode == "wrap":
        return at % extent
    period = max(2 * (extent - 1), 1)
    return (extent - 1) - ((at % period) - (extent - 1)).abs()


def _to_space(call: Call, given: Given) -> Tensor:
    x, size = present(given, 0), int(call.get("blocksize"))
    N, C, H, W = x.shape
    deep = C // (size * size)
    if text(call.get("mode", "DCR")) == "DCR":
        return x.reshape(N, size, size, deep, H, W).permute(0, 3, 4, 1, 5, 2).reshape(N, deep, H * size, W * size)
    return x.reshape(N, deep, size, size, H, W).permute(0, 1, 4, 2, 5, 3).reshape(N, deep, H * size, W * size)


def _to_depth(call: Call, given: Given) -> Tensor:
    x, size = present(given, 0), int(call.get("blocksize"))
    N, C, H, W = x.shape
    cut = x.reshape(N, C, H // size, size, W // size, size)
    order = (0, 3, 5, 1, 2, 4) if text(call.get("mode", "DCR")) == "DCR" else (0, 1, 3, 5, 2, 4)
    return cut.permute(order).reshape(N, C * size * size, H // size, W // size)


def _triangle(call: Call, given: Given) -> Tensor:
    x, shift = present(given, 0), whole_numbers(call, given, 1, "k") or [0]
    return torch.triu(x, shift[0]) if call.get("upper", 1) else torch.tril(x, shift[0])


MOVING: dict[str, Rule] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Tile": _tile,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterND": _scatter_nd,
    "ScatterElements": _scatter_elements,
    "Scatter": _scatter_elements,
    "Trilu": _triangle,
    "DepthToSpace": _to_space,
    "SpaceToDepth": _to_depth,
}
