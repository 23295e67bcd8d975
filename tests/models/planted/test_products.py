import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from reference import canonical
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from scission.models.planted.operators import OPERATORS
from scission.models.planted.products import KINDS, build, feeds

SEED = 11


def evaluate(model, data):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, data)


def constants(model) -> dict[str, np.ndarray]:
    """Every value of the main graph that no input reaches, computed by ONNX's reference implementation."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if (
            node.domain == ""
            and all(name in known for name in node.input)
            and not any(a.g.node for a in node.attribute)
        ):
            outputs = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input})
            known.update(zip(node.output, outputs, strict=True))
    return known


def every_node(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from every_node(attribute.g)


def weights(planted) -> dict[str, np.ndarray]:
    known = constants(planted.model)
    nodes = {node.name or f"{node.op_type}#{index}": node for index, node in enumerate(every_node(planted.model.graph))}
    return {name: canonical(nodes[name], known) for name in planted.truth}


@pytest.fixture(params=KINDS)
def planted(request):
    return build(np.random.default_rng(SEED), request.param)


def test_the_weights_have_exactly_the_planted_blocks(planted):
    for name, W in weights(planted).items():
        truth = planted.truth[name]
        assert W.shape == truth.shape
        outside = np.ones(W.shape, bool)
        for block in truth.blocks:
            outside[np.ix_(block.inputs, block.outputs)] = False
            part = W[np.ix_(block.inputs, block.outputs)]
            rows, columns = np.nonzero(part)
            size = sum(part.shape)
            edges = csr_array((np.ones(rows.size), (rows, part.shape[0] + columns)), (size, size))
            assert connected_components(edges, directed=False, return_labels=False) == 1
        assert not W[outside].any()
        assert [b.outputs[0] for b in truth.blocks] == sorted(b.outputs[0] for b in truth.blocks)


def test_it_runs_on_onnx_runtime(planted):
    data = feeds(np.random.default_rng(SEED), planted)
    outputs = evaluate(planted.model, data)
    assert len(outputs) == len(planted.model.graph.output)
    for declared, value in zip(planted.model.graph.output, outputs, strict=True):
        kind = declared.type.tensor_type
        assert value.dtype == onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        assert np.isfinite(value).all() and value.any()
        if kind.HasField("shape"):
            assert len(kind.shape.dim) == value.ndim
            assert all(dim.dim_value in (0, size) for dim, size in zip(kind.shape.dim, value.shape, strict=True))


def test_only_the_kind_without_a_rank_fails_the_checker(planted, request):
    if "matmul-right-unknown" in request.node.name:
        with pytest.raises(onnx.checker.ValidationError, match="shape"):
            onnx.checker.check_model(planted.model, full_check=True)
    else:
        onnx.checker.check_model(planted.model, full_check=True)


def test_names_are_unique_and_opsets_explicit(planted):
    names = [node.name for node in every_node(planted.model.graph) if node.name]
    assert len(set(names)) == len(names)
    domains = {opset.domain for opset in planted.model.opset_import}
    assert {node.domain for node in every_node(planted.model.graph)} <= domains
    assert planted.model.ir_version in (4, 10)


@pytest.mark.parametrize("kind", [kind for kind in OPERATORS if kind.startswith(("matmul", "einsum", "conv"))])
def test_each_output_feature_depends_on_the_inputs_of_its_block_alone(kind):
    planted = build(np.random.default_rng(SEED), kind)
    (truth,) = planted.truth.values()
    data = feeds(np.random.default_rng(SEED), planted, free=4)
    ((name, x),) = data.items()
    before = evaluate(planted.model, data)[0]
    K, N = truth.shape
    into, out = x.shape.index(K), before.shape.index(N)
    for block in truth.blocks:
        moved = np.moveaxis(x.copy(), into, 0)
        moved[block.inputs] += 1
        after = evaluate(planted.model, {name: np.moveaxis(moved, 0, into)})[0]
        changed = np.moveaxis(after != before, out, 0).reshape(N, -1).any(1)
        assert np.flatnonzero(changed).tolist() == block.outputs.tolist()


@pytest.mark.parametrize("kind", ["matmul-right-3", "gemm-left-transA", "einsum-mk,kn", "chain", "bias-after-reshape"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_most_kinds_take_any_float_type(kind, dtype):
    planted = build(np.random.default_rng(SEED), kind, dtype=dtype)
    assert {output.dtype for output in evaluate(planted.model, feeds(np.random.default_rng(SEED), planted))} == {
        np.dtype(dtype)
    }


def test_sizes_are_those_asked_for():
    planted = build(np.random.default_rng(SEED), "matmul-right-2", sizes=[(1, 1)] * 4 + [(7, 2)])
    assert sorted(b.shape for b in planted.truth["linear"].blocks) == [(1, 1)] * 4 + [(7, 2)]


def test_the_same_seed_gives_the_same_model():
    first, second = (build(np.random.default_rng(3), "loop") for _ in range(2))
    assert first.model == second.model and first.truth == second.truth


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown kind 'nope'"):
        build(np.random.default_rng(0), "nope")
