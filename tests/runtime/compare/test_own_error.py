import numpy as np
import oracles
import pytest
from framed import in_stages, stft_model
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.runtime.compare.own_error import excused, nearer, with_exact_frames
from scission.runtime.compare.verdict import Verdict
from scission.runtime.measure.deviation import compare_values

K, N = 48, 64


def value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def weight():
    rng = np.random.default_rng(0)
    w = np.zeros((K, N))
    for i in range(4):
        w[i * 12 : i * 12 + 12, i * 16 : i * 16 + 16] = rng.standard_normal((12, 16))
    return np.where(w, np.clip(np.rint(w * 40), -127, 127), 0).astype(np.int8)


def quantised(q):
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], "dequantise"),
        helper.make_node("MatMul", ["x", "w"], ["y"], "mm"),
    ]
    constants = [numpy_helper.from_array(q, "q"), numpy_helper.from_array(np.float32(0.02), "s")]
    graph = helper.make_graph(nodes, "g", [value("x", ["n", K])], [value("y", ["n", N])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_forced_split_of_an_8_bit_weight_is_judged_by_the_error_of_the_original():
    found = scission.optimize(quantised(weight()), force=True, bench=False)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal and not found.verdict.identical
    assert "the original itself is off by" in found.verdict.reason


def test_a_wrong_entry_is_no_less_wrong_for_that():
    wrong = weight()
    wrong[0, 0] += 1
    assert not scission.check(quantised(weight()), quantised(wrong)).equal


def verdict(before, after, rtol=1e-5):
    reports = tuple(compare_values("y", np.asarray(before, np.float32), np.asarray(after, np.float32), rtol, None))
    return Verdict(
        equal=all(report.equal for report in reports),
        identical=False,
        outputs=reports,
        probes=(),
        trials=1,
        provider="cpu",
        seconds=0.0,
        reason="; ".join(report.reason for report in reports) or "fine",
    )


@pytest.mark.parametrize(
    ("fast", "changed", "equal"),
    [
        ([1.01, 2], [1.0, 2], True),  # the changed model has no error at all
        ([1.01, 2], [0.99, 2], True),  # as far away on the other side
        ([1.01, 2], [1.03, 2], False),  # three times as far
        ([1.0, 2], [1.01, 2], False),  # the original is exact
        ([1.0, 9], [1.0, 9], True),
        ([1.0, np.nan], [1.0, 2], True),
        ([1.01, 2], [1.0, np.nan], False),
    ],
)
def test_the_changed_model_may_be_twice_as_far_from_the_truth(fast, changed, equal):
    """Both are right without optimisations; with them the first computes `fast`, the second `changed`."""
    truth = [1.0, 2.0]

    def compare(*, optimize, itself=False):
        assert optimize[0] is False
        if not optimize[1]:
            return verdict(truth, truth)
        return verdict(truth, fast if itself else changed)

    assert excused(verdict(fast, changed), compare).equal is equal


def test_what_differs_without_optimisations_differs():
    failed = verdict([1.0, 2], [1.5, 2])
    assert excused(failed, lambda *, optimize, itself=False: failed) is failed


@pytest.mark.parametrize(
    ("original", "changed", "equal"),
    [
        ([1.001, 2, 3], [1.0, 2, 3], True),
        ([1.001, 2, 3], [1.0005, 2, 3], True),  # wrong in the same place, by less
        ([1.001, 2, 3], [1.002, 2, 3], False),  # by more
        ([1.001, 2, 3], [1.0009, 2.0009, 3.0009], False),  # by less, but everywhere
        ([1.001, 2, 3], [1.0, 2.0012, 3], True),  # elsewhere, by no more than another order of sums comes to
        ([1.0, 2, 3], [1.001, 2, 3], False),
        ([np.nan, 2, 3], [1.0, 2, 3.1], False),
        ([1.001, 2, 3], [np.nan, 2, 3], False),
    ],
)
def test_what_is_no_further_from_the_exact_result_is_equal(original, changed, equal):
    exact = [1.0, 2.0, 3.0]
    failed = verdict(original, changed)
    found = nearer(failed, verdict(exact, changed), lambda: verdict(exact, original))
    assert found.equal is equal and (equal or found is failed)


def test_transforms_that_are_computed_otherwise_are_exact_in_the_model_that_both_are_held_against():
    model = stft_model(np.hanning(61)[:-1], 20, x=("b", "n", 1))
    original, changed = load(model).graph, load(in_stages(model)[0]).graph
    exact = with_exact_frames(original, changed, {"stft"})
    assert exact is not None and with_exact_frames(original, original, {"stft"}) is None
    x = np.random.default_rng(0).standard_normal((2, 200, 1)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x[..., 0].astype(np.float64), 60, 1)[:, ::20]
    truth = np.fft.rfft(frames * np.hanning(61)[:-1].astype(np.float32))
    (found,) = oracles.run(ir.to_proto(exact), {"x": x})
    np.testing.assert_allclose(found, np.stack([truth.real, truth.imag], -1), rtol=0, atol=2e-6)
