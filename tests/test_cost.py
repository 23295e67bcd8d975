import dataclasses

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan import Block, Decomposition
from scission.models.matrix import weight
from scission.passes.blocks import group, has_windows, is_contiguous
from scission.passes.cost import CPU, CUDA, MARGIN, choose, dense_seconds, split_seconds

MACHINES = st.sampled_from([[CPU], [CUDA], [CPU, CPU.threaded(4)]])
ROWS = st.lists(st.sampled_from([1, 16, 256, 4096]), min_size=1, max_size=3)


def planted(sizes, dormant=(0, 0), contiguous=False, seed=0):
    return weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)[1]


def by_hand(decomposition, rows, itemsize, machines, transposes):
    """Every halving of the groups, and the worst gain of each."""
    counts, count = [], len(decomposition.blocks)
    while count > 1:
        counts.append(count)
        count = (count + 1) // 2
    found = {}
    for grouped in (group(decomposition, n) for n in [*counts, 1]):
        share = sum(k * n for k, n in (b.shape for b in grouped.blocks)) / np.prod(grouped.shape)
        if share < 1:
            ways = ["split"] if is_contiguous(grouped) or has_windows(grouped) else []
            gains = {
                lowering: min(
                    dense_seconds(grouped.shape, r, itemsize, m)
                    / split_seconds(grouped, lowering, r, itemsize, m, transposes)
                    for r in rows
                    for m in machines
                )
                for lowering in [*ways, *([] if is_contiguous(grouped) else ["scatter"])]
            }
            best = max(gains, key=gains.get)
            found[len(grouped.blocks)] = (best, gains[best])
    return found


@given(
    oracles.block_sizes(most=9, largest=40),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.booleans(),
    ROWS,
    st.sampled_from([2, 4, 8]),
    MACHINES,
    st.integers(0, 2),
)
def test_the_choice_is_the_best_of_all_groupings(sizes, dormant, contiguous, rows, itemsize, machines, transposes):
    parts = planted(sizes, dormant, contiguous)
    options = by_hand(parts, rows, itemsize, machines, transposes)
    choice = choose(parts, rows, itemsize, machines, transposes)
    if not options:
        assert choice is None
        return
    lowering, gain = options[len(choice.decomposition.blocks)]
    assert (choice.lowering, choice.gain) == (lowering, gain)
    assert choice.gain == max(gain for _, gain in options.values())


@pytest.mark.parametrize(
    ("blocks", "size", "rows", "pays"),
    [
        (16, 256, [1, 256], True),  # 4096 x 4096
        (64, 64, [1, 16, 256], True),
        (4, 12, [1, 16, 256], False),  # at hidden size 48 nothing pays
        (2, 16, [1], False),
    ],
)
@pytest.mark.parametrize("contiguous", [False, True])
def test_what_pays(blocks, size, rows, pays, contiguous):
    index = np.arange(blocks * size)
    columns = index if contiguous else np.random.default_rng(0).permutation(index)
    parts = tuple(Block(i, np.sort(o)) for i, o in zip(np.split(index, blocks), np.split(columns, blocks), strict=True))
    choice = choose(Decomposition((index.size, index.size), parts), rows, 4, [CPU])
    assert (choice.gain > MARGIN) is pays
    if pays:
        assert choice.lowering == ("split" if contiguous else "scatter")


def test_tiny_blocks_are_merged_and_nothing_is_chosen_where_nothing_is_saved():
    many = planted([(2, 2)] * 512)
    assert len(choose(many, [256], 4, [CPU]).decomposition.blocks) < 512
    assert choose(planted([(5, 5)]), [1], 4, [CPU]) is None
    assert choose(Decomposition((3, 3), ()), [1], 4, [CPU]) is None
    assert choose(planted([(5, 5)], dormant=(5, 0)), [1], 4, [CPU]).lowering == "scatter"


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 16, 256]), st.sampled_from([2, 4, 8]))
def test_more_work_never_takes_less_time(K, N, rows, itemsize):
    least = dense_seconds((K, N), rows, itemsize, CPU)
    assert least > 0
    for more in (((K + 1, N), rows), ((K, N + 1), rows), ((K, N), rows + 1)):
        assert dense_seconds(*more, itemsize, CPU) >= least


def test_index_work_costs():
    scattered, following = planted([(8, 8)] * 4), planted([(8, 8)] * 4, contiguous=True)
    seconds = [split_seconds(scattered, "scatter", 16, 4, CPU, turned) for turned in (0, 1, 2)]
    assert split_seconds(following, "split", 16, 4, CPU) < seconds[0] < seconds[1] < seconds[2]
    single = [split_seconds(scattered, "scatter", 1, 4, CPU, turned) for turned in (0, 2)]
    assert single[0] == single[1]  # a single row needs no transposing


def test_threads_speed_up_products_but_not_index_work():
    several = CPU.threaded(4)
    assert (several.mac, several.stream) == (CPU.mac / 4, CPU.stream / 2)
    assert dataclasses.replace(several, mac=CPU.mac, stream=CPU.stream) == CPU
    assert CPU.threaded(1) == CPU
