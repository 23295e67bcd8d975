"""How each operator spells a linear: one recogniser per operator, and the reasons why others are left alone.

A recogniser returns the Linear, the Reason why a node with a constant weight is not taken, or None when the node
multiplies nothing by a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TypeAlias

from ..errors import ModelError
from ..onnx_ir import onnx_ir as ir
from ..reason import Cause, Reason
from .constants import Constants
from .linear import Bias, Layout, Linear, Scope, axes, dequantises, moves, with_bias
from .node import Site
from .operators import PRODUCTS, WEIGHTED, is_standard
from .recurrent import Recurrent, recurrent
from .shapes import shape_of
from .skipped import FUSED, INTEGER, NO_PLAIN_PRODUCT, QUANTISED, REASONS, Skipped

__all__ = ["find_operators"]

Found: TypeAlias = "Linear | tuple[Recurrent, ...] | Reason | None"


def find_operators(
    scope: Scope, constants: Constants, functions: Container[tuple[str, str, str]] = ()
) -> tuple[list[Linear], list[Recurrent], list[Skipped]]:
    """The linears of one graph, its recurrent operators, and its nodes with constant weights that are neither, each
    with the reason.

    functions: identifiers of the model's local functions, whose calls are no operators. Never raises: a constant that
    cannot be folded is a reason.
    """
    linears: list[Linear] = []
    recurrents: list[Recurrent] = []
    skipped: list[Skipped] = []
    for node in scope.graph:
        site = Site(node, constants, scope, functions)
        try:
            found = _recognise(site)
        except ModelError as error:
            found = Reason(Cause.UNREADABLE, f"the weight cannot be folded: {error}")
        if isinstance(found, Linear) and (problem := _quantised(found) or site.weight_problem(found.weight)):
            found = problem
        if isinstance(found, Linear):
            takes_bias = node.op_type in PRODUCTS - WEIGHTED
            linears.append(with_bias(found, constants) if takes_bias else found)
        elif isinstance(found, tuple):
            recurrents += found
        elif found is not None:
            skipped.append(Skipped(scope.address(node), node.op_type, found, site.parameters()))
    picking = {scope.address(one.picked) for one in linears if one.picked is not None}  # told by what reads them
    return linears, recurrents, [one for one in skipped if one.node not in picking]


def _recognise(site: Site) -> Found:
    node = site.node
    standard = is_standard(node)
    if not standard and node.domain != "com.microsoft":
        if node.op_identifier() in site.functions or not site.parameters():
            return None
        return Reason(Cause.UNSUPPORTED, f"operator of the unknown domain {node.domain!r}")
    if site.scope.in_function and site.scope.opset != site.constants.opset:
        other = Reason(Cause.IN_FUNCTION, "its function is written for another operator set than the model")
        return other if site.parameters() else None
    if node.attributes and any(attribute.is_ref() for attribute in node.attributes.values()):
        depends = Reason(Cause.IN_FUNCTION, "an attribute depends on the caller of the function")
        return depends if site.parameters() else None
    recogniser = RECOGNISERS.get(("" if standard else node.domain, node.op_type))
    found = recogniser(site) if recogniser else None
    reason = REASONS.get(node.op_type) or (None if standard or recogniser else FUSED)
    # Whether it has parameters is asked last: that walks whatever a constant operand is computed from.
    return reason if found is None and reason is not None and site.parameters() else found


def _rank(value: ir.Value) -> int | None:
    shape = shape_of(value)
    return None if shape is None else len(shape)


def _unknown_rank(what: str) -> Reason:
    return Reason(Cause.UNKNOWN_RANK, f"{what} of unknown rank; run shape inference on the model first")


def _batched(shape: Sequence[int]) -> Reason:
    return Reason(Cause.BATCHED_WEIGHT, f"batched weight: {len(shape)} dimensions")


def _matmul(site: Site) -> Found:
    """MatMul and FusedMatMul; the latter may transpose its last two axes and scale."""
    left, right = site.operand(0), site.operand(1)
    if left is None or right is None:
        return None
    trans_left, trans_right = bool(site.attribute("transA", 0)), bool(site.attribute("transB", 0))
    constant_left, constant_right = left in site.constants, right in site.constants
    if constant_left and constant_right:
        return None  # a constant itself: folded where it is used
    if not constant_left and not constant_right:
        factor, problem = _factor(site, left, right), site.overridable(left, right)
        return problem if factor is None or problem else _stack(site, left if factor is right else right, factor)
    if site.attribute("transBatchA", 0) or site.attribute("transBatchB", 0):
        return Reason(Cause.UNSUPPORTED, "batch axes are transposed inside the operator")
    weight, activation = (right, left) if constant_right else (left, right)
    shape, _ = site.constants.describe(weight)
    if len(shape) > 2:
        return _stack(site, activation, weight)
    if len(shape) < 2:
        return None
    alpha = float(site.attribute("alpha", 1.0))
    rank = _rank(activation)
    if constant_right:
        K, N = shape[::-1] if trans_right else shape
        if not trans_left:
            layout = Layout(kind="rows", rank=rank)
        elif rank is None:
            return _unknown_rank("transposed activation")
        elif rank < 2:
            layout = Layout(kind="rows", rank=rank)
        else:
            layout = axes(rank, rank - 2, rank - 1)
        return site.linear(activation, weight, K, N, transposed=trans_right, layout=layout, alpha=alpha)
    K, N = shape if trans_left else shape[::-1]
    if rank is None:
        return _unknown_rank("left-hand weight and an activation")
    layout = Layout(kind="rows", rank=1) if rank == 1 else axes(rank, rank - 1 if trans_right else rank - 2, rank - 2)
    return site.linear(activation, weight, K, N, transposed=not trans_left, layout=layout, alpha=alpha)


def _factor(site: Site, left: ir.Value, right: ir.Value) -> ir.Value | None:
    """The factor that is constant, or matrices that are picked out of a constant when the model runs."""
    return next((one for one in (right, left) if one in site.constants or site.picked(one) is not None), None)


def _stack(site: Site, activation: ir.Value, factor: ir.Value) -> Found:
    """A product with a stack of matrices, (..., K, N) on the right or (..., N, K) on the left of it, or with those that
    a Gather picks out of one."""
    picked = site.picked(factor)
    weight = picked.inputs[0] if picked is not None and picked.inputs[0] is not None else factor
    shape, _ = site.constants.describe(weight)
    if any(site.attribute(name, 0) for name in ("transA", "transB", "transBatchA", "transBatchB")):
        return _batched(shape)
    if dequantises(weight):
        return QUANTISED
    left, rank, own = factor is site.operand(0), _rank(activation), len(shape) if picked is None else _rank(factor)
    K, N = shape[:-3:-1] if left else shape[-2:]
    # An activation of fewer dimensions has its features elsewhere than the result, counted from the first.
    fits = rank is not None and own is not None and rank >= own
    if left and (rank is None or own is None):
        return _unknown_rank("left-hand weight and an activation")
    if left and not fits:
        return _batched(shape)
    layout = axes(rank, rank - 2, rank - 2) if left and rank else Layout(kind="rows", rank=rank if fits else None)
    alpha = float(site.attribute("alpha", 1.0))
    return site.linear(
        activation, weight, K, N, transposed=left, layout=layout, alpha=alpha, slices=shape[:-2], picked=picked
    )


def _gemm(site: Site) -> Found:
    """Gemm and FusedGemm: y = alpha * A' B' + beta * C."""
    left, right, c = site.operand(0), site.operand(1), site.operand(2)
    if left is None or right is None:
        return None
    constant_left, constant_right = left in site.constants, right in site.constants
    if constant_left and constant_right:
        return None
    if not constant_left and not constant_right:
        return site.overridable(left, right)
    trans_left, trans_right = bool(site.attribute("transA", 0)), bool(site.attribute("transB", 0))
    weight, activation = (right, left) if constant_right else (left, right)
    shape, _ = site.constants.describe(weight)
    if len(shape) != 2:
        return Reason(Cause.BATCHED_WEIGHT, f"weight of {len(shape)} dimensions in {site.node.op_type}")
    if constant_right:
        K, N = shape[::-1] if trans_right else shape
        layout = axes(2, 0 if trans_left else 1, 1)
        if not trans_left:
            layout = Layout(kind="rows", rank=2)
        transposed, feature_axis = trans_right, 1
    else:
        K, N = shape if trans_left else shape[::-1]
        layout = axes(2, 1 if trans_right else 0, 0)
        transposed, feature_axis = not trans_left, 0
    beta = float(site.attribute("beta", 1.0))
    bias = addend = None
    if c is not None and beta != 0.0:
        if c in site.constants and _per_feature(site.constants.describe(c)[0], feature_axis, N):
            bias = Bias(value=c)
        else:
            addend = c
    fused = site.node.op_type == "FusedGemm"
    if fused and addend is not None:
        return Reason(Cause.FUSED, "fused activation over an addend that is not one constant per output")
    return site.linear(
        activation,
        weight,
        K,
        N,
        transposed=transposed,
        layout=layout,
        alpha=float(site.attribute("alpha", 1.0)),
        beta=beta,
        bias=bias,
        addend=addend,
        fused=fused,
    )


def _per_feature(shape: tuple[int, ...], feature_axis: int, N: int) -> bool:
    """Whether a tensor broadcast to two dimensions varies along the feature axis alone."""
    full = (1,) * (2 - len(shape)) + shape
    return len(shape) <= 2 and full[1 - feature_axis] == 1 and full[feature_axis] in (1, N)


def _conv(site: Site) -> Found:
    """Conv and ConvTranspose in one group: a linear over channels, with a matrix for each pixel of the kernel."""
    activation, weight = site.operand(0), site.operand(1)
    if activation is None or weight is None or activation in site.constants:
        return None
    if weight not in site.constants:
        return site.overridable(weight)
    shape, _ = site.constants.describe(weight)
    if len(shape) < 3:
        return NO_PLAIN_PRODUCT
    if site.attribute("group", 1) != 1:
        return Reason(Cause.BATCHED_WEIGHT, "convolution in groups already")
    bias = site.operand(2)
    if bias is not None and bias not in site.constants:
        return Reason(Cause.NOT_CONSTANT, "convolution with a dynamic bias")
    turned = site.node.op_type == "ConvTranspose"  # whose kernels are (inputs, outputs, *window)
    N, K = shape[1::-1] if turned else shape[:2]
    window = shape[2:] if turned or any(extent != 1 for extent in shape[2:]) else ()
    if window and dequantises(weight):
        return QUANTISED
    return site.linear(
        activation,
        weight,
        K,
        N,
        transposed=not turned,
        slices=window,
        layout=Layout(kind="conv", rank=len(shape)),
        bias=Bias(value=bias) if bias is not None else None,
    )


def _einsum(site: Site) -> Found:
    """Einsum of one activation and one matrix that sums over one index, as in 'bsk,kn->bsn'."""
    if len(site.node.inputs) != 2:
        return None
    left, right = site.node.inputs
    if left is None or right is None:
        return None
    factor = _factor(site, left, right)
    if factor is None or (left in site.constants and right in site.constants):
        return site.overridable(left, right)
    activation, picked = left if factor is right else right, site.picked(factor)
    weight = picked.inputs[0] if picked is not None and picked.inputs[0] is not None else factor
    shape, _ = site.constants.describe(weight)
    terms, _, out = str(site.attribute("equation", "")).replace(" ", "").partition("->")
    first, _, second = terms.partition(",")
    x, w = (first, second) if factor is right else (second, first)
    if "->" not in str(site.attribute("equation", "")):
        out = "".join(sorted(c for c in set(first + second) - {"."} if (first + second).count(c) == 1))
        out = ("..." if "..." in terms else "") + out
    if len(shape) > 2 and (stack := _einsum_stack(site, (activation, weight), (x, w, out), picked)) is not None:
        return stack
    if len(shape) != 2 or len(w) != 2 or w[0] == w[1]:
        return _batched(shape) if len(shape) > 2 else NO_PLAIN_PRODUCT
    k, n = (w[0], w[1]) if w[0] in x and w[0] not in out else (w[1], w[0])
    if k in out or k not in x or n in x or n not in out:
        return NO_PLAIN_PRODUCT
    K, N = shape if w == k + n else shape[::-1]
    transposed = w != k + n
    if x.endswith(k) and out == x[:-1] + n and len(set(x.replace("...", ""))) == len(x.replace("...", "")):
        return site.linear(
            activation, weight, K, N, transposed=transposed, layout=Layout(kind="rows", rank=_rank(activation))
        )
    layout = _einsum_axes(x, out, k, n, _rank(activation))
    if isinstance(layout, Reason):
        return layout
    return site.linear(activation, weight, K, N, transposed=transposed, layout=layout)


def _einsum_stack(
    site: Site, operands: tuple[ir.Value, ir.Value], letters: tuple[str, str, str], picked: ir.Node | None
) -> Found:
    """An Einsum with a matrix for each entry of axes that both the activation and the result have, as in
    'bshk,hkn->bshn'; None for any other."""
    (activation, weight), (x, w, out) = operands, letters
    shape, _ = site.constants.describe(weight)
    if any("." in term or len(set(term)) != len(term) for term in letters) or len(w) < 2:
        return None
    if picked is None and len(w) != len(shape):
        return None
    k, n = (w[-2], w[-1]) if w[-2] not in out else (w[-1], w[-2])
    kept = set(x) - {k}
    if k not in x or n in x or n not in out or kept != set(out) - {n} or not set(w[:-2]) <= kept:
        return None
    if dequantises(weight):
        return QUANTISED
    layout = _einsum_axes(x, out, k, n, len(x))
    transposed = w[-1] == k
    K, N = shape[:-3:-1] if transposed else shape[-2:]
    if isinstance(layout, Reason):
        return layout
    return site.linear(activation, weight, K, N, transposed=transposed, layout=layout, slices=shape[:-2], picked=picked)


def _einsum_axes(x: str, out: str, k: str, n: str, rank: int | None) -> Layout | Reason:
    if "..." in x:
        if rank is None:
            return _unknown_rank("ellipsis over an activation")
        spare = "".join(chr(0x100 + axis) for axis in range(rank - len(x.replace("...", ""))))
        x, out = x.replace("...", spare), out.replace("...", spare)
    others = out.replace(n, "")
    if len(set(x)) != len(x) or len(set(out)) != len(out) or set(others) != set(x) - {k}:
        return NO_PLAIN_PRODUCT
    enter = [x.index(letter) for letter in k + others]
    exit_ = [(n + others).index(letter) for letter in out]
    return Layout(kind="axes", rank=len(x), enter=moves(enter), exit=moves(exit_))


RECOGNISERS: dict[tuple[str, str], Callable[[Site], Found]] = {
    ("", "MatMul"): _matmul,
    ("com.microsoft", "FusedMatMul"): _matmul,
    ("", "FusedMatMul"): _matmul,  # ONNX Runtime's own fuser writes its operators into the default domain
    ("", "Gemm"): _gemm,
    ("com.microsoft", "FusedGemm"): _gemm,
    ("", "FusedGemm"): _gemm,
    ("", "Conv"): _conv,
    ("", "ConvTranspose"): _conv,
    ("", "Einsum"): _einsum,
    ("", "RNN"): recurrent,
    ("", "GRU"): recurrent,
    ("", "LSTM"): recurrent,
}


def _quantised(linear: Linear) -> Reason | None:
    """ONNX Runtime turns DequantizeLinear on both sides into an integer kernel, which a split would lose."""
    both = dequantises(linear.activation) and linear.is_dequantised
    return INTEGER.told("integer kernel: weight and activation are both quantised") if both else None
