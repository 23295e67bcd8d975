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
from scission.ir.notebook import MOST, as_html


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
    assert set(re.findall(r"</?([a-z]+)", text)) <= {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
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
