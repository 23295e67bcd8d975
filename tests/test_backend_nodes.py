"""ONNX's own node tests: one operand made constant, pruned to two blocks, split, and held against the original."""

import numpy as np
import onnx
import oracles
import pytest
from onnx.backend.test.case.node import collect_testcases

import scission

OPERATORS = ("MatMul", "Gemm", "Einsum")
CERTAIN = {"MatMul": {"test_matmul_2d"}, "Gemm": {"test_gemm_all_attributes", "test_gemm_default_matrix_bias"}}


@pytest.fixture(scope="module")
def cases():
    """Every node test that contains a product: name -> (model, inputs); collecting all of them takes seconds."""
    with np.errstate(all="ignore"):
        found = [case for case in collect_testcases(None) if case.model is not None]
    wanted = [case for case in found if set(OPERATORS) & oracles.operators(case.model).keys()]
    return {case.name: (case.model, [np.asarray(array) for array in case.data_sets[0][0]]) for case in wanted}


def two_blocks(array):
    """The same with the off-diagonal quarters of its last two axes at zero."""
    pruned = array.copy()
    K, N = (extent // 2 for extent in array.shape[-2:])
    pruned[..., :K, N:] = 0
    pruned[..., K:, :N] = 0
    return pruned


def with_constant(model, index, array):
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    changed.graph.initializer.append(onnx.numpy_helper.from_array(array, changed.graph.input[index].name))
    del changed.graph.input[index]
    return changed


@pytest.mark.parametrize("pruned", [False, True], ids=["as it is", "two blocks"])
@pytest.mark.parametrize("op", OPERATORS)
def test_node_tests_come_back_equal(cases, op, pruned):
    split = set()
    for name, (model, arrays) in cases.items():
        for index, array in enumerate(arrays):
            if op not in oracles.operators(model) or array.ndim < 2 or array.dtype.kind != "f":
                continue
            original = with_constant(model, index, two_blocks(array) if pruned else array)
            plan = scission.plan(original, force=True, provider="cpu", threads=1)
            if not plan.rewrites:
                assert scission.apply(original, plan) is original
                continue
            feeds = {v.name: a for i, (v, a) in enumerate(zip(model.graph.input, arrays, strict=True)) if i != index}
            changed = scission.apply(original, plan)
            onnx.checker.check_model(changed, full_check=True)
            oracles.assert_close(oracles.run(original, feeds), oracles.run(changed, feeds))
            split.add(name)
    assert not pruned or split >= CERTAIN.get(op, set())
