from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.decompose.cover_cost import CoverCost
from scission.passes.decompose.segmentation import cheapest, evenly, unions

SEEDS = st.integers(0, 2**32 - 1)


def made(seed, m):
    """Random sets of inputs, packed, the sets as Booleans, and numbers of outputs."""
    rng = np.random.default_rng(seed)
    sets = rng.random((m, 8)) < 0.4
    return (sets @ (1 << np.arange(8))).astype(np.uint64)[:, None], sets, rng.integers(1, 5, m)


def every(m):
    """All ways to cut m places into runs."""
    for count in range(m):
        for cuts in combinations(range(1, m), count):
            yield list(zip((0, *cuts), (*cuts, m), strict=True))


@given(SEEDS, st.integers(1, 8), st.sampled_from([0, 3, 20]))
def test_the_cheapest_runs_cost_as_little_as_any(seed, m, launch):
    words, sets, sizes = made(seed, m)
    cost = CoverCost(mac=1, read=1.5, write=0.5, launch=launch)

    def total(runs):
        return sum(cost.of(sets[a:b].any(0).sum(), sizes[a:b].sum()) for a, b in runs)

    runs, least = cheapest(words, sizes, cost)
    assert total(runs) == least == min(map(total, every(m)))


@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
def test_so_many_runs_have_as_few_entries_as_any_as_many(seed, m, count):
    words, sets, sizes = made(seed, m)
    count = min(count, m)

    def area(runs):
        return sum(sets[a:b].any(0).sum() * sizes[a:b].sum() for a, b in runs)

    runs = evenly(words, sizes, count)
    assert len(runs) == count and area(runs) == min(area(one) for one in every(m) if len(one) == count)


@given(SEEDS, st.integers(1, 8))
def test_unions_count_what_a_run_reads(seed, m):
    words, sets, _ = made(seed, m)
    found = unions(words)
    for i in range(m):
        for j in range(i, m):
            assert found[i, j] == sets[i : j + 1].any(0).sum()
