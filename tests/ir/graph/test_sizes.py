import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.graph.sizes import DEFAULT_BATCH, OTHERS, UNNAMED, InputError, open_dims, settings_at
from scission.models.matrix import weight

DIMS = st.sampled_from(["n", "time", "batch_size", None]) | st.integers(1, 9)
SHAPES = st.lists(st.lists(DIMS, max_size=4).map(tuple), min_size=1, max_size=3)


def total(shapes, sizes):
    return math.prod(sizes[name] ** count for name, count in open_dims(shapes).items())


@given(SHAPES, st.none() | st.lists(st.integers(1, 300), min_size=1, max_size=3), st.data())
def test_every_open_dimension_gets_a_size_that_fits_what_was_asked_for(shapes, batch, data):
    axes = open_dims(shapes)
    fixed = {name: data.draw(st.integers(1, 50)) for name in axes if name and data.draw(st.booleans())}
    found = settings_at(shapes, batch, fixed)
    free = [name for name in axes if name not in fixed]
    assert all(setting.sizes.keys() == axes.keys() and fixed.items() <= setting.sizes.items() for setting in found)
    assert len({tuple(sorted(setting.sizes.items())) for setting in found}) == len(found) or not axes
    if not axes:
        assert [setting.batch for setting in found] == list(dict.fromkeys(batch or DEFAULT_BATCH))
        return
    assert all(setting.batch == setting.sizes[next(iter(axes))] for setting in found)
    if free and batch is not None and UNNAMED not in axes:
        assert [setting.sizes[free[0]] for setting in found] == list(dict.fromkeys(batch))
        assert all(setting.sizes[name] == OTHERS for setting in found for name in free[1:])
    if free == list(axes) and batch is None and UNNAMED not in axes:
        for setting, count in zip(found, DEFAULT_BATCH, strict=True):
            lead, *others = axes
            rest = math.prod(setting.sizes[name] ** axes[name] for name in others)
            assert axes[lead] > 1 or count <= total(shapes, setting.sizes) < count + rest


def test_the_dimension_called_batch_leads():
    (setting,) = settings_at([("time", "batch_size", 8)], [5])
    assert setting.sizes == {"batch_size": 5, "time": OTHERS} and setting.batch == 5


def test_dimensions_without_a_name_share_one_size():
    (setting,) = settings_at([(None, None, 8)], [256])
    assert setting.sizes == {UNNAMED: 16}


@pytest.mark.parametrize(("fixed", "message"), [({"nope": 2}, "nope"), ({"n": 0}, "at least 1")])
def test_sizes_of_what_is_not_open_are_refused(fixed, message):
    with pytest.raises(InputError, match=message):
        settings_at([("n", 8)], None, fixed)


def test_a_negative_extent_is_an_open_one():
    """Some exporters write -1, which ONNX Runtime takes for open."""
    W, _ = weight(np.random.default_rng(0), [(3, 4)] * 3)
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Relu", ["h"], ["y"])]
    model = oracles.graph(nodes, {"x": [-1, 5, 9]}, {"y": [-1, 5, 12]}, {"W": W})
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [-1, 5, 9]
    assert scission.explain(model, "n0", batch=[4]).rows == "20 = 4 x 5 (batch 4)"
    result = scission.optimize(model, force=True, batch=[1, 3], bench=False)
    assert result.outcome == "split", result.reason
    assert result.model.graph.input == model.graph.input
