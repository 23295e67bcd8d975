from html.parser import HTMLParser

import numpy as np
import onnx
import pytest
from mutations import KINDS, mutated, random_model

import scission
from scission.runtime.render.html.diff_page import diff_page

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Checker(HTMLParser):
    """Tags that are opened are closed, in order; nothing is loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        assert not {"src", "href", "onload"} & dict(attrs).keys() and tag != "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(page):
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == [] and page.startswith("<!DOCTYPE html>") and "url(" not in page
    return checker.text


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_whole_and_says_what_changed(kind):
    rng = np.random.default_rng(2)
    model = random_model(rng, 15)
    found = scission.diff(model, mutated(rng, model, kind)[0])
    assert found.sentence in checked(diff_page(found))


def test_two_models_with_everything_different():
    rng = np.random.default_rng(0)
    found = scission.diff(random_model(rng, 30), random_model(rng, 30))
    assert "in groups that stand for each other" in checked(diff_page(found))


def test_names_are_no_markup():
    model = random_model(np.random.default_rng(0), 4)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node.add(op_type="Relu", input=["x"], output=["late"], name="<script>alert(1)</script>")
    page = diff_page(scission.diff(model, other))
    assert "<script>" not in page and "<script>alert(1)</script>" in checked(page)


def test_same_is_said():
    model = random_model(np.random.default_rng(0), 4)
    assert "same: 4 nodes" in checked(diff_page(scission.diff(model, model)))
