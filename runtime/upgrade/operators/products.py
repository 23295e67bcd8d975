"""Products: of matrices, over windows, of indices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .call import Call, Given, Rule, present, text
from .elementwise import ELEMENTWISE
from .windows import padding_of

__all__ = ["PRODUCTS", "added_by_gemm"]

CONVOLVED = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TURNED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def added_by_gemm(call: Call, product: Tensor, given: Given) -> Tensor:
    """What a Gemm or one of its kin makes of its product: alpha times it, beta times the third operand, activated."""
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    y = product if alpha == 1 else product * alpha
    C = given[2] if len(given) > 2 else None
    if C is not None and beta != 0:
        y = y + (C if beta == 1 else C * beta)
    if call.op == "FusedGemm" and (name := call.get("activation")):
        named = text(name)
        inner = {"alpha": call.get("activation_alpha"), "beta": call.get("activation_beta")}
        stated = {key: value for key, value in inner.items() if value is not None}
        made = ELEMENTWISE[named](Call(named, call.address, attributes=stated), [y])
        assert isinstance(made, Tensor)
        return made
    return y


def _matmul(call: Call, given: Given) -> Tensor:
    return torch.matmul(present(given, 0), present(given, 1))


def _fused_matmul(call: Call, given: Given) -> Tensor:
    a, b = present(given, 0), present(given, 1)
    a = a.movedim(0, -2) if call.get("transBatchA", 0) else a  # its first axis is of the matrix, the batch is behind it
    b = b.movedim(0, -2) if call.get("transBatchB", 0) else b
    a = a.transpose(-1, -2) if call.get("transA", 0) and a.dim() > 1 else a
    b = b.transpose(-1, -2) if call.get("transB", 0) and b.dim() > 1 else b
    y = torch.matmul(a, b)
    return y if call.get("alpha", 1.0) == 1 else y * call.get("alpha")


def _gemm(call: Call, given: Given) -> Tensor:
    a, b = present(given, 0), present(given, 1)
    product = (a.T if call.get("transA", 0) else a) @ (b.T if call.get("transB", 0) else b)
    return added_by_gemm(call, product, given)


def _conv(call: Call, given: Given) -> Tensor:
    x, W = present(given, 0), present(given, 1)
    bias = given[2] if len(given) > 2 else None
    spatial = W.dim() - 2
    strides = call.get("strides") or [1] * spatial
    dilations = call.get("dilations") or [1] * spatial
    pads = padding_of(call, x.shape[2:], W.shape[2:], strides, dilations)
    before, after = pads[:spatial], pads[spatial:]
    if before != after:
        x = functional.pad(x, [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair])
        before = [0] * spatial
    return CONVOLVED[spatial](x, W, bias, strides, before, dilations, call.get("group", 1))


def _turned(call: Call, given: Given) -> Tensor:
    x, W = present(given, 0), present(given, 1)
    spatial = W.dim() - 2
    strides, dilations = call.get("strides") or [1] * spatial, call.get("dilations") or [1] * spatial
    extra, group = call.get("output_padding") or [0] * spatial, call.get("group", 1)
    whole = TURNED[spatial](x, W, None, strides, 0, extra, group, dilations)
    ends = reversed(_cut(call, whole.shape[2:], x.shape[2:], strides))
    whole = functional.pad(whole, [-each for pair in ends for each in pair])
    bias = given[2] if len(given) > 2 else None
    return whole if bias is None else whole + bias.reshape(-1, *[1] * spatial)


def _cut(call: Call, whole: Sequence[int], given: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """How much of a transposed convolution's result is cut off before and behind, an axis of pixels at a time."""
    pads, form = call.get("pads") or [0] * 2 * len(whole), text(call.get("auto_pad", "NOTSET"))
    wanted = call.get("output_shape")
    if form in ("SAME_UPPER", "SAME_LOWER") and wanted is None:
        wanted = [min(extent * stride, most) for extent, stride, most in zip(given, strides, whole, strict=True)]
    if wanted is None:
        return list(zip(pads[: len(whole)], pads[len(whole) :], strict=True))
    found = []
    for extent, size in zip(whole, list(wanted)[-len(whole) :], strict=True):
        less = extent - size
        small, large = less // 2, less - less // 2
        found.append((small, large) if form == "SAME_UPPER" else (large, small))
    return found


def _einsum(call: Call, given: Given) -> Tensor:
    return torch.einsum(text(call.get("equation")), *[one for one in given if one is not None])


PRODUCTS: dict[str, Rule] = {
    "MatMul": _matmul,
    "FusedMatMul": _fused_matmul,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "Conv": _conv,
    "ConvTranspose": _turned,
    "Einsum": _einsum,
}
