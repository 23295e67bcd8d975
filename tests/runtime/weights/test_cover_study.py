import ml_dtypes
import numpy as np
import onnx_ir
import oracles
import pytest

import scission
from scission.models.matrices import glued, mel, toeplitz
from scission.models.matrix import weight
from scission.models.networks import autoregressive, subspaces
from scission.passes.lowering.prices import MARGIN
from scission.runtime.weights.cover_study import CoveringError, cover


def rng():
    return np.random.default_rng(0)


def of_model(model, index):
    return np.asarray(onnx_ir.from_proto(model).graph[index].inputs[1].const_value.numpy())


SUBSPACES = of_model(subspaces.build(rng(), 4, 128, 64, 4).model, 0)
WEIGHTS = {
    "dense": rng().standard_normal((64, 96), np.float32),
    "blocks": weight(rng(), [(64, 48)] * 4)[0],
    "a picked feature each": np.eye(64, dtype=np.float32)[::-1],
    "windows": mel.filters(257, 64),
    "band, shuffled": toeplitz.weight(rng(), 128, 3, shuffle=True),
    "triangle": np.triu(np.ones((300, 300), np.float32)),
    "mask, shuffled": autoregressive.masks(rng(), 80, 120, shuffle=True)[0].astype(np.float32),
    "residual": glued.build(rng(), 8, 128, inputs=0, residual=60).W,
    "networks on subsets": SUBSPACES,
    "networks on subsets, summed": np.ascontiguousarray(SUBSPACES.T),
}


def planned(W, rows):
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "product"})]
    model = oracles.graph(nodes, {"x": ["m", W.shape[0]]}, {"y": ["m", W.shape[1]]}, {"W": W.astype(np.float32)})
    return scission.plan(model, provider="cpu", batch=rows, threads=1).steps[0]


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("rows", [[256], [1, 4000]])
def test_what_a_plan_is_said_to_take_is_what_it_takes(name, rows):
    W = WEIGHTS[name].astype(np.float32)
    found, step = cover(W, rows=rows, threads=1), planned(W, rows)
    assert found.taken.lowering == step.lowering
    if step.lowering != "dense":
        assert found.taken.decomposition == step.decomposition and found.taken.words == step.reason.text
        assert found.taken.gain == pytest.approx(step.gain, abs=1e-3)
        assert (found.taken.mac_share, found.taken.byte_share) == (step.decomposition.mac_share, step.byte_share)


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_form_holds_every_edge(name):
    W = WEIGHTS[name]
    found = cover(W, threads=1)
    assert [form.kind for form in found.forms[:1]] == ["dense"] and sum(form.taken for form in found.forms) == 1
    for form in found.forms:
        assert not ((W != 0) & ~form.decomposition.inside()).any()
        assert len(form.decomposition.blocks) <= form.found
        assert form.taken is (form is found.taken)
    assert found.edges == np.count_nonzero(W) and found.shape == W.shape
    if found.best is not None:
        gains = [form.gain for form in found.forms if form.gain is not None and form.kind != "dense"]
        assert found.best.gain == max(gains) and (found.taken is found.best) is (max(gains) >= MARGIN)
        whole = found.best.decomposition
        shares = sum(group.mac_share for group in found.groups) + len(whole.residual) / W.size
        assert shares == pytest.approx(whole.mac_share) and len(found.groups) == len(whole.blocks)


def test_the_forms_are_told_apart():
    kinds = {name: [form.kind for form in cover(W, threads=1).forms] for name, W in WEIGHTS.items()}
    assert kinds["dense"] == ["dense"] and kinds["blocks"] == ["dense", "components"]
    assert "groups" in kinds["windows"] and "groups" in kinds["band, shuffled"]
    assert "groups and residual entries" in kinds["residual"]
    assert "split-K groups" in kinds["networks on subsets, summed"]


def test_groups_say_what_they_share_and_where_they_read():
    groups = cover(WEIGHTS["windows"], threads=1).groups
    assert all(group.window for group in groups) and all(group.shared for group in groups)
    reads = [set(group.block.inputs.tolist()) for group in groups]
    for index, (group, own) in enumerate(zip(groups, reads, strict=True)):
        others = set().union(*(other for at, other in enumerate(reads) if at != index))
        assert group.shared == len(own & others)
    assert {group.shared for group in cover(WEIGHTS["blocks"], threads=1).groups} == {0}


def test_a_matrix_can_lie_the_other_way():
    one, other = cover(SUBSPACES, threads=1), cover(SUBSPACES.T, transposed=True, threads=1)
    assert one.shape == other.shape and one.taken == other.taken


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "complex64", "float16", "float64", ">f4", ml_dtypes.bfloat16, "uint64"]
)
def test_matrices_of_any_numbers(dtype):
    found = cover((100 * WEIGHTS["blocks"]).astype(dtype), threads=1)
    assert [form.kind for form in found.forms] == ["dense", "components"]
    assert found.dtype == {"float16": "float16", "float64": "double"}.get(dtype, "float")


@pytest.mark.parametrize(
    ("W", "words"),
    [
        (np.zeros((3, 4)), "every entry is zero"),
        (np.ones((3, 4)), "nothing to gain: 100.0% of the entries are edges, so that every group"),
        (rng().random((64, 64)) < 0.5, "no groups of outputs or inputs leave"),
        (np.kron(np.eye(2), np.ones((4, 4))), "2 independent blocks: 50.0% of the multiply-adds are left, but 0."),
        (WEIGHTS["blocks"], "4 independent blocks: 25.0% of the multiply-adds and"),
    ],
)
def test_it_says_what_comes_of_it(W, words):
    assert words in cover(W, threads=1).sentence


def test_the_shares_of_bytes_are_those_of_a_plan():
    found, step = cover(WEIGHTS["blocks"], rows=[256], threads=1), planned(WEIGHTS["blocks"], [256])
    assert found.taken.lowering == step.lowering and found.taken.byte_share == step.byte_share


def test_wrong_arguments():
    for rows in ([], [0], [4, -1]):
        with pytest.raises(CoveringError, match=r"rows must be a whole number of at least 1|rows names no size"):
            cover(np.eye(2), rows=rows)
    with pytest.raises(scission.ScissionError, match="is no matrix"):
        cover(np.ones(3))


def test_it_is_public():
    assert scission.cover is cover and isinstance(cover(np.eye(2)), scission.Covering)
