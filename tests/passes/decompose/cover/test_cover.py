import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import product

import scission
from scission.ir.plan.plan import Block, Decomposition
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.edges import relate
from scission.passes.decompose.blocks import decompose, group, grouped_at, has_windows, is_contiguous, transposed
from scission.passes.decompose.cover.cover import cover, cover_cost, covers, every_cover
from scission.passes.decompose.cover_cost import CoverCost

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


def relation_of(rng, kind, K, N, density):
    """A random relation with some structure, or none."""
    A = rng.random((K, N)) < density
    if kind == "triangle":
        A &= np.add.outer(-np.arange(K) / K, np.arange(N) / N) >= 0
    elif kind == "band":
        A = abs(np.subtract.outer(np.arange(K) / K, np.arange(N) / N)) < density / 2
    elif kind == "blocks":
        A &= np.equal.outer(np.arange(K) * 3 // K, np.arange(N) * 3 // N)
    elif kind == "twins":
        A = A[:, rng.integers(0, max(N // 3, 1), N)]
    return np.ascontiguousarray(A[rng.permutation(K)][:, rng.permutation(N)])


KINDS = st.sampled_from(["none", "triangle", "band", "blocks", "twins"])


@given(SEEDS, KINDS, st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.9))
def test_groups_partition_the_outputs_and_read_what_they_need(seed, kind, K, N, density):
    A = relation_of(np.random.default_rng(seed), kind, K, N, density)
    assert holds(cover(relate(A)), A)
    parts = components(relate(A))
    for found in every_cover(relate(A), parts):
        for count in (1, 2, 3, 10, len(found.blocks)):
            fewer = group(found, count)
            assert len(fewer.blocks) <= count and not (A & ~fewer.inside()).any()
            if not found.split_k and not found.residual:
                assert holds(fewer, A)
        whole = grouped_at(found, CoverCost())
        assert not (A & ~whole.inside()).any() and transposed(transposed(whole)).blocks == whole.blocks


@given(SEEDS, KINDS, st.integers(1, 12), st.integers(1, 7), st.sampled_from([0, 1, 5, 40]))
def test_a_small_cover_costs_as_little_as_any_partition(seed, kind, K, N, launch):
    A = relation_of(np.random.default_rng(seed), kind, K, N, 0.4)
    cost = CoverCost(mac=1, read=2, write=1, launch=launch)
    live = [np.flatnonzero(column) for column in A.T if column.any()]

    def of(group):
        return cost.of(len(set().union(*map(set, group))), len(group))

    def cheapest_of(columns, groups):  # each output joins a group or opens one
        if not columns:
            return sum(map(of, groups))
        first, rest = columns[0], columns[1:]
        joined = [[*groups[:i], [*groups[i], first], *groups[i + 1 :]] for i in range(len(groups))]
        return min(cheapest_of(rest, made) for made in (*joined, [*groups, [first]]))

    assert cover_cost(cover(relate(A), cost), cost) == cheapest_of(live, [])


@given(SEEDS, st.integers(2, 5), st.integers(1, 9), st.integers(1, 9))
def test_components_are_the_cover_of_a_block_diagonal_relation(seed, count, k, n):
    rng = np.random.default_rng(seed)
    A = np.kron(np.eye(count), np.ones((k, n))) > 0
    A = np.ascontiguousarray(A[rng.permutation(count * k)][:, rng.permutation(count * n)])
    cost = CoverCost(launch=0)
    found = cover(relate(A), cost)
    assert {hash(block) for block in found.blocks} == {hash(block) for block in decompose(components(relate(A))).blocks}
    assert not found.shared.size and found.mac_share == 1 / count


def test_large_components_are_covered_each_for_itself():
    rng = np.random.default_rng(0)
    A = np.kron(np.eye(2), np.tril(np.ones((128, 128)))) > 0
    A = np.ascontiguousarray(A[rng.permutation(256)][:, rng.permutation(256)])
    parts = components(relate(A))
    found = group(covers(relate(A), parts), 16)
    assert parts.count == 2 and found.mac_share < 0.3 and holds(found, A)


def test_inputs_are_partitioned_where_that_costs_less():
    rng = np.random.default_rng(0)
    A = np.zeros((1024, 1024), bool)
    for start in range(0, 1024, 128):  # each eighth of the inputs writes a fifth of the outputs
        A[start : start + 128, rng.choice(1024, 205, replace=False)] = True
    A = np.ascontiguousarray(A[rng.permutation(1024)])
    found = [one for one in every_cover(relate(A), components(relate(A))) if one.split_k]
    assert len(found) == 1 and group(found[0], 8).mac_share == pytest.approx(0.2, abs=0.01)
    assert not (A & ~found[0].inside()).any()


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
    groups = covers(relate(np.ascontiguousarray(A)))
    assert groups.layers and group(groups, 8).mac_share <= share and holds(groups, A)


def test_the_frobenius_form_is_taken_where_it_is_better():
    rng = np.random.default_rng(1)
    blocks = np.kron(np.tril(np.ones((4, 4))), rng.random((50, 50)) < 0.08) > 0
    blocks |= np.kron(np.eye(4), np.roll(np.eye(50), 1, 0)) > 0  # each diagonal block is one SCC
    order = rng.permutation(200)
    A = np.ascontiguousarray(blocks[order][:, order])
    groups = covers(relate(A))
    assert holds(groups, A) and group(groups, 4).mac_share <= 0.66


@pytest.mark.parametrize(
    "A", [np.ones((9, 9)), np.zeros((9, 9)), np.ones((0, 4)), np.random.default_rng(0).random((300, 300)) < 0.3]
)
def test_nothing_is_found_where_there_is_nothing(A):
    assert covers(relate(A)) is None


@pytest.mark.parametrize(("shape", "density"), [((768, 768), 0.1), ((768, 3072), 0.05), ((300, 900), 0.2)])
def test_no_order_is_looked_for_where_structure_is_random(monkeypatch, shape, density):
    def never(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("scission.passes.decompose.cover.cover.orders", never)
    assert covers(relate(np.random.default_rng(0).random(shape) < density)) is None


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
    assert step.lowering == ("scatter" if shuffled else "split") and "block-triangular: 96 layers" in str(step.reason)
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
