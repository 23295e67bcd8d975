"""Bounds through functions of single elements, held against ONNX Runtime on elements within known bounds."""

import numpy as np
import onnx
import pytest
from known_bounds import facts
from perturbed import run
from reference import model as model_of
from reference import node

from scission.passes.channels.bounds.elementwise import ELEMENTWISE

rng = np.random.default_rng(0)
SIZE, OPSET = 24, 22
ATTRIBUTES = {"Celu": {"alpha": 0.7}, "LeakyRelu": {"alpha": -0.3}, "Elu": {"alpha": 2.0}, "Shrink": {"bias": 0.2}}
# What other constants make is not finite, and nothing is known of a value that is not.
DOMAINS = {"Acos": (-1, 1), "Asin": (-1, 1), "Atanh": (-0.9, 0.9), "Acosh": (1, 9), "Log": (0.1, 9), "Sqrt": (0, 9)}
DOMAINS |= {"Reciprocal": (0.1, 9), "Div": (0.1, 9), "Pow": (0.1, 9)}
COMPARISONS = ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")
OTHERS = ("And", "Cast", "Clip", "Not", "Or", "Sum", "Where")
TWO = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "PRelu", "Pow")
UNTRIED = {*COMPARISONS, *TWO, *OTHERS}
KNOWN = {op for op in ELEMENTWISE if onnx.defs.has(op) and onnx.defs.get_schema(op).since_version <= OPSET}
ONE = sorted(KNOWN - UNTRIED)


def bounded(draw):
    """A value whose elements are each between two numbers, of which some are equal."""
    low = draw.choice([-3.0, -1.0, -0.4, 0.0, 0.3, 1.5], SIZE).astype(np.float32)
    high = low + draw.choice([0.0, 0.0, 0.5, 2.0], SIZE).astype(np.float32)
    return low, high


def holds(nodes, weights, result, opset=OPSET):
    proto = model_of(nodes, {"x": (["n", SIZE], np.float32)}, [result], weights, opset=opset)
    values, known = facts(proto)
    (seen,) = run(proto, {"x": rng.standard_normal((40, SIZE)).astype(np.float32) * 4})
    bounds = known.bounds.get(values[result])
    if bounds is None:
        return 0
    real = np.where(np.isfinite(seen), seen, np.clip(0, bounds.low, bounds.high))  # NaN is nobody's promise
    near = 1e-5 * np.maximum(1, np.abs(real))
    assert (bounds.low - near <= real).all() and (real <= bounds.high + near).all()
    return int(bounds.known.sum())


def between(name, x, low, high):
    return [node("Max", f"{x} {low}", f"{name}/most"), node("Min", f"{name}/most {high}", name)]


@pytest.mark.parametrize("op", ONE)
def test_a_function_of_what_is_bounded_is_within_its_bounds(op):
    low, high = (np.clip(end, *DOMAINS.get(op, (-9, 9))).astype(np.float32) for end in bounded(rng))
    nodes = [*between("b", "x", "low", "high"), node(op, "b", "y", **ATTRIBUTES.get(op, {}))]
    known = holds(nodes, {"low": low, "high": high}, "y")
    assert known > 0, "no constant goes through it"


@pytest.mark.parametrize("op", [*TWO, *COMPARISONS])
def test_a_function_of_two_that_are_bounded_is_within_its_bounds(op):
    inside = [np.clip(end, *DOMAINS.get(op, (-9, 9))).astype(np.float32) for end in (*bounded(rng), *bounded(rng))]
    weights = dict(zip(("low", "high", "least", "most"), inside, strict=True))
    nodes = [*between("a", "x", "low", "high"), node("Neg", "x", "z"), *between("b", "z", "least", "most")]
    if op not in COMPARISONS:
        holds([*nodes, node(op, "a b", "y")], weights, "y")
        return
    chosen = [node(op, "a b", "c"), node("Not", "c", "d"), node("Where", "d a b", "y")]
    assert holds([*nodes, *chosen], weights, "y") > 0


@pytest.mark.parametrize(("base", "exponent", "known"), [(np.int32, np.float32, 0), (np.float32, np.int64, 6)])
def test_a_power_of_integers_is_one(base, exponent, known):
    constants = np.array([0.5, 1.5, 2, 0, 3, 1])
    if base is np.int32:
        nodes = [node("Mul", "x zero", "a"), node("Add", "a c", "b"), node("Pow", "two b", "p")]
        weights = {"two": np.full(6, 2, base), "c": constants.astype(exponent)}
    else:
        nodes = [node("Mul", "x zero", "a"), node("Add", "a c", "b"), node("Pow", "b two", "p")]
        weights = {"two": np.full(6, 2, exponent), "c": constants.astype(base)}
    weights["zero"] = np.zeros(6, np.float32)
    proto = model_of([*nodes, node("Cast", "p", "y", to=1)], {"x": (["n", 6], np.float32)}, ["y"], weights, opset=OPSET)
    values, facts_known = facts(proto)
    seen = run(proto, {"x": np.ones((1, 6), np.float32)})[0]
    bounds = facts_known.bounds.get(values["y"])
    assert (0 if bounds is None else bounds.known.sum()) == known
    assert bounds is None or np.allclose(bounds.low, seen)


@pytest.mark.parametrize("op", ["ThresholdedRelu", "Shrink"])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_rounding_decides_nothing_of_a_function_that_leaps(op, kind):
    """The edge is where a sum comes out that is rounded."""
    b, c = (rng.random(12).astype(kind) for _ in range(2))
    edge = float(kind(b[0]) + kind(c[0]))
    attributes = {"alpha": edge} if op == "ThresholdedRelu" else {"lambd": edge, "bias": 0.0}
    nodes = [node("Mul", "x zero", "a"), node("Add", "a b", "b1"), node("Add", "b1 c", "b2")]
    weights = {"zero": np.zeros(12, kind), "b": b, "c": c}
    proto = model_of([*nodes, node(op, "b2", "y", **attributes)], {"x": (["n", 12], kind)}, [], weights, opset=OPSET)
    proto.graph.output.add(name="y")
    values, known = facts(proto)
    bounds = known.bounds[values["y"]]
    assert (
        not bounds.known[0, 0]
        and bounds.known.any()
        and (bounds.low[0, 0], bounds.high[0, 0]) == (0, pytest.approx(edge, abs=0.1))
    )
