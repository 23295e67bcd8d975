"""Which outputs of frames a filter leaves little of, and that these are computed whole."""

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import emphasised_model, frame_steps, in_stages, power_of, signal_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from scission.ir.graph.constants import Constants
from scission.ir.io.load import load
from scission.passes.frontends.emphasis import QUIET, emphasis, filter_nodes, quiet_outputs
from scission.passes.frontends.find import seen

LENGTH, HOP = 128, 32
WEIGHT = fourier(LENGTH, window=np.hanning(LENGTH + 1)[:-1])


def coefficient_of(model):
    graph = load(model).graph
    (conv,) = (node for node in graph.graph if node.op_type == "Conv")
    return emphasis(conv.inputs[0], Constants(graph))


def test_the_coefficient_is_found_behind_what_moves_the_signal():
    assert coefficient_of(emphasised_model(WEIGHT, HOP, [0.97])) == pytest.approx(0.97)
    (front,) = seen(load(emphasised_model(WEIGHT, HOP, 0.9)).graph)[3]
    assert front.product.emphasis == pytest.approx(0.9)


@pytest.mark.parametrize("coefficient", [0.97, 0.0])
def test_the_operators_of_a_filter_are_those_that_make_the_signal(coefficient):
    graph = load(emphasised_model(WEIGHT, HOP, coefficient)).graph
    (conv,) = (node for node in graph.graph if node.op_type == "Conv")
    found = filter_nodes(conv.inputs[0], Constants(graph))
    assert found == (set(graph.graph) - {conv} if coefficient else set())


@pytest.mark.parametrize("coefficient", [0.0, 1.0, -0.5, [0.97] * 199])
def test_other_numbers_are_none(coefficient):
    assert coefficient_of(emphasised_model(WEIGHT, HOP, coefficient)) == 0


@pytest.mark.parametrize("less", ["x", "other"])
def test_the_difference_of_two_signals_is_none(less):
    nodes = [
        helper.make_node("Relu", ["x"], ["other"]),
        helper.make_node("Mul", [less, "c"], ["scaled"]),
        helper.make_node("Sub", ["x", "scaled"], ["difference"]),
        helper.make_node("Conv", ["difference", "W"], ["y"]),
    ]
    model = signal_model(nodes, {"c": np.float32(0.97), "W": np.ones((1, 1, 8), np.float32)}, x=("b", 1, "n"))
    assert coefficient_of(model) == (pytest.approx(0.97) if less == "x" else 0)


def exactly(x, weight, hop):
    """Outputs (outputs, F) of frames of an emphasised signal, in double precision."""
    emphasised = np.concatenate([x[:, :1], x[:, 1:] - np.float32(0.97) * x[:, :-1]], axis=1)[0]
    frames = np.lib.stride_tricks.sliding_window_view(emphasised.astype(np.float64), len(weight))[::hop]
    return (frames @ weight.astype(np.float64)).T


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.integers(1, 12), st.integers(1, 12))
def test_quiet_outputs_are_those_whose_noise_is(seed, coefficient, n, outputs):
    weight = np.random.default_rng(seed).standard_normal((n, outputs)).astype(np.float32)
    weight[:, 0] = np.hanning(n + 2)[1:-1]
    difference = np.eye(n + 1)[1:] - coefficient * np.eye(n + 1)[:-1]  # of n + 1 samples, each of variance 1
    variance = np.diag(weight.astype(np.float64).T @ difference @ difference.T @ weight)
    share = np.sqrt(variance) / (np.linalg.norm(weight, axis=0) * np.sqrt(1 + coefficient**2))
    near = abs(share - QUIET) < 1e-6
    quiet = np.isin(np.arange(outputs), quiet_outputs(weight, coefficient))
    np.testing.assert_array_equal(quiet[~near], share[~near] < QUIET)


