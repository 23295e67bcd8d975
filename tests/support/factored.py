"""Matrices that are products of block-diagonal ones, models that multiply with them, and all that can be written so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import onnx
from onnx import TensorProto
from random_convolutions import Grown

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.factored_weight import FactoredWeight
from scission.ir.reason import Cause, Reason
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.factor.certificate import certify
from scission.passes.factor.emit_rows import suits_rows
from scission.passes.factor.factorise import factorise
from scission.passes.factor.find import fits
from scission.passes.factor.stages import Factors, Stage
from scission.passes.rewrite.write_factors import write_factors


def fourier(length: int, *, places: int | None = None, window=None, halves: bool = True, bins: int | None = None):
    """(places, 2 · bins): cosines and negative sines of frequencies, one behind the other or in turns."""
    places, bins = places or length, bins or length // 2 + 1
    angles = 2 * np.pi / length * (np.arange(places)[:, None] * np.arange(bins) % length)
    parts = [np.cos(angles), -np.sin(angles)]
    whole = np.concatenate(parts, 1) if halves else np.stack(parts, 2).reshape(places, -1)
    return (whole if window is None else whole * np.asarray(window)[:, None]).astype(np.float32)


def cosine(length: int):
    """(length, length): the DCT-II."""
    turns = np.outer(2 * np.arange(length) + 1, np.arange(length))
    return np.cos(np.pi / (2 * length) * turns).astype(np.float32)


def hadamard(length: int):
    """(length, length), a power of two, of ones with signs."""
    return kronecker(*[np.array([[1, 1], [1, -1]])] * (length.bit_length() - 1))


def kronecker(*factors):
    """Their Kronecker product."""
    whole = np.ones((1, 1))
    for factor in factors:
        whole = np.kron(whole, factor)
    return whole.astype(np.float32)


def planted(rng: np.random.Generator, radix: int, places: int, groups: int, outputs: int, *, strided: bool = True):
    """(radix · places, groups · outputs): a random product of two stages, entry by entry.

    Input a · places + b to output c + d · groups, or c · outputs + d, is first[b][a, c] · second[c][b, d].
    """
    first, second = rng.standard_normal((places, radix, groups)), rng.standard_normal((groups, places, outputs))
    whole = np.einsum("bac,cbd->abdc" if strided else "bac,cbd->abcd", first, second)
    return whole.reshape(radix * places, -1).astype(np.float32)


def butterfly(rng: np.random.Generator, radices, made) -> Factors:
    """A random product of as many stages, in which every group and place has a matrix (radix, made) of its own."""
    stages, groups, places = [], 1, int(np.prod(radices))
    for radix, width in zip(radices, made, strict=True):
        places //= int(radix)
        weight = rng.standard_normal((groups, places, int(radix), int(width)))
        stages.append(Stage(weight=weight, radix=int(radix), ranks=1))
        groups *= int(width)
    return Factors(stages=tuple(stages), order=np.arange(groups))


def random_hidden(rng: np.random.Generator, least: int = 3, most: int = 6):
    """A product of two to four stages, of which one matrix is for all places or not, rounded and an ulp away from that,
    with rows and columns in an order that is drawn; and how many stages."""
    count = int(rng.integers(2, 5))
    sizes = rng.integers(least, most + 1, (count, 2))
    if rng.random() < 0.5:
        weight = kronecker(*(rng.standard_normal(size) for size in sizes))
    else:
        weight = butterfly(rng, *sizes.T).product().astype(np.float32)
    towards = np.where(rng.random(weight.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
    weight = np.nextafter(weight, towards)
    return weight[rng.permutation(len(weight))][:, rng.permutation(weight.shape[1])], count


def product_model(weight, *, rows: list[int | str] | None = None) -> onnx.ModelProto:
    """One MatMul of (n, K) with a weight (K, N)."""
    made = Grown(0)
    made.opset = 17
    made.inputs["x"] = [*(rows or ["n"]), weight.shape[0]]
    made.feeds["x"] = np.zeros(1, np.float32)
    return made.model(made.op("MatMul", "x", made.constant(np.asarray(weight))))


def steps_of(model: onnx.ModelProto, *, rows_first: int = 0) -> Iterator[FactoredWeight]:
    """Everything that can be done, whether it is predicted to gain or not, with rows first in so many stages or fewer,
    as can be."""
    seen = view(load(model).graph)
    for linear in seen.found.linears:
        if not fits(linear):
            continue
        stored = linear.stored(seen.found.constants)
        found = factorise(linear.as_matrix(stored), lambda factors: factors.macs)
        if found is not None and certify(linear.as_matrix(stored), found[1]).holds:
            path, factors = found
            yield FactoredWeight(
                nodes=(linear.address,),
                splits=tuple((one.stride, one.step) for one in path.splits),
                scaled=path.scaled,
                hidden=path.hidden,
                sha256=fingerprint(stored),
                macs=factors.macs,
                bound=0.5,
                rows_first=_most_rows(factors, rows_first) if linear.layout.kind == "rows" else 0,
                reason=Reason(Cause.FACTORS, "asked for"),
            )


def _most_rows(factors: Factors, wanted: int) -> int:
    return max(count for count in range(min(wanted, len(factors.stages)) + 1) if suits_rows(factors, count))


def written(model: onnx.ModelProto, *, rows_first: int = 0) -> tuple[onnx.ModelProto, int]:
    """A copy in which all of it is done, and how much that is."""
    steps = tuple(steps_of(model, rows_first=rows_first))
    return ir.to_proto(write_factors(load(model).graph, steps)), len(steps)


def random_weight(rng: Random, values: np.random.Generator):
    """A small weight that is a product, with a window, fewer columns, or a row of zeros now and then."""
    kind = rng.choice(["fourier", "cosine", "hadamard", "kronecker", "planted", "hidden", "plain"])
    length = rng.choice([16, 24, 32, 36])
    match kind:
        case "fourier":
            window = np.hanning(length) if rng.random() < 0.4 else None
            weight = fourier(length, window=window, halves=rng.random() < 0.7)
        case "cosine":
            weight = cosine(rng.choice([32, 36]))
        case "hadamard":
            weight = hadamard(rng.choice([16, 32]))
        case "kronecker":
            weight = kronecker(*(values.standard_normal((rng.choice([3, 4, 5]), rng.choice([2, 4, 5]))) for _ in "abc"))
        case "planted":
            sizes = rng.choice([4, 5, 6]), rng.choice([4, 5, 7]), rng.choice([2, 3, 4]), rng.choice([4, 6])
            weight = planted(values, *sizes, strided=rng.random() < 0.5)
        case "hidden":
            weight, _ = random_hidden(values, 3, rng.choice([3, 4]))
        case _:
            weight = values.standard_normal((length, length)).astype(np.float32)
    if rng.random() < 0.2:
        weight = weight[:, : -rng.choice([1, 2, 3])]
    if rng.random() < 0.15:
        weight[rng.randrange(len(weight))] = 0
    return unlike(rng, values, weight) if rng.random() < 0.25 else weight


def unlike(rng: Random, values: np.random.Generator, weight):
    """The same with inputs or outputs of sizes that are far apart, some of which are next to nothing."""
    spread = 10.0 ** -values.uniform(0, rng.choice([1, 4, 8]), weight.shape)
    spread = spread[:1] if rng.random() < 0.6 else spread[:, :1]
    if rng.random() < 0.4:
        spread = np.where(values.random(spread.shape) < 0.2, 1e-8, 1)
    return (weight * spread * rng.choice([1, 1, 1e-10, 1e10])).astype(np.float32)


def random_products(
    seed: int, weights: Callable[[Random, np.random.Generator], np.ndarray] = random_weight
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A product with such a weight, spelt in every way there is, and what is around it."""
    made, rng = Grown(seed), Random(seed + 1)
    made.opset = rng.choice([7, 9, 11, 13, 17, 21])
    weight = weights(rng, made.values)
    op = rng.choice(["MatMul", "MatMul", "Gemm", "left"])
    rank = rng.choice([0, 1, 1, 2]) if op == "MatMul" else 1
    lead = [rng.choice([1, 1, 3, 7]) for _ in range(rank)]
    if rank and rng.random() < 0.1:
        lead[0] = 0
    K = weight.shape[0]
    extents = [K, *lead] if op == "left" else [*lead, K]
    named = [f"d{at}" if rng.random() < 0.5 and extent != K else extent for at, extent in enumerate(extents)]
    made.inputs["x"], made.feeds["x"] = named, made.normal(*extents)
    if half := rng.random() < 0.08:  # which stays as it is
        weight = np.clip(weight, -100, 100).astype(np.float16)
        made.feeds["x"] = made.feeds["x"].astype(np.float16)
    value = _product(made, rng, op, "x", weight)
    if half:
        made.outputs.clear()
        return made.model(made.op("Cast", value, to=TensorProto.FLOAT)), made.feeds
    if rng.random() < 0.3:
        made.outputs.append(value)
    for _ in range(rng.choice([0, 1, 1, 2])):
        value = made.op(rng.choice(["Relu", "Neg", "Transpose", "Tanh"]), value)
    return made.model(value), made.feeds


