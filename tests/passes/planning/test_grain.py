import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission import Block, Decomposition, PlanError
from scission.ir.plan.grain import Grain
from scission.models.matrix import weight
from scission.models.planted import ffn as planted_ffn
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import is_contiguous
from scission.passes.decompose.merging import balanced, balanced_together, narrowed, width
from scission.passes.planning.analysis import analyse
from scission.passes.planning.grain import grained, suited_to

SIZES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7)


def planted(sizes, seed=0, **options):
    W, truth = weight(np.random.default_rng(seed), sizes, **options)
    return W, truth


def raw_areas(found):
    return [block.inputs.size * block.outputs.size for block in found.blocks]


def areas(found):
    return sorted(raw_areas(found))


def runs(count, parts):
    """Every way to cut `count` places into `parts` runs."""
    for cuts in itertools.combinations(range(1, count), parts - 1):
        yield list(itertools.pairwise((0, *cuts, count)))


def partitions(count, parts):
    for labels in itertools.product(range(parts), repeat=count):
        if len(set(labels)) == parts:
            yield [[i for i in range(count) if labels[i] == part] for part in range(parts)]


# Laws.


@settings(max_examples=40)
@given(SIZES, st.booleans(), st.integers(1, 8))
def test_parts_are_so_many_and_hold_every_edge(sizes, contiguous, parts):
    W, truth = planted(sizes, contiguous=contiguous, dormant=(1, 1))
    found = balanced(truth, parts)
    assert len(found.blocks) == min(parts, len(sizes)) and oracles.covers(W, found)


@settings(max_examples=40)
@given(SIZES, st.integers(1, 8))
def test_the_largest_part_of_neighbours_is_the_least_there_is(sizes, parts):
    _, truth = planted(sizes, contiguous=True)
    found = balanced(truth, parts)
    assert is_contiguous(found)
    least = min(
        max(sum(k for k, _ in sizes[a:b]) * sum(n for _, n in sizes[a:b]) for a, b in cut)
        for cut in runs(len(sizes), min(parts, len(sizes)))
    )
    assert areas(found)[-1] == least


@settings(max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4))
def test_parts_of_square_blocks_are_as_even_as_longest_first_promises(sides, parts):
    _, truth = planted([(side, side) for side in sides])
    parts = min(parts, len(sides))
    least = min(max(sum(sides[i] for i in part) for part in cut) for cut in partitions(len(sides), parts))
    assert areas(balanced(truth, parts))[-1] <= (4 / 3 * least) ** 2


@settings(max_examples=12)
@given(st.integers(2, 9), st.integers(1, 9))
def test_the_largest_part_of_a_triangle_is_the_least_there_is(size, parts):
    found = analyse(np.triu(np.ones((size, size), np.float32)))
    for cover in (one for one in found.covers if not one.split_k and not one.residual):
        made = balanced(cover, parts)
        count = min(parts, len(cover.blocks))
        assert len(made.blocks) == count
        order = sorted(cover.blocks, key=lambda block: block.inputs.size)
        read = [block.inputs.size for block in order]
        own = [block.outputs.size for block in order]
        least = min(max(read[b - 1] * sum(own[a:b]) for a, b in cut) for cut in runs(len(order), count))
        assert areas(made)[-1] == least


@settings(max_examples=40)
@given(SIZES, st.booleans(), st.integers(1, 12))
def test_nothing_is_wider_than_the_granularity_unless_it_is_one_block(sizes, contiguous, most):
    W, truth = planted(sizes, contiguous=contiguous, dormant=(0, 1))
    found = narrowed(truth, most)
    assert oracles.covers(W, found) and len(found.blocks) <= len(truth.blocks)
    for block in found.blocks:
        assert max(block.shape) <= most or block in truth.blocks
    if not contiguous:  # no two groups would fit into one
        fits = [block.shape for block in found.blocks if max(block.shape) <= most]
        assert all(a + c > most or b + d > most for (a, b), (c, d) in itertools.combinations(fits, 2))


@settings(max_examples=40)
@given(SIZES, st.integers(1, 12), st.booleans())
def test_a_grain_keeps_its_word(sizes, number, contiguous):
    W, _ = planted(sizes, contiguous=contiguous)
    found = analyse(W)
    every = list(grained(found.decomposition, Grain(every=True), found.components))
    assert every == [found.decomposition]
    (parts,) = grained(found.decomposition, Grain(parts=number), found.components)
    assert len(parts.blocks) == min(number, len(sizes))
    narrow = list(grained(found.decomposition, Grain(granularity=number), found.components))
    assert narrow and narrow[-1] == found.decomposition
    assert all(width(one) <= max(number, width(found.decomposition)) for one in narrow)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=6), st.integers(1, 7))
