from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import product

import scission
from scission.ir.plan import Block, Decomposition
from scission.passes.blocks import group, has_windows, is_contiguous
from scission.passes.edges import relate
from scission.passes.row_groups import WORTH, cut, row_groups

SEEDS = st.integers(0, 2**32 - 1)


def made(rng, inputs, hidden):
    """The two masks of an autoregressive network (MADE; Germain et al. 2015), inputs in rows."""
    degrees = rng.integers(1, inputs, hidden)
    order = np.arange(1, inputs + 1)
    return degrees[None, :] >= order[:, None], order[None, :] > degrees[:, None]


def holds(groups, A):
    """Whether the groups own every output with an edge once, and read all that their outputs need and no more."""
    owned = np.zeros(A.shape[1], int)
    for block in groups.blocks:
        owned[block.outputs] += 1
        if not (A[:, block.outputs].any(1).nonzero()[0] == block.inputs).all():
            return False
    return bool((owned == A.any(0)).all())


@given(SEEDS, st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9), st.booleans())
def test_groups_partition_the_outputs_and_read_what_they_need(seed, K, N, density, square):
    rng = np.random.default_rng(seed)
    A = np.tril(rng.random((K, K if square else N)) < density)[:, rng.permutation(K if square else N)]
    groups = row_groups(relate(A))
    if groups is not None:
        assert holds(groups, A) and groups.mac_share <= 1 - WORTH and len(groups.layers) == len(groups.blocks) > 1
        for count in (1, 2, 3, 10):
            fewer = group(groups, count)
            assert holds(fewer, A) and len(fewer.blocks) == min(count, len(groups.blocks))


@given(SEEDS, st.integers(2, 9), st.integers(1, 6))
def test_merging_row_groups_is_optimal(seed, m, count):
    rng = np.random.default_rng(seed)
    A = rng.random((8, m)) < 0.4
    A[0] = True
    groups = cut(relate(np.ascontiguousarray(A.T)), np.arange(m))
    count = min(count, m)
    best = min(
        sum(A[:, a:b].any(1).sum() * (b - a) for a, b in zip((0, *cuts), (*cuts, m), strict=True))
        for cuts in combinations(range(1, m), count - 1)
    )
    assert round(group(groups, count).mac_share * A.size) == best


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("name", "share"), [("lower", 0.57), ("upper", 0.57), ("first", 0.6), ("last", 0.6)])
def test_triangles_and_autoregressive_masks_need_little_more_than_their_area(name, share, shuffled):
    rng = np.random.default_rng(0)
    square = np.ones((256, 256))
    A = {
        "lower": np.tril(square) > 0,
        "upper": np.triu(square) > 0,
        **dict(zip(("first", "last"), made(rng, 100, 300), strict=True)),
    }[name]
    if shuffled:
        A = A[rng.permutation(A.shape[0])][:, rng.permutation(A.shape[1])]
    groups = row_groups(relate(np.ascontiguousarray(A)))
    assert group(groups, 8).mac_share <= share and holds(groups, A)


def test_the_frobenius_form_is_taken_where_it_is_better():
    rng = np.random.default_rng(1)
    blocks = np.kron(np.tril(np.ones((4, 4))), rng.random((50, 50)) < 0.08) > 0
    blocks |= np.kron(np.eye(4), np.roll(np.eye(50), 1, 0)) > 0  # each diagonal block is one SCC
    order = rng.permutation(200)
    A = np.ascontiguousarray(blocks[order][:, order])
    groups = row_groups(relate(A))
    assert holds(groups, A) and group(groups, 4).mac_share <= 0.66


@pytest.mark.parametrize(
    "A", [np.ones((9, 9)), np.zeros((9, 9)), np.ones((0, 4)), np.random.default_rng(0).random((300, 300)) < 0.3]
)
def test_nothing_is_found_where_there_is_nothing(A):
    assert row_groups(relate(A)) is None


def test_windows_are_contiguous_reads_of_consecutive_outputs():
    tiles = Decomposition((4, 4), (Block([0, 1], [0, 1]), Block([0, 1, 2, 3], [2, 3])), ((0, 1), (2, 3)))
    assert has_windows(tiles) and not is_contiguous(tiles)
    assert not has_windows(Decomposition((4, 4), (Block([0, 2], [0, 1]), Block([0, 1, 2, 3], [2, 3]))))
    assert not has_windows(Decomposition((4, 4), (Block([0, 1], [0, 1]), Block([0, 1, 2, 3], [3]))))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("opset", [9, 11, 13, 21])
def test_a_triangular_model_is_split_and_stays_the_same_function(shuffled, opset):
    rng = np.random.default_rng(0)
    A = np.tril(np.ones((96, 96)))
    if shuffled:
        A = A[rng.permutation(96)][:, rng.permutation(96)]
    model = product((A * rng.standard_normal(A.shape)).astype(np.float32), opset=opset)
    made_ = scission.plan(model, force=True)
    (step,) = made_.steps
    assert step.lowering == ("scatter" if shuffled else "split") and "block-triangular: 96 layers" in step.reason
    assert scission.Plan.loads(made_.dumps()) == made_
    split = scission.apply(model, made_)
    operators = [n.op_type for n in split.graph.node]
    assert operators.count("Slice") == (0 if shuffled else len(step.decomposition.blocks) - 1)
    verdict = scission.check(model, split)
    assert verdict.equal and all(probe.within for probe in verdict.probes), verdict.reason
    again = scission.plan(split, force=True)
    assert not again.rewrites


def test_a_large_triangle_pays_and_is_split_unforced():
    rng = np.random.default_rng(0)
    model = product((np.tril(np.ones((1024, 1024))) * rng.standard_normal((1024, 1024))).astype(np.float32))
    made_ = scission.plan(model)
    assert [step.lowering for step in made_.steps] == ["split"] and made_.steps[0].gain > 1.1


def test_an_edited_plan_that_drops_an_input_is_refused():
    rng = np.random.default_rng(0)
    model = product((np.tril(np.ones((64, 64))) * rng.standard_normal((64, 64))).astype(np.float32))
    text = scission.plan(model, force=True).dumps()
    assert '"layers": "0-' in text
    with pytest.raises(scission.PlanError, match="reads an input outside its block"):
        scission.apply(model, scission.Plan.loads(text.replace('"inputs": "0-63"', '"inputs": "1-63"')))
    for bad, match in [('"layers": "9-2"', "backwards"), ('"layers": 7', "no range of layers")]:
        first = text.index('"layers": "')
        end = text.index("}", first)
        with pytest.raises(scission.PlanError, match=match):
            scission.Plan.loads(text[:first] + bad + text[end:])
