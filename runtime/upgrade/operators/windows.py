"""Operators over windows of pixels that multiply by nothing: pools, and how far what they read is padded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .call import Call, Given, Rule, present, text

__all__ = ["WINDOWS", "padding_of"]

LARGEST = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
Sizes = Sequence[int]


def padding_of(call: Call, extents: Sizes, window: Sizes, strides: Sizes, dilations: Sizes) -> list[int]:
    """Pixels of padding before each axis, then those behind each, however a node says it.

    >>> padding_of(Call("Conv", "c", attributes={"auto_pad": "SAME_UPPER"}), [5], [2], [1], [1])
    [0, 1]
    """
    form = text(call.get("auto_pad", "NOTSET"))
    if form == "VALID":
        return [0] * 2 * len(window)
    if form == "NOTSET":
        return [int(one) for one in call.get("pads") or [0] * 2 * len(window)]
    before, after = [], []
    for extent, size, stride, dilation in zip(extents, window, strides, dilations, strict=True):
        made = -(-extent // stride)
        total = max((made - 1) * stride + (size - 1) * dilation + 1 - extent, 0)
        small, large = total // 2, total - total // 2
        before.append(small if form == "SAME_UPPER" else large)
        after.append(large if form == "SAME_UPPER" else small)
    return before + after


def _pool(call: Call, x: Tensor, fill: float) -> tuple[Tensor, list[int], list[int], list[int], Sizes]:
    """What is pooled, padded, with window, strides and dilations, and the extents that it had with its padding alone.

    Where the number of results is rounded up, more is padded behind, so that the last window is whole.
    """
    window = [int(one) for one in call.get("kernel_shape")]
    strides = [int(one) for one in call.get("strides") or [1] * len(window)]
    dilations = [int(one) for one in call.get("dilations") or [1] * len(window)]
    pads = padding_of(call, x.shape[2:], window, strides, [1] * len(window))  # as ONNX Runtime, whatever dilations are
    before, after = pads[: len(window)], pads[len(window) :]
    stated = [extent + a + b for extent, a, b in zip(x.shape[2:], before, after, strict=True)]
    if call.get("ceil_mode", 0):
        for axis, (extent, size, stride, dilation) in enumerate(zip(stated, window, strides, dilations, strict=True)):
            reach = (size - 1) * dilation + 1
            count = -(-(extent - reach) // stride) + 1
            if (count - 1) * stride >= x.shape[2 + axis] + before[axis]:
                count -= 1  # a window that would begin behind all pixels is none
            after[axis] += max((count - 1) * stride + reach - extent, 0)
    ends = [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair]
    return functional.pad(x, ends, value=fill), window, strides, dilations, stated


def _largest(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    padded, window, strides, dilations, _ = _pool(call, x, float("-inf"))
    return LARGEST[len(window)](padded, window, strides, 0, dilations)


def _mean(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    total, _ = _summed(call, x)
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if call.get("count_include_pad", 0):
        padded, window, strides, dilations, stated = _pool(call, counted, 0)
        inside = torch.zeros_like(padded)
        inside[(slice(None), slice(None), *(slice(0, extent) for extent in stated))] = 1
        return total / _over_windows(inside, window, strides, dilations)
    return total / _summed(call, counted)[0]


def _summed(call: Call, x: Tensor) -> tuple[Tensor, Sizes]:
    padded, window, strides, dilations, stated = _pool(call, x, 0)
    return _over_windows(padded, window, strides, dilations), stated


def _over_windows(x: Tensor, window: Sizes, strides: Sizes, dilations: Sizes) -> Tensor:
    """The sum over each window, an axis at a time."""
    for axis, (size, stride, dilation) in enumerate(zip(window, strides, dilations, strict=True), 2):
        count = (x.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        starts = torch.arange(count, device=x.device) * stride
        x = torch.stack([x.index_select(axis, starts + tap * dilation) for tap in range(size)]).sum(0)
    return x


def _mean_of_all(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _largest_of_all(call: Call, given: Given) -> Tensor:
    x = present(given, 0)
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


WINDOWS: dict[str, Rule] = {
    "MaxPool": _largest,
    "AveragePool": _mean,
    "GlobalAveragePool": _mean_of_all,
    "GlobalMaxPool": _largest_of_all,
}
