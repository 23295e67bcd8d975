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


X, S = np.float32([[0.5, -2, 3], [1, 4, -1.5]]), np.float32([2, 0.5, -1])
WHOLE = np.int32([[3, 3, 2], [1, 2, 3]])
CORNERS = {  # operator, operands, attributes, operator set, results
    "TopK of an attribute": ("TopK", [X], {"k": 2}, 9, 2),
    "mask of an old Dropout": ("Dropout", [X], {}, 10, 2),
    "Range of none": ("Range", [np.int64(3), np.int64(-6), np.int64(1)], {}, 17, 1),
    "Range of none backwards": ("Range", [np.float32(1), np.float32(2), np.float32(-0.3)], {}, 17, 1),
    "Pad reflect of bools": ("Pad", [X > 0, np.int64([1, 2, 0, 1])], {"mode": "reflect"}, 18, 1),
    "Pad edge of whole numbers": ("Pad", [WHOLE, np.int64([3, 0, 0, 4])], {"mode": "edge"}, 18, 1),
    "Pad wrap": ("Pad", [WHOLE, np.int64([3, 2, 1, 4])], {"mode": "wrap"}, 19, 1),
    "Pad edge cut": ("Pad", [X, np.int64([-1, 2, 0, -1])], {"mode": "edge"}, 18, 1),
    "Shrink of whole numbers": ("Shrink", [WHOLE - 2], {"bias": 1.0, "lambd": 0.5}, 17, 1),
    "ReduceProd of whole numbers": ("ReduceProd", [WHOLE], {"axes": [0]}, 17, 1),
    "ReduceL2 of whole numbers": ("ReduceL2", [WHOLE], {"axes": [1]}, 17, 1),
    "ReduceLogSum of whole numbers": ("ReduceLogSum", [WHOLE], {"axes": [1], "keepdims": 0}, 17, 1),
    "ReduceLogSumExp of whole numbers": ("ReduceLogSumExp", [WHOLE], {}, 17, 1),
    "InstanceNormalization of one pixel": ("InstanceNormalization", [X.reshape(2, 3, 1) * 0, S, S], {}, 17, 1),
    "GroupNormalization of one element": (
        "GroupNormalization", [X.reshape(2, 3, 1, 1) * 0, S, S], {"num_groups": 3}, 18, 1,
    ),
    "LayerNormalization of doubles": (
        "LayerNormalization", [X.astype(np.float64), S.astype(np.float64)], {}, 17, 3,
    ),
    "MaxPool dilated and padded": (
        "MaxPool", [X.reshape(1, 1, 6)], {"kernel_shape": [2], "dilations": [2], "auto_pad": "SAME_LOWER"}, 17, 1,
    ),
    "ConvTranspose of strides beyond its window": (
        "ConvTranspose",
        [X.reshape(1, 1, 6), S[:2].reshape(1, 1, 2)],
        {"strides": [3], "auto_pad": "SAME_UPPER"},
        17,
        1,
    ),
    "a softmax of old": ("LogSoftmax", [X.reshape(1, 2, 3)], {"axis": 1}, 11, 1),
    "the largest of pixels": ("GlobalMaxPool", [X.reshape(1, 2, 3)], {}, 17, 1),
    "CumSum along an axis in a list": ("CumSum", [WHOLE, np.int64([1])], {}, 17, 1),
    "GatherElements of a part": ("GatherElements", [X, np.int64([[2, -1]])], {"axis": 1}, 17, 1),
    "Unsqueeze from the end": ("Unsqueeze", [X], {"axes": [-1, 1]}, 11, 1),
}  # fmt: skip


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("case", CORNERS)
def test_corners_are_computed_as_onnx_runtime_computes_them(case, stored):
    """Whether operands come from outside, or are stored, so that the whole of it may be folded."""
    op, operands, attributes, opset, results = CORNERS[case]
    given = {f"i{place}": one for place, one in enumerate(operands)}
    fed = {} if stored else {"i0": np.asarray(operands[0])}
    made = node(op, " ".join(given), " ".join(f"o{place}" for place in range(results)), "n", **attributes)
    inputs = {name: (list(np.shape(one)), np.asarray(one).dtype.type) for name, one in fed.items()}
    rest = {name: one for name, one in given.items() if name not in fed}
    proto = model([made], inputs, [f"o{place}" for place in range(results)], rest, opset=opset)
    for one in proto.graph.output:
        one.ClearField("type")  # ONNX Runtime knows
    assert_alike(by_runtime(proto, fed), by_torch(to_torch(proto), fed), fed)


def test_batches_of_fused_products_are_turned():
    rng = np.random.default_rng(0)
    for turned in ((0, 0), (1, 0), (0, 1), (1, 1)):
        one = node(
            "FusedMatMul",
            "x W",
            "y",
            "n",
            "com.microsoft",
            transBatchA=1,
            transBatchB=1,
            transA=turned[0],
            transB=turned[1],
        )
        x = rng.standard_normal((3, 2, 4) if not turned[0] else (4, 2, 3)).astype(np.float32)
        W = rng.standard_normal((4, 2, 5) if not turned[1] else (5, 2, 4)).astype(np.float32)
        made = model([one], {"x": x.shape}, {"y": None}, {"W": W}, domains=["com.microsoft"])
        assert_alike(by_runtime(made, {"x": x}), by_torch(to_torch(made), {"x": x}), {"x": x})
