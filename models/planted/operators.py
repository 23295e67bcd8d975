"""Planted kinds, one per way an operator can hold its weight: MatMul, Gemm, their fused forms, Conv, Einsum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...ir.plan.plan import Decomposition
from ..matrix import Array
from ..sketch import Attribute, Shape, Sketch, Tensor

__all__ = ["OPERATORS", "ROWS"]

ROWS = 3  # fixed rows, where a bias spells them out


def _matmul_right(sketch: Sketch, lead: Shape | None, op: str = "MatMul", **attributes: Attribute) -> None:
    W, truth = sketch.weight()
    x = sketch.input("x", None if lead is None else (*lead, truth.shape[0]))
    stored = sketch.constant(W.T if attributes.get("transB") else W, "W")
    y = sketch.op(op, x, stored, name="linear", truth=truth, **attributes)
    sketch.output(y, shape=None if lead is None else (*lead, truth.shape[1]))


def _matmul_left(sketch: Sketch, lead: Shape, rows: Shape, op: str = "MatMul", **attributes: Attribute) -> None:
    W, truth = sketch.weight()
    x = sketch.input("x", (*lead, truth.shape[0], *rows))
    stored = sketch.constant(W if attributes.get("transA") else W.T, "W")
    y = sketch.op(op, stored, x, name="linear", truth=truth, **attributes)
    sketch.output(y, shape=(*lead, truth.shape[1], *rows))


def _fused_transpose(sketch: Sketch) -> None:
    W, truth = sketch.weight()
    x = sketch.input("x", ("batch", truth.shape[0], "rows"))
    stored = sketch.constant(W, "W")
    y = sketch.op("FusedMatMul", x, stored, name="linear", truth=truth, transA=1, domain="com.microsoft")
    sketch.output(y, shape=("batch", "rows", truth.shape[1]))


def _bias(sketch: Sketch, form: str, rows: int | str, outputs: int) -> Tensor:
    """The C of a Gemm: `form` spells its shape in the letters 1, M (rows), N (outputs), or names another case."""
    if form == "absent":
        return None
    if form == "dynamic":
        return sketch.input("c", (rows, outputs))
    if form == "nan":
        return sketch.constant(sketch.normal((outputs,)) * float("nan"), "b")
    sizes = {"1": 1, "M": ROWS, "N": outputs}
    return sketch.constant(sketch.normal([sizes[letter] for letter in form if letter in sizes]), "b")


def _gemm(sketch: Sketch, bias: str = "absent", left: bool = False, op: str = "Gemm", **attributes: Attribute) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    rows: int | str = ROWS if "M" in bias else "rows"
    if left:
        x = sketch.input("x", (rows, K) if attributes.get("transB") else (K, rows))
        stored = sketch.constant(W if attributes.get("transA") else W.T, "W")
        operands = (stored, x)
    else:
        x = sketch.input("x", (K, rows) if attributes.get("transA") else (rows, K))
        stored = sketch.constant(W.T if attributes.get("transB") else W, "W")
        operands = (x, stored)
    C = _bias(sketch, bias, rows, N)
    inputs = operands if C is None else (*operands, C)
    y = sketch.op(op, *inputs, name="linear", truth=truth, **attributes)
    sketch.output(y, shape=(N, rows) if left else (rows, N))


def _conv(sketch: Sketch, spatial: int, bias: bool = False, **attributes: Attribute) -> None:
    W, truth = sketch.weight()
    K, N = truth.shape
    ones = [1] * spatial
    x = sketch.input("x", ("batch", K, *("depth", "height", "width")[-spatial:]))
    inputs: list[Array] = [W.T.reshape(N, K, *ones)] + ([sketch.normal((N,))] if bias else [])
    constants = [sketch.constant(value, name) for value, name in zip(inputs, "Wb", strict=False)]
    sketch.output(sketch.op("Conv", x, *constants, name="linear", truth=truth, kernel_shape=ones, **attributes))


def _window(sketch: Sketch, window: Sequence[int], turned: bool = False, **attributes: Attribute) -> None:
    """A convolution over windows, or a transposed one, whose pixels share their blocks."""
    matrices, truth = _slices(sketch, int(np.prod(window)))
    K, N = truth.shape
    x = sketch.input("x", ("batch", K, *("depth", "height", "width")[-len(window) :]))
    kernels = np.stack([W if turned else W.T for W in matrices], axis=-1)
    inputs = kernels.reshape(*kernels.shape[:2], *window), sketch.normal((N,))
    constants = [sketch.constant(value, name) for value, name in zip(inputs, "Wb", strict=True)]
    op = "ConvTranspose" if turned else "Conv"
    sketch.output(sketch.op(op, x, *constants, name="linear", truth=truth, kernel_shape=list(window), **attributes))


def _stack(sketch: Sketch, lead: Shape) -> None:
    """A product with a stack of matrices that share their blocks, and a bias behind it."""
    matrices, truth = _slices(sketch, 2)
    x = sketch.input("x", (*lead, "rows", truth.shape[0]))
    y = sketch.op("MatMul", x, sketch.constant(np.stack(matrices), "W"), name="linear", truth=truth)
    sketch.output(sketch.op("Add", y, sketch.constant(sketch.normal((truth.shape[1],)), "b")))


def _slices(sketch: Sketch, count: int) -> tuple[list[Array], Decomposition]:
    """Several matrices of the same blocks, each of which lacks some of the entries of the others."""
    W, truth = sketch.weight()
    others = [(W != 0) * sketch.normal(W.shape) * (sketch.normal(W.shape) > 0) for _ in range(count - 1)]
    return [W, *(np.asarray(other, W.dtype) for other in others)], truth


def _einsum(sketch: Sketch, equation: str) -> None:
    W, truth = sketch.weight()
    sizes = dict(zip("kn", truth.shape, strict=True))
    operands = []
    for term in equation.replace(" ", "").split("->")[0].split(","):
        if sorted(term) == ["k", "n"]:
            operands.append(sketch.constant(W if term == "kn" else W.T, "W"))
        else:
            letters = term.replace("...", "pq")
            operands.append(sketch.input("x", [sizes.get(letter, letter) for letter in letters]))
    sketch.output(sketch.op("Einsum", *operands, name="linear", truth=truth, equation=equation))


_LEADS: dict[str, Shape | None] = {
    "1": (),
    "2": ("batch",),
    "3": ("batch", "sequence"),
    "4": ("batch", "heads", "sequence"),
    "unknown": None,
}
_EQUATIONS = (
    "bsk,kn->bsn",
    "bsk,nk->bsn",
    "kn,bsk->bsn",
    "bkhw,nk->bnhw",
    "...k,kn->...n",
    "mk,kn",
    " b s k , k n -> b s n ",
)
_MICROSOFT: dict[str, Attribute] = {"domain": "com.microsoft"}

OPERATORS: dict[str, Callable[[Sketch], None]] = {
    **{f"matmul-right-{rank}": partial(_matmul_right, lead=lead) for rank, lead in _LEADS.items()},
    "matmul-left-1": partial(_matmul_left, lead=(), rows=()),
    "matmul-left-2": partial(_matmul_left, lead=(), rows=("rows",)),
    "matmul-left-3": partial(_matmul_left, lead=("batch",), rows=("rows",)),
    "gemm": _gemm,
    "gemm-transA": partial(_gemm, bias="N", transA=1),
    "gemm-transB": partial(_gemm, bias="N", transB=1),
    "gemm-transA-transB": partial(_gemm, transA=1, transB=1),
    "gemm-alpha": partial(_gemm, bias="N", alpha=0.5),
    "gemm-beta": partial(_gemm, bias="N", beta=2.0),
    "gemm-alpha-beta": partial(_gemm, bias="MN", transB=1, alpha=-0.5, beta=0.25),
    "gemm-beta-zero-nan": partial(_gemm, bias="nan", beta=0.0),
    "gemm-c-scalar": partial(_gemm, bias=""),
    "gemm-c-1": partial(_gemm, bias="1"),
    "gemm-c-N": partial(_gemm, bias="N"),
    "gemm-c-1N": partial(_gemm, bias="1N"),
    "gemm-c-M1": partial(_gemm, bias="M1"),
    "gemm-c-MN": partial(_gemm, bias="MN"),
    "gemm-c-dynamic": partial(_gemm, bias="dynamic", beta=0.5),
    "gemm-left": partial(_gemm, left=True),
    "gemm-left-c-N1": partial(_gemm, left=True, bias="N1"),
    "gemm-left-transA": partial(_gemm, left=True, bias="NM", transA=1),
    "gemm-left-transB": partial(_gemm, left=True, bias="1", transB=1),
    "gemm-left-transA-transB": partial(_gemm, left=True, transA=1, transB=1, alpha=2.0),
    "fused-matmul": partial(_matmul_right, lead=_LEADS["3"], op="FusedMatMul", **_MICROSOFT),
    "fused-matmul-alpha": partial(_matmul_right, lead=_LEADS["3"], op="FusedMatMul", alpha=0.5, **_MICROSOFT),
    "fused-matmul-transA": _fused_transpose,
    "fused-matmul-transB": partial(_matmul_right, lead=_LEADS["2"], op="FusedMatMul", transB=1, **_MICROSOFT),
    "fused-matmul-left": partial(
        _matmul_left, lead=("batch",), rows=("rows",), op="FusedMatMul", transA=1, alpha=0.5, **_MICROSOFT
    ),
    "fused-gemm-relu": partial(_gemm, bias="N", op="FusedGemm", activation="Relu", **_MICROSOFT),
    "fused-gemm-relu-transB": partial(_gemm, bias="N", op="FusedGemm", activation="Relu", transB=1, **_MICROSOFT),
    "conv-1d": partial(_conv, spatial=1),
    "conv-2d": partial(_conv, spatial=2),
    "conv-3d": partial(_conv, spatial=3, bias=True),
    "conv-2d-bias": partial(_conv, spatial=2, bias=True),
    "conv-2d-strides": partial(_conv, spatial=2, bias=True, strides=[2, 3]),
    "conv-2d-pads": partial(_conv, spatial=2, bias=True, pads=[1, 0, 2, 1]),
    "conv-1d-strides-pads": partial(_conv, spatial=1, strides=[2], pads=[1, 1]),
    "conv-window": partial(_window, window=(3, 2), pads=[1, 1, 1, 0], strides=[2, 1]),
    "conv-window-1d": partial(_window, window=(3,), dilations=[2], pads=[2, 2]),
    "conv-transpose": partial(_window, window=(2, 2), turned=True, strides=[2, 2]),
    "matmul-stack": partial(_stack, lead=(2,)),
    "matmul-stack-shared": partial(_stack, lead=()),
    **{f"einsum-{equation.replace(' ', '_')}": partial(_einsum, equation=equation) for equation in _EQUATIONS},
}
