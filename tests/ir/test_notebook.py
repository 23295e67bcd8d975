import re
from dataclasses import dataclass

import html5lib
import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.brief import Several
from scission.ir.notebook import MOST, as_html
from scission.models.planted import ffn


@dataclass(frozen=True)
class Row:
    name: str
    share: float = 0.5


@dataclass(frozen=True)
class Found:
    title: str
    rows: tuple[Row, ...]
    _repr_html_ = as_html(("title",), rows=("name", "share"))


def cells(text):
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(text)
    return [["".join(one.itertext()) for one in line] for line in tree.iter("tr")]


@given(st.text(), st.lists(st.text(), max_size=40))
def test_whatever_a_model_says_is_text(title, names):
    text = Found(title, tuple(map(Row, names)))._repr_html_()
    lines = cells(text)
    assert len(lines) == (min(len(names), MOST) + 1 + (len(names) > MOST) if names else 0)
    assert set(re.findall(r"</?([a-z]+)", text)) <= {"p", "b", "div", "table", "thead", "tbody", "tr", "th", "td"}
    assert text.isprintable()


@pytest.fixture(scope="module")
def result():
    weight = np.kron(np.eye(4), np.ones((8, 8))).astype(np.float32)
    model = oracles.graph([("MatMul", ["x", "<w>"], ["y"])], {"x": ["n", 32]}, {"y": ["n", 32]}, {"<w>": weight})
    model.graph.node[0].name = "<up>"
    return scission.optimize(
        model, options=scission.PlanOptions(force=True), trials=scission.Trials(seconds=0.01)
    ), model


def test_results_are_tables(result):
    found, model = result
    assert cells(found.plan._repr_html_())[1][:2] == ["<up>", "MatMul"]
    assert cells(found.verdict._repr_html_())[1][0] == "y"
    assert len(cells(found._repr_html_())) == 1 + len(found.benches)
    assert "speed-up" in found.benches[0]._repr_html_()
    assert isinstance(found.model, onnx.ModelProto)
    difference = scission.diff(model, found.model)
    assert any("<up>" in "".join(line) for line in cells(difference._repr_html_()))


@dataclass(frozen=True)
class Timed:
    name: str
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Told:
    rows: tuple[Timed, ...]
    _repr_html_ = as_html(rows=("name", "took, s|seconds", "note"))


def test_seconds_have_a_unit_and_columns_of_nothing_are_left_out():
    assert cells(Told((Timed("a", 9.4e-6), Timed("b", 0.5)))._repr_html_()) == [
        ["name", "took"],
        ["a", "9.4 µs"],
        ["b", "500 ms"],
    ]
    assert cells(Told((Timed("a"),))._repr_html_()) == [["name"], ["a"]]


@pytest.mark.parametrize("width", [390, 900])
def test_a_table_is_scrolled_by_itself_and_its_text_has_room(browser, width):
    """As JupyterLab styles it: numbers to the right, text to the left, none of it in slivers."""
    style = "table { margin: auto; table-layout: fixed } th, td { text-align: right; white-space: normal }"
    rows = tuple(Timed(f"/layers.{at}/attention/self/query/MatMul", at / 7, "word " * 30) for at in range(3))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(f"<style>{style}</style>{Told(rows)._repr_html_()}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sides = "[...document.querySelectorAll('tr:nth-child(2) td')].map(one => getComputedStyle(one).textAlign)"
    assert page.evaluate(sides) == ["left", "right", "left"]
    assert page.evaluate("document.querySelector('table').getBoundingClientRect().left") < 20
    assert (
        page.evaluate("Math.min(...[...document.querySelectorAll('td:last-child')].map(one => one.offsetWidth))") > 200
    )
    page.close()


def test_what_inspect_and_bench_return_are_tables(tmp_path):
    """A plain tuple is printed in one line without an end."""
    path = tmp_path / "model.onnx"
    onnx.save(ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model, path)
    found = cells(scission.inspect(path)._repr_html_())
    assert found[0][:4] == ["node", "operator", "density", "components"]
    assert [line[:4] for line in found[1:]] == [["up", "MatMul", "0.25", "4"], ["down", "MatMul", "0.25", "4"]]
    timed = cells(scission.bench(path, path, batch=[1, 2], trials=scission.Trials(seconds=0.02))._repr_html_())
    assert timed[0] == ["rows", "provider", "original", "changed", "speed-up", "shown"]
    assert [line[:2] for line in timed[1:]] == [["1", "cpu"], ["2", "cpu"]]


def test_several_of_what_names_no_columns_are_lines():
    assert Several("ab")._repr_html_() is None and Several()._repr_html_() is None