def test_parts_of_a_region_are_even_in_the_work_of_all_its_linears(sizes, parts):
    ends = np.cumsum([(0, 0), *sizes], axis=0)
    up = [Block(np.arange(a[0], b[0]), np.arange(a[1], b[1])) for a, b in itertools.pairwise(ends)]
    down = [Block(block.outputs, block.inputs) for block in up]
    K, N = ends[-1]
    made = balanced_together([Decomposition((K, N), tuple(up)), Decomposition((N, K), tuple(down))], parts)
    count = min(parts, len(sizes))
    least = min(
        max(2 * sum(k for k, _ in sizes[a:b]) * sum(n for _, n in sizes[a:b]) for a, b in cut)
        for cut in runs(len(sizes), count)
    )
    assert len(made[0].blocks) == count
    assert max(a + b for a, b in zip(*map(raw_areas, made), strict=True)) == least


# Covers, and what cannot be cut.


def test_a_wide_block_is_cut_where_a_cover_of_it_is_known():
    triangle = analyse(np.triu(np.ones((64, 64), np.float32)))
    assert len(triangle.decomposition.blocks) == 1
    found = suited_to(triangle, Grain(granularity=16))
    assert triangle.decomposition not in found and found
    narrow = [one for d in found for one in grained(d, Grain(granularity=16), triangle.components)]
    assert narrow and max(map(width, narrow)) <= 16
    dense = analyse(np.ones((64, 64), np.float32))
    assert suited_to(dense, Grain(granularity=16)) == (dense.decomposition,)  # indivisible


def test_groups_of_a_cover_never_join_blocks_of_which_every_one_was_asked_for():
    W = np.kron(np.eye(3, dtype=np.float32), np.triu(np.ones((32, 32), np.float32)))
    found = analyse(W)
    labels = components(W)
    covers = [d for d in found.covers if not d.split_k]
    assert covers
    for cover in covers:
        made = list(grained(cover, Grain(every=True), found.components))
        assert made
        for one in made:
            assert all(np.unique(labels.outputs[block.outputs]).size == 1 for block in one.blocks)


# In plans.


def plan(W, **options):
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["n", W.shape[0]]}, {"y": ["n", W.shape[1]]}, {"W": W})
    made = scission.plan(model, provider="cpu", threads=1, **options)
    changed = scission.apply(model, made)
    x = np.random.default_rng(1).standard_normal((5, W.shape[0])).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))
    assert made == scission.Plan.loads(made.dumps())
    return made


@pytest.mark.parametrize("rows", [(1,), (4096,), None])
@pytest.mark.parametrize("sizes", [[(28, 21), (7, 7), (6, 23), (3, 8)], [(3, 3)] * 16, [(1, 9), (9, 1)]])
def test_force_splits_into_every_block_whatever_that_costs(sizes, rows):
    W, truth = weight(np.random.default_rng(0), sizes, dormant=(4, 5))
    (step,) = plan(W, force=True, rows=rows).steps
    assert step.lowering != "dense" and len(step.decomposition.blocks) == len(sizes)
    assert step.decomposition.mac_share == pytest.approx(truth.mac_share)


def test_a_grain_can_be_asked_for_and_is_written_down():
    W, _ = weight(np.random.default_rng(0), [(16, 16)] * 16)
    found = plan(W, force=True, parts=4)
    assert len(found.steps[0].decomposition.blocks) == 4 and found.grain == Grain(parts=4)
    found = plan(W, force=True, granularity=40)
    assert len(found.steps[0].decomposition.blocks) == 16  # every block is narrower
    found = plan(W, granularity=40, rows=[4096])
    blocks = found.steps[0].decomposition.blocks
    assert len(blocks) >= 8 and max(max(block.shape) for block in blocks) <= 40
    assert '"grain"' not in plan(W).dumps()


def test_force_leaves_no_block_of_a_region_to_its_neighbours():
    planted = planted_ffn.build(np.random.default_rng(0), 16, 32, 4)
    made = scission.plan(planted.model, provider="cpu", threads=1, force=True)
    for step in made.steps:
        assert len(step.decomposition.blocks) == step.components


@pytest.mark.parametrize("field", [{"parts": 0}, {"granularity": -1}, {"parts": 2, "granularity": 2}, {"every": 1}])
def test_a_grain_that_is_none_is_refused(field):
    with pytest.raises(PlanError, match=r"parts|granularity|every"):
        Grain.from_dict(field)
    with pytest.raises(PlanError, match="no object"):
        Grain.from_dict({"size": 3})
