import importlib.util
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from digraphs import EXAMPLE

from scission.runtime.render.picture.structure import PictureError, check_picture, picture
from scission.runtime.weights.source import from_array
from scission.runtime.weights.states import find, states_of

pytest.importorskip("matplotlib")
from matplotlib.image import imread
from picture_examples import texts

rng = np.random.default_rng(0)
MATRICES = {
    "the worked example": EXAMPLE,
    "one edge": np.ones((1, 1)),
    "no edge": np.zeros((1, 1)),
    "isolated": np.zeros((12, 12)),
    "one SCC": np.ones((50, 50)),
    "a long chain": np.eye(60, k=-1),
    "random": rng.random((300, 300)) < 1 / 300,
    "triangular": np.tril(np.ones((1100, 1100))),
}
SHAPES = [(1, 1), (1, 40), (8, 3), (60, 2000), (3, 100)]


def of(A, name="w", **options):
    states = states_of(from_array(np.asarray(A), name), paper=True, **options)
    return find(states), states


@pytest.mark.parametrize("name", MATRICES)
def test_every_structure_can_be_drawn(name):
    found, states = of(MATRICES[name], name)
    pixels = imread(io.BytesIO(picture(found, states, "png")), format="png")
    assert min(pixels.shape[:2]) > 500 and pixels.std() > 0
    for first in (0, 1):  # which changes words alone
        words = texts(picture(found, states, "svg", first))
        assert name in words and "original order" in words and "new order" in words
        assert any(word.startswith(f"{len(MATRICES[name]):,} state") for word in words)
        assert (f"layer {first}" in words) is (len(MATRICES[name]) <= 50)


@pytest.mark.parametrize("shape", SHAPES)
def test_operators_of_any_shape_can_be_drawn(shape):
    found, states = of(rng.random(shape) < 0.3, scope="operator")
    assert imread(io.BytesIO(picture(found, states)), format="png").std() > 0
    assert "from input" in texts(picture(found, states, "svg"))


def test_the_worked_example_is_labelled_as_in_the_paper():
    words = texts(picture(*of(EXAMPLE), "svg", 1))
    for word in [*(f"SCC {n}" for n in range(1, 10)), *(f"component {n}" for n in range(1, 5)), "layer 1", "layer 3"]:
        assert word in words
    assert "layer 0" not in words and "SCC 0" not in words


@pytest.mark.parametrize("format_", ["png", "svg"])
def test_the_same_structure_gives_the_same_bytes(format_):
    first, second = (picture(*of(EXAMPLE), format_) for _ in range(2))
    assert first == second
    assert b"Date" not in first and b"date" not in first


@pytest.mark.parametrize("name", ["$x$ $\\frac", "größe.onnx:節点", "<b>&amp;", "n" * 300, "two\nlines"])
def test_names_of_any_kind(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for format_ in ("png", "svg"):
            picture(*of(np.eye(3), name), format_)


def test_the_settings_of_the_user_are_left_alone_and_ignored():
    import matplotlib as mpl

    plain = picture(*of(EXAMPLE), "svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "x"}):
        before = dict(mpl.rcParams)
        assert picture(*of(EXAMPLE), "svg") == plain
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("path", ["picture", "picture.jpg", "picture.pdf", "png", ".png"])
def test_pictures_of_other_kinds_are_refused(path):
    with pytest.raises(PictureError, match=r"\.png or an \.svg"):
        check_picture(Path(path))


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PictureError, match=r"pip install matplotlib"):
        check_picture(Path("picture.png"))
