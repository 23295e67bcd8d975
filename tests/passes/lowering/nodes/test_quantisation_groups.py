"""Weights quantised in groups of inputs are cut in their own format, or left alone."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import scission
from scission.ir.plan.plan import Block, Decomposition, PlanError
from scission.ir.reason import Cause
from scission.passes.lowering.nodes.quantisation_groups import groups_of, in_groups

TYPES = {"int4": (ml_dtypes.int4, -8, 8), "uint4": (ml_dtypes.uint4, 0, 16), "uint8": (np.uint8, 0, 256)}


def quantised(
    rng: np.random.Generator,
    kind: str,
    owners: tuple[np.ndarray, np.ndarray],
    group: int,
    *,
    transposed: bool = False,
    zero: bool = True,
) -> onnx.ModelProto:
    """A product with a weight (K, N) of codes, groups of inputs sharing a scale and a zero point for each output;
    owners: the block of each input and of each output, -1 for a dormant one."""
    dtype, low, high = TYPES[kind]
    middle = (low + high) // 2 if zero else 0
    inside = (owners[0][:, None] == owners[1][None]) & (owners[0] >= 0)[:, None]
    codes = np.where(inside, rng.integers(max(low, middle + 1), high, inside.shape), middle)
    K, N = codes.shape
    groups = -(-K // group)
    arrays = {
        "q": codes.astype(dtype),
        "s": rng.uniform(0.01, 0.1, (groups, N)).astype(np.float32),
        "z": np.full((groups, N), middle).astype(dtype),
    }
    if not zero:
        del arrays["z"]
    stored = [numpy_helper.from_array(np.ascontiguousarray(a.T if transposed else a), n) for n, a in arrays.items()]
    product = ("Gemm", {"transB": 1}) if transposed else ("MatMul", {})
    nodes = [
        helper.make_node("DequantizeLinear", list(arrays), ["W"], "dq", axis=int(transposed), block_size=group),
        helper.make_node(product[0], ["x", "W"], ["y"], "linear", **product[1]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in (("x", K), ("y", N))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whole_groups_are_cut_as_they_are_and_others_left(data: st.DataObject) -> None:
    """Blocks of shuffled groups, some of whose inputs are dormant; one in two has a group that belongs to two."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    kind, group = data.draw(st.sampled_from(sorted(TYPES))), data.draw(st.sampled_from([2, 4, 16]))
    transposed, zero = data.draw(st.booleans()), data.draw(st.booleans())
    owners = rng.permutation(np.repeat(np.arange(3), data.draw(st.integers(1, 3))))
    inputs = np.repeat(owners, group)
    inputs[rng.permutation(inputs.size)[: data.draw(st.integers(0, 2))]] = -1
    cut = data.draw(st.booleans())
    if cut:
        inputs[0], inputs[1] = 0, 1
    inputs = inputs[: inputs.size - data.draw(st.integers(0, 1))]
    outputs = rng.permutation(np.repeat(np.arange(3), 4))
    model = quantised(rng, kind, (inputs, outputs), group, transposed=transposed, zero=zero)
    plan = scission.plan(model, provider="cpu", threads=1, force=True)
    (step,) = plan.steps
    if cut:
        assert step.lowering == "dense" and step.reason.cause is Cause.QUANTISED
        assert f"in groups of {group} entries" in step.reason.text
        return
    changed = scission.apply(model, plan)
    stored = {t.name: t.data_type for t in changed.graph.initializer}
    made = [node for node in changed.graph.node if node.op_type == "DequantizeLinear"]
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(TYPES[kind][0]))
    assert len(made) == len(set(inputs.tolist()) - {-1}) and {stored[node.input[0]] for node in made} == {dtype}
    assert onnx.TensorProto.FLOAT not in {stored[n] for node in made for n in (node.input[0], *node.input[2:])}
    onnx.checker.check_model(changed, full_check=True)
    x = {"x": rng.standard_normal((5, inputs.size)).astype(np.float32)}
    exact = [oracles.run(one, x, optimised=False) for one in (model, changed)]
    oracles.assert_close(*exact)


def test_the_kernel_for_few_bits_is_kept_or_the_weight_left_alone() -> None:
    rng = np.random.default_rng(0)
    wide, small = (np.repeat(np.arange(4), size) for size in (256, 64))
    (large,) = scission.plan(quantised(rng, "uint4", (wide, wide), 32), provider="cpu", threads=1, batch=[64]).steps
    assert large.lowering in ("split", "permute")
    order = np.repeat(rng.permutation(np.repeat(np.arange(4), 2)), 32)
    shuffled = quantised(rng, "uint4", (order, rng.permutation(small)), 32)
    plan = scission.plan(shuffled, provider="cpu", threads=1, batch=[64], lowering="scatter")
    assert plan.steps[0].lowering == "scatter"  # as asked
    (step,) = scission.plan(shuffled, provider="cpu", threads=1, batch=[64]).steps
    assert step.lowering in ("split", "permute") or "kernel for few bits" in step.reason.text
    verdict = scission.check(shuffled, scission.apply(shuffled, plan))
    assert verdict.equal, verdict.reason


def test_groups_along_the_outputs_are_left_alone() -> None:
    model = quantised(np.random.default_rng(0), "int4", (np.repeat([0, 1], 8), np.repeat([0, 1], 8)), 4)
    dequantise = model.graph.node[0]
    dequantise.attribute[[a.name for a in dequantise.attribute].index("axis")].i = 1
    scales = numpy_helper.from_array(np.ones((16, 4), np.float32), "s")
    zeros = numpy_helper.from_array(np.zeros((16, 4), ml_dtypes.int4), "z")
    model.graph.initializer[1].CopyFrom(scales)
    model.graph.initializer[2].CopyFrom(zeros)
    (step,) = scission.plan(model, provider="cpu", threads=1, force=True).steps
    assert step.lowering == "dense" and step.reason.cause is Cause.QUANTISED


def test_a_plan_whose_block_cuts_a_group_is_refused() -> None:
    inputs = np.repeat([0, 1], 8)
    inputs[9] = -1
    model = quantised(np.random.default_rng(0), "int4", (inputs, np.repeat([0, 1], 4)), 8)
    plan = scission.plan(model, provider="cpu", threads=1, force=True)
    assert [block.inputs.size for block in plan.steps[0].decomposition.blocks] == [8, 8]
    parts = [Block(np.arange(8), np.arange(4)), Block(np.r_[8:9, 10:16], np.arange(4, 8))]
    edited = oracles.edited(plan, blocks=lambda _: parts)
    with pytest.raises(PlanError, match="linear: a block cuts a group of 8 inputs"):
        scission.apply(model, edited)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=30), st.integers(1, 5))
def test_groups_hold_what_blocks_hold_and_only_dormant_inputs_besides(owner: list[int], size: int) -> None:
    owners = np.array(owner)
    known = [index for index in range(4) if (owners == index).any()]
    blocks = tuple(Block(np.flatnonzero(owners == index), [place]) for place, index in enumerate(known))
    found = in_groups(Decomposition((owners.size, 4), blocks), size)
    split = any(len(set(owner[at : at + size]) - {-1}) > 1 for at in range(0, len(owner), size))
    assert (found is None) == split
    for before, after in zip(blocks, found.blocks if found else (), strict=bool(found)):
        more = np.setdiff1d(after.inputs, before.inputs)
        assert np.isin(before.inputs, after.inputs).all() and (owners[more] == -1).all()
        groups = groups_of(after.inputs, size, owners.size)
        assert groups is not None and groups.tolist() == sorted({k // size for k in before.inputs.tolist()})
