"""Outputs of parts that are off are kept by shape, copied for each request, and only where they fit together."""

import numpy as np

from scission.ir.parts.share import share_of, whole
from scission.runtime.serve.activation import MOST, SHAPES, key_of
from scission.runtime.serve.resting import Resting

LEFT, RIGHT = (share_of("y", {1: np.arange(4) < 2}),), (share_of("y", {1: np.arange(4) >= 2}),)


def names(writes):
    """Tells what a part writes."""
    return lambda part: [share.value for share in writes[part]]


def test_what_is_known_of_parts_that_are_off_is_copied():
    resting, key = Resting(), key_of({"x": np.zeros((1, 4))})
    resting.learn(key, 0, LEFT, {"y": np.full((1, 2), 5)})
    resting.learn(key, 1, RIGHT, {"y": np.full((1, 2), 6)})
    for _ in range(2):
        begun, done = resting.begun(key, [0, 1], names([LEFT, RIGHT]))
        assert begun["y"].tolist() == [[5, 5, 6, 6]] and done == {0, 1}
        begun["y"][:] = 0
    begun, done = resting.begun(key, [1], names([LEFT, RIGHT]))
    assert begun["y"][:, 2:].tolist() == [[6, 6]] and done == {1}


def test_another_shape_or_type_of_the_inputs_is_another_matter():
    resting = Resting()
    resting.learn(key_of({"x": np.zeros((1, 4))}), 0, LEFT, {"y": np.zeros((1, 2))})
    for other in (np.zeros((2, 4)), np.zeros((1, 4), np.float32)):
        assert resting.begun(key_of({"x": other}), [0], names([LEFT])) == ({}, set())
    for rows in range(2, 3 + SHAPES):
        resting.learn(key_of({"x": np.zeros((rows, 4))}), 0, LEFT, {"y": np.zeros((rows, 2))})
    assert len(resting.kept) == SHAPES
    assert resting.begun(key_of({"x": np.zeros((1, 4))}), [0], names([LEFT])) == ({}, set())


def test_what_does_not_fit_what_others_made_and_what_is_large_is_not_kept():
    resting, key = Resting(), key_of({"x": np.zeros((1, 4))})
    resting.learn(key, 0, LEFT, {"y": np.zeros((1, 2))})
    resting.learn(key, 1, RIGHT, {"y": np.zeros((3, 2))})
    resting.learn(key, 1, RIGHT, {"y": np.zeros((1, 2), np.float32)})
    resting.learn(key, 1, RIGHT, {"y": np.zeros((1, 3))})
    resting.learn(key, 2, (whole("z"),), {"z": np.zeros(MOST, np.int8), "unread": np.zeros(MOST)})
    resting.learn(key, 3, (whole("w"),), {"w": np.zeros(MOST + 1, np.int8)})
    assert resting.begun(key, [0, 1, 2, 3], names([LEFT, RIGHT, (whole("z"),), (whole("w"),)]))[1] == {0, 2}


def test_one_row_stands_for_as_many_as_there_are():
    resting, key = Resting(), key_of({"x": np.zeros((1, 4))})
    resting.learn(key, 0, LEFT, {"y": np.full((1, 2), 5)})
    resting.learn(key, 1, (whole("z"),), {"z": np.full((1, 1), 6)})
    begun, done = resting.begun(key, [1], names([LEFT, (whole("z"),)]), 3)
    assert done == {1} and [*begun] == ["z"] and begun["z"].tolist() == [[6]] * 3
