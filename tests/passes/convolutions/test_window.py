"""Smaller windows, held against the whole ones."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_the_smaller_window_computes_the_same(data):
    axes, groups = data.draw(st.integers(1, 2)), data.draw(st.sampled_from([1, 2]))
    size = [data.draw(st.integers(1, 5)) for _ in range(axes)]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weight = rng.standard_normal((4, 2, *size)).astype(np.float32)
    zeros = weight.copy()
    places = []
    for extent in size:
        first = data.draw(st.integers(0, extent - 1))
        places.append(slice(first, data.draw(st.integers(first, extent - 1)) + 1))
    zeros[:, :, *places] = 0
    weight -= zeros
    attributes = {
        "strides": [data.draw(st.integers(1, 3)) for _ in range(axes)],
        "dilations": [data.draw(st.integers(1, 2)) for _ in range(axes)],
        "pads": [data.draw(st.integers(0, 3)) for _ in range(2 * axes)],
        "group": groups,
    }
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", **attributes)
    extents = [data.draw(st.integers(11, 15)) for _ in range(axes)]
    model = model_of([node], ["b", 2 * groups, *extents], None, {"w": weight})
    shape = (2, 2 * groups, *extents)
    feeds = {"x": rng.standard_normal(shape).astype(np.float32)}
    changed, forms = rewritten(model)
    whole = all(place == slice(0, extent) for place, extent in zip(places, size, strict=True))
    assert forms == ([] if whole else ["window"])
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
    (kernel,) = (one for one in changed.graph.initializer if list(one.dims)[:2] == [4, 2])
    assert list(kernel.dims)[2:] == [place.stop - place.start for place in places]


def test_only_the_middle_of_a_window_is_a_product():
    weight = np.zeros((8, 8, 3, 3), np.float32)
    weight[:, :, 1, 1] = np.random.default_rng(0).standard_normal((8, 8))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    changed, _ = rewritten(model_of([node], ["b", 8, 6, 6], None, {"w": weight}))
    (conv,) = changed.graph.node
    told = {one.name: helper.get_attribute_value(one) for one in conv.attribute}
    assert told["pads"] == [0, 0, 0, 0] and told["kernel_shape"] == [1, 1]


def test_padding_that_follows_from_sizes_stays():
    weight = np.zeros((8, 8, 3, 3), np.float32)
    weight[:, :, 1, 1] = 1
    node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER")
    assert steps_of(model_of([node], ["b", 8, 6, 6], None, {"w": weight})) == []


def test_nothing_but_zeros_is_left_to_others():
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    assert steps_of(model_of([node], ["b", 8, 6, 6], None, {"w": np.zeros((8, 8, 3, 3), np.float32)})) == []


@pytest.mark.parametrize("pads, kept", [((4, 0), 5), ((0, 4), 1), ((2, 2), 3), ((0, 0), 1)])
def test_short_inputs_have_no_places_that_the_whole_window_had_not(pads, kept):
    weight = np.zeros((4, 3, 5), np.float32)
    weight[:, :, :1] = np.random.default_rng(0).standard_normal((4, 3, 1))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=pads)
    model = model_of([node], ["b", 3, "n"], None, {"w": weight})
    changed, forms = rewritten(model)
    assert forms == (["window"] if kept < 5 else [])
    assert [list(one.dims) for one in changed.graph.initializer if len(one.dims) == 3] == [[4, 3, kept]]
    for length in range(max(5 - sum(pads), 1), 8):
        feeds = {"x": np.random.default_rng(length).standard_normal((2, 3, length)).astype(np.float32)}
        oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
