"""Fourier transforms as convolutions, held against the sums that define them."""

from __future__ import annotations

import cmath
import math

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of, transform
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from random_transforms import random_stft

from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.passes.convolutions.find import seen
from scission.passes.convolutions.refusals import why_no_transform


def by_definition(signal, window, step, bins):
    """The sum that defines each element, term by term."""
    length = len(window)
    frames = range((len(signal) - length) // step + 1)
    turns = [cmath.exp(-2j * math.pi * place / length) for place in range(length)]
    values = [
        [sum(signal[t * step + j] * window[j] * turns[j * k % length] for j in range(length)) for k in range(bins)]
        for t in frames
    ]
    return np.stack([np.real(values), np.imag(values)], -1)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_every_element_is_the_sum_that_defines_it(data):
    length, step = data.draw(st.integers(2, 24)), data.draw(st.integers(1, 9))
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first, length - 1))
    onesided, rank = data.draw(st.integers(0, 1)), data.draw(st.integers(2, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    window = np.zeros(length, np.float32)
    window[first : last + 1] = rng.uniform(0.5, 1.5, last - first + 1)
    changed, forms = rewritten(transform(window, step, onesided=onesided, rank=rank))
    signals = rng.standard_normal((2, length + data.draw(st.integers(1, 40)), 1)[:rank]).astype(np.float32)
    (got,) = oracles.run(changed, {"x": signals})
    bins = length // 2 + 1 if onesided else length
    wanted = np.stack([by_definition(signal.reshape(-1).tolist(), window.tolist(), step, bins) for signal in signals])
    assert forms == ["fourier"]
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, atol=2e-6 * max(np.abs(wanted).max(), 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 20))
def test_every_transform_is_what_numpy_computes_or_has_a_reason(seed):
    model, x, exact = random_stft(seed)
    changed, forms = rewritten(model)
    if not forms:
        _, scope, constants, _ = seen(load(model).graph)
        (why,) = (why_no_transform(node, constants) for node in scope.graph)
        assert x.ndim == 3 and x.shape[2] == 2 and why is not None and why.cause is Cause.UNSUPPORTED
        return
    assert forms == ["fourier"] and oracles.interface(changed) == oracles.interface(model)
    (got,) = oracles.run(changed, {"x": x})
    assert got.shape == exact.shape
    np.testing.assert_allclose(got, exact, atol=2e-6 * max(abs(exact).max(), 1))


def test_it_is_what_onnxruntime_computes_where_that_is_exact():
    model = transform(np.hanning(64), 16)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 500)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(rewritten(model)[0], feeds))


def test_a_length_without_a_window_is_one_of_ones():
    node = helper.make_node("STFT", ["x", "step", "", "length"], ["y"])
    model = model_of([node], ["b", "n"], None, {"step": np.int64(8), "length": np.int64(32)})
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(rewritten(model)[0], feeds))


@pytest.mark.parametrize("odd", [np.zeros(8), np.full(8, np.inf), np.ones(1)])
def test_windows_of_no_use_stay(odd):
    assert steps_of(transform(odd, 4)) == []


def test_a_window_that_is_computed_stays():
    nodes = [helper.make_node("Sqrt", ["x"], ["w2"]), helper.make_node("Squeeze", ["w2"], ["w"])]
    nodes.append(helper.make_node("STFT", ["x", "step", "w"], ["y"]))
    assert steps_of(model_of(nodes, [1, 32], None, {"step": np.int64(8)})) == []


def test_a_complex_signal_stays():
    node = helper.make_node("STFT", ["x", "step", "w"], ["y"], onesided=0)
    assert steps_of(model_of([node], ["b", "n", 2], None, {"step": np.int64(8), "w": np.ones(8, np.float32)})) == []


@pytest.mark.parametrize("rank", [2, 3])
def test_of_no_signals_there_are_no_transforms(rank):
    model = transform(np.hanning(24), 5, rank=rank)
    feeds = {"x": np.zeros((0, 60, 1)[:rank], np.float32)}
    (wanted,), (got,) = (oracles.run(one, feeds) for one in (model, rewritten(model)[0]))
    assert got.shape == wanted.shape


@pytest.mark.parametrize(("wide", "forms"), [(False, ["fourier"]), (True, [])])
def test_a_signal_whose_type_is_not_stated_has_that_of_its_window(wide, forms):
    model = transform(np.hanning(64), 16)
    model.graph.node[0].input[0] = "signal"
    to = 11 if wide else 1
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["signal"], to=to))
    if wide:
        window = numpy_helper.from_array(np.hanning(64), "window")
        model.graph.initializer[1].CopyFrom(window)
        model.graph.output[0].type.tensor_type.elem_type = to
    changed, found = rewritten(model)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)}
    assert found == forms
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
