"""Operators of which a result depends on all elements along some axes: sums, softmax, norms, the largest ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .call import TYPES, Call, Given, Rule, present, whole_numbers

__all__ = ["REDUCING"]

ONE_AXIS = 13  # the operator set from which a softmax is along one axis, not along all behind it as well
Along = tuple[int, ...]


def _reduced(function: Callable[[Tensor, Along, bool], Tensor]) -> Rule:
    def rule(call: Call, given: Given) -> Tensor:
        x, axes = present(given, 0), whole_numbers(call, given, 1, "axes")
        if not axes and call.get("noop_with_empty_axes", 0):
            return function(x.unsqueeze(0), (0,), False).to(x.dtype)
        along = tuple(axis % x.dim() for axis in axes) if axes else tuple(range(x.dim()))
        keep = bool(call.get("keepdims", 1))
        # Of whole numbers torch makes wider ones, or floats.
        return (function(x, along, keep) if x.dim() else function(x[None], (0,), False)).to(x.dtype)

    return rule


def _product(x: Tensor, axes: Along, keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keep)
    return x


def _mean(x: Tensor, axes: Along, keep: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(axes, keep)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return torch.div(x.sum(axes, keep), count, rounding_mode="trunc").to(x.dtype)


def _exact(x: Tensor) -> Tensor:
    """Whole numbers as floats that hold them, so that what is computed of them is cut to a whole number only then."""
    return x if x.is_floating_point() else x.to(torch.float64)


def _sum(x: Tensor, axes: Along, keep: bool) -> Tensor:
    return x.sum(axes, keep, dtype=x.dtype)


def _softmax(function: Callable[[Tensor, int], Tensor]) -> Rule:
    def rule(call: Call, given: Given) -> Tensor:
        x = present(given, 0)
        if call.opset >= ONE_AXIS:
            return function(x, int(call.get("axis", -1)))
        axis = int(call.get("axis", 1)) % max(x.dim(), 1)
        rows = x.reshape(*x.shape[:axis], -1)
        return function(rows, -1).reshape(x.shape)

    return rule


def _layer_norm(call: Call, given: Given) -> Sequence[Tensor]:
    x, scale = present(given, 0), present(given, 1)
    axis, epsilon = int(call.get("axis", -1)) % x.dim(), float(call.get("epsilon", 1e-5))
    shift = given[2] if len(given) > 2 else None
    y = functional.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
    y = y if shift is None else y + shift
    if call.outputs == 1:
        return (y,)
    along = tuple(range(axis, x.dim()))
    wide = x.to(TYPES[int(call.get("stash_type", 1))])
    variance = wide.var(along, correction=0, keepdim=True)
    return y, wide.mean(along, keepdim=True), (variance + epsilon).rsqrt()


def _rms_norm(call: Call, given: Given) -> Tensor:
    x, scale = present(given, 0), present(given, 1)
    along = tuple(range(int(call.get("axis", -1)) % x.dim(), x.dim()))
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    size = wide.square().mean(along, keepdim=True) + float(call.get("epsilon", 1e-5))
    return (wide * size.rsqrt()).to(x.dtype) * scale


def _skip_norm(call: Call, given: Given) -> Sequence[Tensor]:
    """The sum of two values and a bias, normalised, and as its fourth result the sum itself."""
    plain = call.op == "SkipSimplifiedLayerNormalization"
    bias_at = 3 if plain else 4
    total = present(given, 0) + present(given, 1)
    if len(given) > bias_at and (bias := given[bias_at]) is not None:
        total = total + bias
    epsilon = {"epsilon": call.get("epsilon", 1e-12)}
    inner = Call(call.op, call.address, attributes=epsilon)
    shift = None if plain or len(given) < 4 else given[3]
    y = _rms_norm(inner, [total, given[2]]) if plain else _layer_norm(inner, [total, given[2], shift])[0]
    return y, total.new_zeros(()), total.new_zeros(()), total


def _batch_norm(call: Call, given: Given) -> Tensor:
    x, scale, shift, mean, variance = (present(given, place) for place in range(5))
    return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, float(call.get("epsilon", 1e-5)))


def _instance_norm(call: Call, given: Given) -> Tensor:
    x, scale, shift = (present(given, place) for place in range(3))
    form = (1, -1, *[1] * (x.dim() - 2))
    return _of_groups(x, x.shape[1], call) * scale.reshape(form) + shift.reshape(form)


def _of_groups(x: Tensor, groups: int, call: Call) -> Tensor:
    """Each group of channels normalised, of one element as well, which torch refuses."""
    rows = x.reshape(x.shape[0], groups, -1)
    return functional.layer_norm(rows, rows.shape[2:], None, None, float(call.get("epsilon", 1e-5))).reshape(x.shape)


def _group_norm(call: Call, given: Given) -> Tensor:
    x, scale, shift = (present(given, place) for place in range(3))
    y = _of_groups(x, int(call.get("num_groups")), call)
    repeats = x.shape[1] // scale.shape[0]
    form = (1, -1, *[1] * (x.dim() - 2))
    return y * scale.repeat_interleave(repeats).reshape(form) + shift.repeat_interleave(repeats).reshape(form)


def _place_of(largest: bool) -> Rule:
    def rule(call: Call, given: Given) -> Tensor:
        x, axis, keep = present(given, 0), int(call.get("axis", 0)), bool(call.get("keepdims", 1))
        if call.get("select_last_index", 0):
            flipped = x.flip(axis)
            at = flipped.argmax(axis, keep) if largest else flipped.argmin(axis, keep)
            return x.shape[axis] - 1 - at
        return x.argmax(axis, keep) if largest else x.argmin(axis, keep)

    return rule


def _largest_few(call: Call, given: Given) -> Sequence[Tensor]:
    x, count = present(given, 0), whole_numbers(call, given, 1, "k")
    assert count is not None
    axis, largest = int(call.get("axis", -1)), bool(call.get("largest", 1))
    at = x.argsort(dim=axis, descending=largest, stable=True).narrow(axis, 0, count[0])
    return x.gather(axis, at), at


def _running_sum(call: Call, given: Given) -> Tensor:
    x, axis = present(given, 0), int(present(given, 1).item())
    backwards = bool(call.get("reverse", 0))
    x = x.flip(axis) if backwards else x
    y = x.cumsum(axis, dtype=x.dtype)
    y = y - x if call.get("exclusive", 0) else y
    return y.flip(axis) if backwards else y


REDUCING: dict[str, Rule] = {
    "ReduceSum": _reduced(_sum),
    "ReduceMean": _reduced(_mean),
    "ReduceProd": _reduced(_product),
    "ReduceMax": _reduced(lambda x, axes, keep: x.amax(axes, keep)),
    "ReduceMin": _reduced(lambda x, axes, keep: x.amin(axes, keep)),
    "ReduceL1": _reduced(lambda x, axes, keep: x.abs().sum(axes, keep, dtype=x.dtype)),
    "ReduceL2": _reduced(lambda x, axes, keep: _exact(x).square().sum(axes, keep).sqrt()),
    "ReduceSumSquare": _reduced(lambda x, axes, keep: x.square().sum(axes, keep, dtype=x.dtype)),
    "ReduceLogSum": _reduced(lambda x, axes, keep: _exact(x).sum(axes, keep).log()),
    "ReduceLogSumExp": _reduced(lambda x, axes, keep: _exact(x).logsumexp(axes, keep)),
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "LayerNormalization": _layer_norm,
    "SkipLayerNormalization": _skip_norm,
    "CumSum": _running_sum,
    "RMSNormalization": _rms_norm,
    "SimplifiedLayerNormalization": _rms_norm,
    "TopK": _largest_few,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "ArgMax": _place_of(largest=True),
    "ArgMin": _place_of(largest=False),
}
