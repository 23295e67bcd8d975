import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_examples import texts

from scission.runtime.render.picture.front import FrontPoint, front_picture

pytest.importorskip("matplotlib")
from matplotlib.image import imread


def point(speedup, lost, method="removal", **more):
    return FrontPoint(method=method, speedup=speedup, low=speedup - 0.05, high=speedup + 0.05, lost=lost, **more)


POINTS = [
    point(1.1, 0.01, front=True),
    point(1.3, 0.04),
    point(1.35, 0.02, "projection", front=True, kept=True),
    point(2.0, 0.3, "projection", front=True),
]


def words(points, **more):
    return texts(front_picture(points, "cosine", "m.onnx", format_="svg", **more))


def test_it_says_what_is_where():
    found = words(POINTS, limit=0.05, target=1.2)
    for text in ("m.onnx", "4 candidates · 3 on the front", "cosine lost", "removal", "projection", "kept", "original"):
        assert text in found
    assert "budget 0.05" in found and "target 1.2x" in found
    assert not any(text.startswith(("budget", "target")) for text in words(POINTS))
    assert "1 candidate · 0 on the front · none is kept" in words(POINTS[1:2])


def test_the_same_points_give_the_same_bytes():
    for format_ in ("png", "svg"):
        one, other = (front_picture(POINTS, "cosine", "m.onnx", limit=0.05, format_=format_) for _ in range(2))
        assert one == other


def test_no_candidate_at_all_and_names_of_any_kind_are_drawn():
    for points, metric, title in (([], "cosine", "m"), (POINTS, "a$b^{" * 30, "\x1b[31m名$" * 40)):
        assert imread(io.BytesIO(front_picture(points, metric, title))).shape[2] == 4
    assert any(text.startswith("…") for text in texts(front_picture(POINTS, "x", "long " * 40, format_="svg")))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(-1, 1)), min_size=1, max_size=6))
def test_every_kind_of_point_is_drawn(values):
    names = itertools.cycle(["removal", "projection", "blocks", "experts", "mine", "another"])
    points = [point(*pair, name, front=True) for pair, name in zip(values, names, strict=False)]
    assert front_picture(points, "cosine", "m.onnx", limit=1e9, target=1e6).startswith(b"\x89PNG")