@pytest.mark.parametrize("bias", [None, np.arange(WEIGHT.shape[1])], ids=["plain", "bias"])
@pytest.mark.parametrize("powers", [False, True], ids=["parts", "power"])
def test_all_outputs_are_what_they_were(bias, powers):
    then = power_of(LENGTH // 2 + 1) if powers else ()
    model = emphasised_model(WEIGHT, HOP, 0.97, bias=bias, then=then)
    changed, count = in_stages(model)
    x = np.random.default_rng(1).standard_normal((2, 1500)).astype(np.float32)
    (got,), (was,) = oracles.run(changed, {"x": x}), oracles.run(model, {"x": x})
    (step,) = frame_steps(model)
    assert count == 1 and oracles.operators(changed)["Conv"] == step.places + 2  # of both stages, and of quiet outputs
    np.testing.assert_allclose(got, was, atol=4e-6 * abs(was).max())


@pytest.mark.parametrize(("length", "hop"), [(LENGTH, HOP), (400, 160), (512, 160)])
def test_every_output_is_nearly_as_exact_as_it_was(length, hop):
    """Of those in stages as well, none is off by much more than twice what whole sums are, and most by less."""
    weight = fourier(length, window=np.hanning(length + 1)[:-1])
    model = emphasised_model(weight, hop, 0.97)
    x = np.random.default_rng(3).standard_normal((1, 160000)).astype(np.float32)
    exact = exactly(x, weight, hop)
    errors = [
        np.sqrt(((oracles.run(one, {"x": x})[0][0] - exact) ** 2).mean(axis=1)) for one in (in_stages(model)[0], model)
    ]
    told = errors[1] > 0  # no imaginary part of the lowest and the highest
    assert (errors[0][told] <= 2.2 * errors[1][told]).all() and np.median(errors[0][told] / errors[1][told]) < 1


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("powers", [False, True], ids=["parts", "power"])
def test_transforms_of_a_filtered_signal_have_quiet_outputs_too(onesided, powers):
    model = emphasised_model(WEIGHT, HOP, 0.97)
    del model.graph.node[-2:]
    window = np.hanning(LENGTH + 1)[:-1].astype(np.float32)
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.int64(HOP), "hop"), numpy_helper.from_array(window, "window")]
    )
    result = "f" if powers else "y"
    model.graph.node.append(helper.make_node("STFT", ["whole", "hop", "window"], [result], "stft", onesided=onesided))
    if powers:
        model.graph.node.append(helper.make_node("ReduceSumSquare", ["f"], ["y"], axes=[-1], keepdims=0))
    (front,) = seen(load(model).graph)[3]
    assert front.product.emphasis == pytest.approx(0.97) and front.nodes[0].op_type == "STFT"
    changed, count = in_stages(model)
    (step,) = frame_steps(model)
    assert count == 1 and oracles.operators(changed)["Conv"] == step.places + 2
    x = np.random.default_rng(4).standard_normal((2, 1500)).astype(np.float32)
    emphasised = np.concatenate([x[:, :1], x[:, 1:] - np.float32(0.97) * x[:, :-1]], axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised.astype(np.float64), LENGTH, axis=1)[:, ::HOP] * window
    exact = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    (got,) = oracles.run(changed, {"x": x})
    got = got if powers else got[..., 0] + 1j * got[..., 1]
    exact = abs(exact) ** 2 if powers else exact
    np.testing.assert_allclose(got, exact, atol=4e-6 * abs(exact).max())


def test_quiet_outputs_are_as_exact_as_they_were():
    model = emphasised_model(WEIGHT, HOP, 0.97)
    x = np.random.default_rng(2).standard_normal((1, 40000)).astype(np.float32)
    exact = exactly(x, WEIGHT, HOP)
    quiet = quiet_outputs(WEIGHT, 0.97)
    errors = [
        np.sqrt(((oracles.run(one, {"x": x})[0][0] - exact)[quiet] ** 2).mean()) for one in (in_stages(model)[0], model)
    ]
    assert quiet.size >= 6 and errors[0] <= 1.1 * errors[1]