def _product(made: Grown, rng: Random, op: str, value: str, weight) -> str:
    """One product, and now and then another one that reads the same weight, or the same one turned."""
    (_, N), same = weight.shape, weight.dtype
    if op == "MatMul":
        held = made.constant(weight)
        first = made.op("MatMul", value, held)
        if rng.random() < 0.2:
            made.outputs.append(made.op("MatMul", made.op("Neg", value), held))
        return made.op("Add", first, made.constant(made.normal(N).astype(same))) if rng.random() < 0.4 else first
    if op == "left":
        return made.op("MatMul", made.constant(np.ascontiguousarray(weight.T)), value)
    turned = rng.random() < 0.5
    held = made.constant(np.ascontiguousarray(weight.T) if turned else weight)
    operands = [value, held]
    if rng.random() < 0.6 or made.opset < 11:
        extents = rng.choice([(N,), (1, N), (1,), (len(made.feeds["x"]), N), (len(made.feeds["x"]), 1)])
        operands.append(made.constant(made.normal(*extents).astype(same)))
    alpha, beta = rng.choice([1.0, 0.5]), rng.choice([1.0, 2.0])
    first = made.op("Gemm", *operands, transB=int(turned), alpha=alpha, beta=beta)
    if rng.random() < 0.2:  # back again, by the same weight
        zeros = made.constant(np.zeros(1, same))
        made.outputs.append(made.op("Gemm", first, held, zeros, transB=int(not turned)))
    return first


def alike_columns(slices) -> list[set[int]]:
    """Columns of slices (slices, rows, columns) that are in one line in every slice, by comparing all of them."""
    columns = slices.shape[2]
    found: list[set[int]] = []
    for column in range(columns):
        for one in found:
            pair = slices[:, :, [min(one), column]].astype(np.float64)
            if (np.linalg.svd(pair, compute_uv=False)[:, 1] < 1e-6 * abs(pair).max()).all():
                one.add(column)
                break
        else:
            found.append({column})
    return found
