import dataclasses
import functools
import io
import math
import warnings
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.findings.level_sweep import Jump, OperatorLevel, Sweep, summarise
from scission.runtime.render.picture.sweep import LEAST, _limits, sweep_picture

pytest.importorskip("matplotlib")
from matplotlib.image import imread

GEOMETRIC = (0.05, 0.01, 1e-3, 1e-6, 1e-12)


def sweep(values=GEOMETRIC, metrics=None, deviations=None, **changes):
    count = len(values)
    levels = []
    for place, value in enumerate(values):
        share = 1 - place / count
        one = OperatorLevel(
            node="n",
            shape=(8, 8),
            confirmed=share / 2,
            kept=share,
            components=1,
            giant=share,
            dormant=0,
            mac_share=share,
        )
        metric = None if metrics is None else metrics[place]
        deviation = 0.1 * place if deviations is None else deviations[place]
        levels.append(summarise(value, [one], metric=metric, baseline=0.97, deviation=deviation))
    fields = {"model": "m.onnx", "test": "support", "metric_name": "argmax", "higher_is_better": True, "baseline": 0.97}
    fields |= {"samples": 20, "jumps": (), "notes": (), "seconds": 1.0}
    return Sweep(levels=tuple(levels), **fields | changes)


def jump(one, other):
    return Jump(level_from=one, level_to=other, change=0.5, threshold=0.1, operators=())


def texts(svg):
    """What matplotlib notes of each text that it draws as outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    return [comment.text.strip() for comment in ElementTree.fromstring(svg, parser).iter(ElementTree.Comment)]


@functools.cache
def words(found):
    return texts(sweep_picture(found, "svg"))


CASES = {
    "with a metric": sweep(metrics=(0.97, 0.96, 0.95, 0.9, 0.5)),
    "with jumps": sweep(metrics=(0.97, 0.96, 0.5, 0.5, 0.1), jumps=(jump(0.01, 1e-3), jump(1e-6, 1e-12))),
    "without": sweep(),
    "constant": sweep(metrics=(0.97,) * 5),
    "one level": sweep((0.1,), (0.9,)),
    "down to 0": sweep((0.5, 0.1, 0.0)),
    "growing": sweep((0.1, 0.5, 0.9)),
    "lost": sweep(metrics=(0.97, math.nan, 0.9, math.inf, math.nan)),
    "all lost": sweep(deviations=(math.inf,) * 5),
    "many": sweep([0.5**k for k in range(1, 60)], [0.97 - k / 100 for k in range(59)]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_sweep_can_be_drawn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = imread(io.BytesIO(sweep_picture(CASES[name])), format="png")
        shown = words(CASES[name])
    assert min(pixels.shape[:2]) > 800 and pixels.std() > 0
    for word in (
        "m.onnx",
        "weights kept",
        "MACs left",
        "largest component, share of features",
        "share of the original",
    ):
        assert word in shown


def test_the_metric_is_shown_with_that_of_the_original():
    shown = words(CASES["with a metric"])
    assert "argmax, annealed" in shown and "argmax, original" in shown and "(higher is better)" in " ".join(shown)
    lower = words(sweep(metrics=(1, 2, 3, 4, 5), higher_is_better=False, metric_name="mse"))
    assert "(lower is better)" in " ".join(lower) and "mse, annealed" in lower


def test_without_a_metric_the_deviation_is_shown():
    shown = words(CASES["without"])
    assert "largest relative deviation" in shown and not any("argmax" in word for word in shown)


def test_jumps_are_marked():
    assert "jump" in words(CASES["with jumps"]) and "jump" not in words(CASES["with a metric"])
    assert any(word.endswith("2 jumps") for word in words(CASES["with jumps"]))
    assert any(word.endswith("no jumps") for word in words(CASES["without"]))
    for few in (CASES["one level"], sweep((0.1, 0.01), (0.9, 0.8))):  # among which none can be told
        assert not any("jump" in word for word in words(few))
    marked = dataclasses.replace(CASES["without"], jumps=(jump(0.05, 0.01),))
    assert "jump" in words(marked)


def test_what_is_not_finite_has_its_own_mark():
    assert "not a finite number" in words(CASES["lost"]) and "not a finite number" in words(CASES["all lost"])
    assert "not a finite number" not in words(CASES["with a metric"])


def test_each_level_has_a_tick_where_there_is_room():
    shown = words(CASES["without"])
    assert all(f"{value:g}" in shown for value in GEOMETRIC)
    labels = [f"{result.level:.3g}" for result in CASES["many"].levels]
    assert 10 < len(set(labels) & set(words(CASES["many"]))) < 40


def test_ticks_do_not_touch():
    default = (0.5, 0.2, 0.05, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-15, 1e-20, 1e-30)
    shown = set(words(sweep(default)))
    assert not {"0.001", "0.0001"} <= shown and {"0.5", "1e-10", "1e-20", "1e-30"} <= shown


@given(st.lists(st.floats(-1, 1) | st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_the_axis_shows_the_data_and_little_else(values):
    bottom, top = _limits([*values, math.nan])
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    assert bottom < low <= high < top
    least = max(high - low, LEAST * size)
    shares = low >= -1 and high <= 1
    assert top - bottom >= 0.999 * least
    allowed = 1.25 * max(least, LEAST if shares and size > LEAST else 0.0) if size > 1e-290 else 1.25
    assert top - bottom <= allowed
    if low >= 0:
        assert bottom >= -0.13 * (top - bottom)
    if shares:
        assert top <= 1 + 0.13 * (top - bottom)


@pytest.mark.parametrize(("value", "low", "high"), [(0.97, 0.95, 0.99), (1.0, 0.97, 1.002), (0.0, -0.1, 1.1)])
def test_a_constant_is_not_shown_on_an_axis_of_impossible_values(value, low, high):
    bottom, top = _limits([value] * 3)
    assert low <= bottom < value < top <= high


@pytest.mark.parametrize(("name", "scale"), [("without", "logarithmic"), ("down to 0", "evenly spaced")])
def test_the_scale_is_said(name, scale):
    assert f"level, {scale}; stronger annealing to the right" in words(CASES[name])


def test_a_test_without_a_level_is_named_where_levels_would_be():
    found = words(sweep((0.05,), (0.97,), test="blocks, block-fill", leveled=False))
    assert "blocks" in found and "this test has no level" in found and "test: blocks, block-fill · 20 samples" in found
    assert not any(text == "0.05" or "1 level" in text for text in found)
    assert {"0.05", "level"} <= set(words(sweep((0.05,), (0.97,))))


@pytest.mark.parametrize("format_", ["png", "svg"])
def test_the_same_sweep_gives_the_same_bytes(format_):
    first, second = (sweep_picture(CASES["with jumps"], format_) for _ in range(2))
    assert first == second
    assert b"Date" not in first and b"date" not in first


@pytest.mark.parametrize("name", ["$x$ $\\frac", "größe.onnx:節点", "<b>&amp;", "n" * 300, "two\nlines", ""])
def test_names_of_any_kind(name):
    found = sweep(metrics=(0.9,) * 5, model=name, test=name, metric_name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "weights kept" in words(found)


def test_the_settings_of_the_user_are_left_alone_and_ignored():
    import matplotlib as mpl

    plain = sweep_picture(CASES["with jumps"], "svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "x"}):
        before = dict(mpl.rcParams)
        assert sweep_picture(CASES["with jumps"], "svg") == plain
        assert dict(mpl.rcParams) == before
