"""ONNX's own node tests: one operand made constant, pruned to two blocks, split, and held against the original."""

import numpy as np
import onnx
import oracles
import pytest
from onnx.backend.test.case.node import collect_testcases

import scission
from scission.ir.graph.recurrent import GATES

OPERATORS = ("MatMul", "Gemm", "Einsum")
RECURRENT = {"RNN": 5, "GRU": 5, "LSTM": 5}  # and how many of their node tests ONNX Runtime runs
NEWEST, OPSET = 13, 23  # versions of the format, and a set of operators, that ONNX Runtime reads
CERTAIN = {"MatMul": {"test_matmul_2d"}, "Gemm": {"test_gemm_all_attributes", "test_gemm_default_matrix_bias"}}


@pytest.fixture(scope="module")
def cases():
    """Every node test that contains a product: name -> (model, inputs); collecting all of them takes seconds."""
    with np.errstate(all="ignore"):
        found = [case for case in collect_testcases(None) if case.model is not None]
    wanted = [case for case in found if {*OPERATORS, *RECURRENT} & oracles.operators(case.model).keys()]
    return {case.name: (readable(case.model), [np.asarray(one) for one in case.data_sets[0][0]]) for case in wanted}


def readable(model):
    """The same in versions that ONNX Runtime reads; ONNX hands the model itself to whoever asks next."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    changed.ir_version = min(changed.ir_version, NEWEST)
    for domain in changed.opset_import:
        domain.version = min(domain.version, OPSET)
    return changed


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
    split, seen = set(), set()
    for name, (model, arrays) in cases.items():
        for index, array in enumerate(arrays):
            if op not in oracles.operators(model) or array.ndim < 2 or array.dtype.kind != "f":
                continue
            alike = (tuple(node.op_type for node in model.graph.node), tuple(a.ndim for a in arrays), index)
            if name not in CERTAIN.get(op, ()) and alike in seen:
                continue  # an Attention written out stands there a hundred times, half of them with the same operators
            seen.add(alike)
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


def two_cells(array, gates):
    """A recurrent operand (directions, gates x H, width) without the edges between two halves, gate by gate."""
    by_gate = array.reshape(len(array), gates, -1, array.shape[2])
    return np.stack([two_blocks(gate) for gate in np.moveaxis(by_gate, 1, 0)], 1).reshape(array.shape)


@pytest.mark.parametrize("op", RECURRENT)
def test_node_tests_of_recurrent_operators_come_back_equal(cases, op):
    split = 0
    for model, arrays in cases.values():
        if [node.op_type for node in model.graph.node] != [op]:
            continue
        W, R = (two_cells(array, GATES[op]) for array in arrays[1:3])
        original = with_constant(with_constant(model, 2, R), 1, W)
        plan = scission.plan(original, force=True, provider="cpu", threads=1)
        if not plan.rewrites:
            assert scission.apply(original, plan) is original
            assert any("layout" in str(skip.reason) for skip in plan.skipped)
            continue
        feeds = {v.name: a for i, (v, a) in enumerate(zip(model.graph.input, arrays, strict=True)) if i not in (1, 2)}
        changed = scission.apply(original, plan)
        onnx.checker.check_model(changed, full_check=True)
        oracles.assert_close(oracles.run(original, feeds), oracles.run(changed, feeds))
        split += 1
    assert split == RECURRENT[op]
