import io
import re

import pytest
from rich.console import Console

from scission.runtime.render.text.fitted_table import Column, FittedTable, lines_of
from scission.runtime.render.text.table import SHOWN


def text(view, width=220):
    stream = io.StringIO()
    Console(file=stream, width=width).print(view)
    return stream.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_long_name_keeps_both_of_its_ends(width):
    """In a table its middle goes; where there is only room for words it is whole."""
    columns = Column(name="node", text=True), Column(name="one"), Column(name="two", optional=1)
    view = FittedTable(
        title="t", columns=columns, rows=(("/encoder/layer.0/attention/self/query/MatMul", "1.5", "2.5"),)
    )
    shown = text(view, width)
    name = "/encoder/la…/self/query/MatMul" if width == 40 else "/encoder/layer.0/attention/self/query/MatMul"
    assert name in re.sub(r"\s+|1\.5|2\.5", "", shown) and "1.5" in shown
    assert ("2.5" in shown) is (width >= 40)


@pytest.mark.parametrize(("width", "names"), [(30, "abcd"), (17, "abc"), (11, "ab"), (5, "a")])
def test_the_least_important_columns_go_first_and_numbers_are_never_cut(width, names):
    columns = tuple(
        Column(name=name, optional=rank, meaning=f"of {name}") for name, rank in zip("abcd", (0, 3, 2, 1), strict=True)
    )
    shown = text(FittedTable(title="t", columns=columns, rows=(("1234", "5678", "9012", "3456"),)), width)
    numbers = dict(zip("abcd", ("1234", "5678", "9012", "3456"), strict=True))
    assert [name for name, number in numbers.items() if number in shown] == list(names)
    assert [name for name in "abcd" if f"{name}: of" in " ".join(shown.split())] == list(names)


def test_where_nothing_fits_rows_become_words():
    columns = (Column(name="first"), Column(name="second"))
    shown = text(FittedTable(title="t", columns=columns, rows=(("123456", "abcdef"),)), 12)
    assert "first 123456" in " ".join(shown.split()) and "second abcdef" in " ".join(shown.split())


def test_reasons_are_lines_with_their_first_node():
    told = [(f"n{place}", f"reason {place % 20}") for place in range(40)]
    lines = [str(line) for line in lines_of(told)]
    assert lines[0] == "n0 and 1 more: reason 0" and lines[-1] == f"… and {20 - SHOWN} more (--all shows them)"
    assert [str(line) for line in lines_of(told, everything=True, before="why ")][3] == "why n3: reason 3"
    assert lines_of([("a", "")]) == []
