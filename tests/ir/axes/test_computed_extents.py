"""Extents that a model computes: whatever is said of an entry, the model computes it, at any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from perturbed import run
from reference import model as model_of
from reference import node

from scission.ir.axes.axis_rule import Sizes
from scission.ir.axes.axis_rules import axis_rule
from scission.ir.axes.computed_extents import computed_extents
from scission.ir.graph.view import view
from scission.ir.io.load import load

SIZES = {"n": 3, "t": 5}


class Vectors:
    """A graph that computes with extents, put together by draws."""

    def __init__(self, rng):
        self.rng, self.nodes, self.constants, self.lengths = rng, [], {}, {}
        for place in range(3):
            self.made("Shape", ["x"], 4, **({"start": 1, "end": 3} if place == 2 else {}))
        self.lengths["v2"] = 2

    def made(self, kind, inputs, length, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(kind, " ".join(inputs), name, **attributes))
        self.lengths[name] = length
        return name

    def held(self, *numbers):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def vector(self, length=None):
        """One that was made before, or numbers."""
        fits = [name for name, own in self.lengths.items() if length in (None, own)]
        if fits and self.rng.random() < 0.8:
            return str(self.rng.choice(fits))
        length = int(self.rng.integers(1, 5)) if length is None else length
        name = self.held(*self.rng.choice([-1, 0, 1, 2, 3, 5], length).tolist())
        self.lengths[name] = length
        return name

    def grow(self):
        kind = str(self.rng.choice(["Concat", "Gather", "Slice", "Elementwise", "Where", "Filled", "Same"]))
        x = self.vector()
        length = self.lengths[x]
        if kind == "Concat":
            y = self.vector()
            self.made("Concat", [x, y], length + self.lengths[y], axis=0)
        elif kind == "Gather":
            places = self.rng.integers(-length, length, int(self.rng.integers(1, 4)))
            self.made("Gather", [x, self.held(*places.tolist())], places.size)
        elif kind == "Slice":
            start = int(self.rng.integers(-length, length))
            end = int(self.rng.choice([length, 99, -1]))
            found = len(range(length)[start:end])
            more = [self.held(0)] if self.rng.random() < 0.5 else []
            if found:
                self.made("Slice", [x, self.held(start), self.held(end), *more], found)
        elif kind == "Elementwise":
            op = str(self.rng.choice(["Add", "Sub", "Mul"]))
            self.made(op, [x, self.vector(length if self.rng.random() < 0.7 else 1)], length)
        elif kind == "Where":
            y = self.vector(length)
            equal = self.made("Equal", [x, y if self.rng.random() < 0.5 else self.held(*[-1] * length)], length)
            del self.lengths[equal]
            self.made("Where", [equal, self.vector(length), y], length)
        elif kind == "Filled":
            self.made("ConstantOfShape", [self.held(length)], length, value=numpy_helper.from_array(np.array([2])))
        else:
            self.made("Reshape", [x, self.held(-1)], length)


@settings(max_examples=40)
@given(st.integers(0, 1 << 30))
def test_what_is_said_of_an_entry_is_what_the_model_computes(seed):
    vectors = Vectors(np.random.default_rng(seed))
    for _ in range(12):
        vectors.grow()
    names = [name for name in vectors.lengths if name.startswith("v")]
    nodes = [*vectors.nodes, node("Identity", "x", "y")]
    proto = model_of(nodes, {"x": ["n", 2, "t", 3]}, ["y"], vectors.constants, opset=17)
    x = np.zeros((SIZES["n"], 2, SIZES["t"], 3), np.float32)
    found = dict(zip(names, run(proto, {"x": x}, *names)[1:], strict=True))
    seen = view(load(proto).graph)
    sizes = Sizes(seen.found.constants)
    values = {value.name: value for one in seen.model.graph for value in one.outputs}
    for name in names:
        told = computed_extents(values[name], sizes)
        assert told is None or len(told) == found[name].size
        for entry, real in zip(told or (), found[name].reshape(-1).tolist(), strict=False):
            assert entry is None or SIZES.get(entry, entry) == real


@pytest.mark.parametrize(
    ("extents", "target", "becomes"),
    [
        (["n", 6, 1, "t", 2], ["n", 6, 2, "t", 2], ("n", 6, 2, "t", 2)),
        (["n", 1], [1, "n", 3], (1, "n", 3)),
        (["n", 1], [4, 1, 3], (4, "n", 3)),
        (["n", 1], ["t", "t"], (None, "t")),
        ([1, 3], ["n", 1], ("n", 3)),
    ],
)
def test_an_expand_says_what_its_target_adds(extents, target, becomes):
    pieces = [("c" + str(place), np.array([one])) for place, one in enumerate(target) if isinstance(one, int)]
    held = dict(pieces) | {"zero": np.array([0]), "one": np.array([1])}
    nodes = [node("Shape", "s", "shape"), node("Gather", "shape zero", "n"), node("Gather", "shape one", "t")]
    names = [one if isinstance(one, str) else f"c{place}" for place, one in enumerate(target)]
    nodes += [node("Concat", " ".join(names), "target", axis=0), node("Expand", "x target", "y")]
    proto = model_of(nodes, {"x": extents, "s": ["n", "t"]}, ["y"], held, opset=17)
    seen = view(load(proto).graph)
    sizes = Sizes(seen.found.constants)
    (expand,) = (one for one in seen.model.graph if one.op_type == "Expand")
    rule = axis_rule(expand, sizes)
    assert tuple(extent for _, extent in sorted(rule.told.items())) == becomes


def test_what_is_added_to_itself_again_and_again_is_looked_at_once():
    nodes = [node("Shape", "x", "s0"), *(node("Add", f"s{place} s{place}", f"s{place + 1}") for place in range(40))]
    proto = model_of([*nodes, node("Identity", "x", "y")], {"x": [1, "n"]}, ["y"], {}, opset=17)
    seen = view(load(proto).graph)
    values = {value.name: value for one in seen.model.graph for value in one.outputs}
    assert computed_extents(values["s40"], Sizes(seen.found.constants)) == [2**40, None]


def test_of_rows_of_a_matrix_nothing_is_told():
    nodes = [
        *(node("Shape", "x", "shape"), node("Reshape", "shape two", "matrix"), node("Gather", "matrix zero", "row")),
        *(node("Reshape", "row all", "told"), node("Identity", "x", "y"), node("Identity", "told", "z")),
    ]
    held = {"two": np.array([2, 2]), "zero": np.array([0]), "all": np.array([-1])}
    seen = view(load(model_of(nodes, {"x": [1, "n", 5, "t"]}, ["y", "z"], held, opset=17)).graph)
    values = {value.name: value for one in seen.model.graph for value in one.outputs}
    assert computed_extents(values["told"], Sizes(seen.found.constants)) is None
    assert computed_extents(values["shape"], Sizes(seen.found.constants)) == [1, "n", 5, "t"]
