import warnings

import numpy as np
import pytest
from onnx.backend.test.loader import load_model_tests
from reference import model, node

torch = pytest.importorskip("torch")

from run_torch import assert_alike, by_runtime, by_torch  # noqa: E402

from scission.runtime.upgrade.interpreter.tensors import array_of, tensor_of  # noqa: E402
from scission.runtime.upgrade.interpreter.unsupported import UnsupportedOperatorError  # noqa: E402
from scission.runtime.upgrade.operators.rules import RULES  # noqa: E402
from scission.runtime.upgrade.to_torch import to_torch  # noqa: E402

NOT_TAKEN = {
    "test_maxpool_2d_uint8": "images of bytes are no activations of a model that is trained",
    "test_reduce_max_empty_set": "the largest of nothing",
    "test_reduce_max_empty_set_bool": "the same",
    "test_reduce_min_empty_set": "the same",
}
RNG = np.random.default_rng(0)


def cases():
    """ONNX's own tests of operators, each a model of one node or of the function that it stands for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(load_model_tests(kind="node"))


def test_every_rule_computes_what_the_tests_of_onnx_say():
    seen, wrong = set(), []
    for case in cases():
        arrays = [one for given, wanted in case.data_sets for one in (*given, *wanted)]
        if case.name in NOT_TAKEN or any(isinstance(one, list) or np.asarray(one).dtype == object for one in arrays):
            continue  # sequences, optional values, and numbers that numpy has no type for
        try:
            module = to_torch(case.model)
        except UnsupportedOperatorError:
            continue
        for given, wanted in case.data_sets:
            found = module(**dict(zip(module.input_names, [tensor_of(np.array(one)) for one in given], strict=True)))
            found = found if isinstance(found, tuple) else (found,)
            two_bytes = any(np.asarray(one).dtype.itemsize == 2 for one in (*given, *wanted))
            for a, b in zip(wanted, map(array_of, found), strict=True):
                a, rtol = np.asarray(a), 2e-2 if two_bytes else case.rtol
                fits = (a.shape, a.dtype) == (b.shape, b.dtype) and np.allclose(
                    b.astype(np.float64), a.astype(np.float64), rtol, max(case.atol, 1e-6), equal_nan=True
                )
                wrong += [] if fits else [case.name]
        seen |= {one.op_type for one in case.model.graph.node}
    assert wrong == []
    others = {"BiasGelu", "FastGelu", "FusedGemm", "FusedMatMul", "QuickGelu", "Scatter"}
    others |= {"SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
    assert set(RULES) - seen <= others, "each is tested, there or below"


MICROSOFT = {
    "BiasGelu": (["x", "b"], {}),
    "FastGelu": (["x", "b"], {}),
    "FastGelu without a bias": (["x"], {}),
    "QuickGelu": (["x"], {"alpha": 1.5}),
    "Gelu": (["x"], {}),
    "FusedMatMul": (["x", "W"], {"transB": 1, "alpha": 0.5}),
    "FusedMatMul turned": (["W", "V"], {"transA": 1}),
    "FusedGemm": (["x", "W", "v"], {"transB": 1, "beta": 2.0, "activation": "Relu"}),
    "FusedGemm leaky": (["x", "W"], {"transB": 1, "activation": "LeakyRelu", "activation_alpha": 0.3}),
    "SkipLayerNormalization": (["x", "s", "b", "c", "d"], {"epsilon": 1e-3}),
    "SkipLayerNormalization plain": (["x", "s", "b"], {}),
    "SkipSimplifiedLayerNormalization": (["x", "s", "b", "c"], {"epsilon": 1e-3}),
}
CONSTANTS = {name: RNG.standard_normal(6).astype(np.float32) for name in "bcd"}
CONSTANTS |= {"W": RNG.standard_normal((4, 6)).astype(np.float32), "v": RNG.standard_normal(4).astype(np.float32)}
CONSTANTS |= {"s": RNG.standard_normal((3, 6)).astype(np.float32), "V": RNG.standard_normal((4, 5)).astype(np.float32)}


@pytest.mark.parametrize("case", MICROSOFT)
def test_operators_of_onnx_runtime_compute_what_it_computes(case):
    operands, attributes = MICROSOFT[case]
    one = node(case.split()[0], " ".join(operands), "y", "n", "com.microsoft", **attributes)
    used = {name: CONSTANTS[name] for name in operands if name in CONSTANTS}
    made = model([one], {"x": (3, 6)} if "x" in operands else {}, {"y": None}, used, domains=["com.microsoft"])
    feeds = {"x": RNG.standard_normal((3, 6)).astype(np.float32)} if "x" in operands else {}
    assert_alike(by_runtime(made, feeds), by_torch(to_torch(made), feeds), feeds)


def test_norms_without_a_mean_compute_what_onnx_runtime_computes():
    one = node("SimplifiedLayerNormalization", "x b", "y", axis=-1, epsilon=1e-3)
    made = model([one], {"x": (3, 6)}, {"y": None}, {"b": CONSTANTS["b"]})
    feeds = {"x": RNG.standard_normal((3, 6)).astype(np.float32)}
    assert_alike(by_runtime(made, feeds), by_torch(to_torch(made), feeds), feeds)
