import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.inputs.sizes.expression import parse

WRITTEN = [
    ("past_sequence_length + 1", {"past_sequence_length": 5}, 6),
    ("2*a", {"a": 4}, 8),
    ("a + b", {"a": 4, "b": 3}, 7),
    ("floor(s0/2)", {"s0": 7}, 3),
    ("((s77 - 1)//2) + 1", {"s77": 8}, 4),
    ("8*((s0//8))", {"s0": 17}, 16),
    ("CeilToInt(IntTrueDiv(s0, 2))", {"s0": 7}, 4),
    ("Max(1, s0 - 4)", {"s0": 2}, 1),
    ("Mod(s0, 8) + 1", {"s0": 11}, 4),
    ("s0**2", {"s0": 3}, 9),
    ("encoder.length + 2", {"encoder.length": 3}, 5),
]


@pytest.mark.parametrize(("text", "sizes", "expected"), WRITTEN)
def test_as_exporters_write_them(text, sizes, expected):
    found = parse(text)
    assert set(found.names) == set(sizes) and found.size(sizes) == expected
    (name, *others) = found.names
    rest = {other: sizes[other] for other in others}
    assert found.size({**rest, name: found.solve(expected, name, rest)}) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "batch", "a b", "?", "unk__0", "3", "2 * 3", "f(x)", "x if y else z", "'a' + b", "[a][0]", "a" * 300),
        *("(" * 150, "True", "a + True is b", "lambda: a", "a.b", "__import__('os').system('true')", "a + 'b'"),
    ],
)
def test_what_is_no_arithmetic_is_a_name(text):
    assert parse(text) is None


@pytest.mark.parametrize(("text", "sizes"), [("a - 9", {"a": 3}), ("a // b", {"a": 1, "b": 0}), ("a + b", {"a": 1})])
def test_no_size_where_there_is_none(text, sizes):
    assert parse(text).size(sizes) is None


FORMS = ["({}) + ({})", "({}) - ({})", "({})*({})", "({})//({})", "max({}, {})", "floor(({})/({}))"]


@st.composite
def sums(draw, depth=2):
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(["a", "b", "n_1", "2", "3", "7"]))
    one, other = draw(sums(depth - 1)), draw(sums(depth - 1))
    shape = draw(
        st.sampled_from(["({}) + ({})", "({}) - ({})", "({})*({})", "({})//({})", "max({}, {})", "floor(({})/({}))"])
    )
    return shape.format(one, other)


@given(sums(), *(st.integers(1, 40) for _ in range(3)))
def test_it_is_what_python_computes(text, a, b, n):
    sizes = {"a": a, "b": b, "n_1": n}
    try:
        expected = eval(text, {"max": max, "floor": math.floor}, sizes)
    except ZeroDivisionError:
        expected = None
    found = parse(text)
    if found is None:
        assert text in sizes or not {"a", "b", "n_1"} & set(re.findall(r"\w+", text))
    else:
        assert found.size(sizes) == (expected if expected is not None and 0 <= expected <= 1 << 31 else None)
