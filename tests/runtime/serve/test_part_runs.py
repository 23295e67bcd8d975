"""Prepared runs are as others are, and shapes that come once or too many are run as they are."""

import numpy as np
import pytest
from onnx import helper

from scission import SessionError
from scission.runtime.ort.session import open_session
from scission.runtime.serve.activation import SHAPES
from scission.runtime.serve.part_runs import PartRuns


def session_of(nodes, kind=1, made=None):
    x, y = helper.make_tensor_value_info("x", kind, ["n", "m"]), helper.make_tensor_value_info("y", made or kind, None)
    graph = helper.make_graph([helper.make_node(*node) for node in nodes], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return open_session(model.SerializeToString(), threads=1)


def ran(runs, x):
    with runs.run({"x": x}, None) as made:
        return made["y"].copy()


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_a_shape_that_comes_again_is_prepared_and_computes_the_same(dtype):
    runs = PartRuns(session_of([("Neg", ["x"], ["y"])], kind=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))), (), ())
    for at in range(5):
        x = np.arange(12, dtype=dtype).reshape(3, 4)[:, ::2] + dtype(at)
        assert ran(runs, x).tolist() == (-x).tolist()
    (known,) = runs.shapes.values()
    assert len(known.free) == 1


def test_only_the_last_few_shapes_are_known():
    runs = PartRuns(session_of([("Neg", ["x"], ["y"])]), (), ())
    for rows in range(1, 3 * SHAPES):
        assert ran(runs, np.ones((rows, 2), np.float32)).shape == (rows, 2)
    assert len(runs.shapes) == SHAPES


def test_results_of_another_size_than_before_are_not_lost():
    runs = PartRuns(session_of([("NonZero", ["x"], ["y"])], made=7), (), ())
    for count in (1, 2, 3, 2, 4):
        x = np.zeros((2, 2), np.float32)
        x.flat[:count] = 1
        assert ran(runs, x).shape == (2, count)


def test_an_error_is_told_as_any_run_tells_it():
    runs = PartRuns(session_of([("Neg", ["x"], ["y"])]), (), ())
    with pytest.raises(SessionError):
        runs.run({"x": np.zeros((1, 1), np.float64)}, None)


def test_two_that_run_at_once_have_memory_of_their_own():
    runs = PartRuns(session_of([("Neg", ["x"], ["y"])]), (), ())
    ones = np.ones((2, 2), np.float32)
    for _ in range(3):
        with runs.run({"x": ones}, None) as first, runs.run({"x": 2 * ones}, None) as second:
            assert first["y"].tolist() == (-ones).tolist() and second["y"].tolist() == (-2 * ones).tolist()
    assert len(next(iter(runs.shapes.values())).free) == 2
