import dataclasses

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan.plan import Block, Decomposition
from scission.models.matrix import weight
from scission.passes.decompose.blocks import closed, group, has_windows, is_contiguous
from scission.passes.lowering.linear.cost import CPU, CUDA, LOWERINGS, MARGIN, choose, dense_seconds, split_seconds

MACHINES = st.sampled_from([[CPU], [CUDA], [CPU, CPU.threaded(4)]])
ROWS = st.lists(st.sampled_from([1, 16, 256, 4096]), min_size=1, max_size=3)


def planted(sizes, dormant=(0, 0), contiguous=False, seed=0):
    return weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)[1]


def padded(decomposition, tile):
    """Multiply-adds for one row when every block is as large as the largest, with room for every output."""
    sides = [max(b.shape[side] for b in decomposition.blocks) for side in (0, 1)]
    while sides[1] * len(decomposition.blocks) < decomposition.shape[1]:
        sides[1] += 1
    return len(decomposition.blocks) * np.prod([next(s for s in range(side, 999) if s % tile == 0) for side in sides])


def by_hand(decomposition, rows, itemsize, machines, transposes, lowerings, tile):
    """Every halving of the groups, dormant outputs among them where that leaves windows, and the worst gain of each."""
    counts, count = [], len(decomposition.blocks)
    while count > 1:
        counts.append(count)
        count = (count + 1) // 2
    found = {}
    groups = [group(decomposition, n) for n in [*counts, 1]]
    groups += [closed(one) for one in groups if one.dormant_outputs.size and has_windows(closed(one))]
    for grouped in groups:
        share = sum(k * n for k, n in (b.shape for b in grouped.blocks)) / np.prod(grouped.shape)
        if share < 1:
            in_order = is_contiguous(grouped)
            ways = ["split"] if in_order or has_windows(grouped) else []
            ways += [] if in_order else ["scatter"] if has_windows(grouped) else ["scatter", "gather"]
            ways += ["batched", "grouped"] if padded(grouped, tile) < np.prod(grouped.shape) else []
            gains = {
                lowering: min(
                    dense_seconds(grouped.shape, r, itemsize, m)
                    / split_seconds(grouped, lowering, r, itemsize, m, transposes, tile)
                    for r in rows
                    for m in machines
                )
                for lowering in lowerings
                if lowering in ways
            }
            if not gains:
                continue
            best = max(gains, key=gains.get)
            found[len(grouped.blocks), grouped.dormant_outputs.size] = (best, gains[best])
    return found


@given(
    oracles.block_sizes(most=9, largest=40),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.booleans(),
    ROWS,
    st.sampled_from([2, 4, 8]),
    MACHINES,
    st.integers(0, 2),
    st.sampled_from([LOWERINGS, ("split", "scatter"), ("scatter",), ("grouped", "batched"), ("gather",)]),
    st.sampled_from([1, 8]),
)
def test_the_choice_is_the_best_of_all_groupings(
    sizes, dormant, contiguous, rows, itemsize, machines, transposes, lowerings, tile
):
    parts = planted(sizes, dormant, contiguous)
    options = by_hand(parts, rows, itemsize, machines, transposes, lowerings, tile)
    choice = choose(parts, rows, itemsize, machines, transposes, lowerings, tile)
    if not options:
        assert choice is None
        return
    lowering, gain = options[len(choice.decomposition.blocks), choice.decomposition.dormant_outputs.size]
    assert (choice.lowering, choice.gain) == (lowering, gain)
    assert choice.gain == max(gain for _, gain in options.values())


@pytest.mark.parametrize(
    ("blocks", "size", "rows", "pays"),
    [
        (16, 256, [1, 256], ("split", "gather")),  # 4096 x 4096, in order and not
        (64, 64, [1, 16], ("batched", "batched")),  # launches cost more than arithmetic
        (4, 12, [1, 16, 256], None),  # at hidden size 48 nothing pays
        (2, 16, [1], None),
    ],
)
@pytest.mark.parametrize("contiguous", [False, True])
def test_what_pays(blocks, size, rows, pays, contiguous):
    index = np.arange(blocks * size)
    columns = index if contiguous else np.random.default_rng(0).permutation(index)
    parts = tuple(Block(i, np.sort(o)) for i, o in zip(np.split(index, blocks), np.split(columns, blocks), strict=True))
    choice = choose(Decomposition((index.size, index.size), parts), rows, 4, [CPU])
    assert (choice.gain > MARGIN) is (pays is not None)
    if pays is not None:
        assert choice.lowering == pays[not contiguous]


def test_tiny_blocks_are_merged_and_nothing_is_chosen_where_nothing_is_saved():
    many = planted([(2, 2)] * 512)
    assert len(choose(many, [256], 4, [CPU]).decomposition.blocks) < 512
    assert choose(planted([(5, 5)]), [1], 4, [CPU]) is None
    assert choose(Decomposition((3, 3), ()), [1], 4, [CPU]) is None
    assert choose(planted([(5, 5)], dormant=(5, 0)), [1], 4, [CPU]).lowering != "split"
    assert choose(planted([(5, 5)], dormant=(5, 0)), [1], 4, [CPU], lowerings=("split",)) is None


def test_a_selection_is_picked_and_never_merged():
    picks = planted([(1, 1)] * 64)
    choice = choose(picks, [1, 256], 4, [CPU], 2, ("select",))
    assert choice.lowering == "select" and len(choice.decomposition.blocks) == 64
    assert choose(planted([(1, 1)] * 64, dormant=(0, 1)), [1], 4, [CPU], 2, ("select",)) is None
    large = planted([(1, 1)] * 2048)
    assert split_seconds(large, "select", 256, 4, CPU) < min(
        split_seconds(large, lowering, 256, 4, CPU) for lowering in LOWERINGS
    )


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


def test_one_end_that_is_in_order_is_not_moved():
    scattered = planted([(8, 8)] * 4)
    inputs = np.split(np.arange(32), 4)
    one_end = Decomposition((32, 32), tuple(Block(i, b.outputs) for i, b in zip(inputs, scattered.blocks, strict=True)))
    for lowering in ("gather", "batched", "grouped"):
        seconds = [split_seconds(d, lowering, 256, 4, CPU) for d in (scattered, one_end)]
        assert seconds[1] < seconds[0]


def test_padding_costs():
    equal, unequal = planted([(8, 8)] * 4), planted([(8, 8)] * 3 + [(2, 2)], dormant=(6, 6))
    for lowering in ("batched", "grouped"):
        seconds = [split_seconds(d, lowering, 256, 4, CPU, tile=tile) for d in (equal, unequal) for tile in (1, 16)]
        assert seconds[0] < seconds[1] and seconds[0] <= seconds[2] < seconds[3]


def test_threads_speed_up_products_but_not_index_work():
    several = CPU.threaded(4)
    assert (several.mac, several.stream) == (CPU.mac / 4, CPU.stream / 2)
    assert dataclasses.replace(several, mac=CPU.mac, stream=CPU.stream) == CPU
    assert CPU.threaded(1) == CPU
