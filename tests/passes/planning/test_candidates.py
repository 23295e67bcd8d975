import itertools

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linears import LAYOUTS, analysis_of, linear_of

from scission.ir.plan.grain import Grain
from scission.ir.plan.plan import Block, Decomposition
from scission.ir.reason import Cause, Reason
from scission.models.matrix import weight
from scission.passes.decompose.blocks import closed, group, has_windows, is_contiguous
from scission.passes.lowering.linear.dormant import absorb_dormant
from scission.passes.lowering.linear.lowerings import LOWERINGS, lowering_of
from scission.passes.lowering.linear.stacked import Stacked
from scission.passes.lowering.prices import MARGIN
from scission.passes.lowering.seconds import dense_seconds
from scission.passes.lowering.target import Target
from scission.passes.planning.analysis import analyse
from scission.passes.planning.candidates import Question, best_of, candidates, refusals

TARGETS = st.sampled_from([Target(), Target(provider="cuda"), Target(threads=4)])
ROWS = st.lists(st.sampled_from([1, 16, 256, 4096]), min_size=1, max_size=3)
ONE = Target()


def planted(sizes, dormant=(0, 0), contiguous=False, seed=0):
    return weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)[1]


def choose(found, rows, target=ONE, dtype=np.float32, layout="rows", takes=None, **asked):
    question = Question(target=target, rows=rows, **asked)
    return best_of(candidates(linear_of(found.shape, dtype, layout), analysis_of(found, takes), question))


def padded(decomposition, tile):
    """Multiply-adds for one row when every block is as large as the largest, with room for every output."""
    sides = [max(b.shape[side] for b in decomposition.blocks) for side in (0, 1)]
    while sides[1] * len(decomposition.blocks) < decomposition.shape[1]:
        sides[1] += 1
    return len(decomposition.blocks) * np.prod([next(s for s in range(side, 999) if s % tile == 0) for side in sides])


def by_hand(decomposition, rows, dtype, target, layout):
    """Every halving of the groups, dormant outputs among them where that leaves windows, and the worst gain of each."""
    linear, itemsize = linear_of(decomposition.shape, dtype, layout), np.dtype(dtype).itemsize
    tile = 8 if target.provider == "cuda" and itemsize == 2 else 1
    suit = {"split", "scatter"} | ({"permute"} if layout == "rows" else set())
    suit |= {"batched"} if layout != "planes" else set()
    cuda = target.provider == "cuda"
    suit |= {"stacked"} if cuda and layout == "rows" else set()
    suit |= {"grouped"} if layout == "planes" or (layout == "rows" and itemsize == 4 and dtype == np.float32) else set()
    whole = absorb_dormant(decomposition) if layout == "planes" else decomposition
    counts, count = [], len(whole.blocks)
    while count > 1:
        counts.append(count)
        count = (count + 1) // 2
    found = {}
    groups = [group(whole, n) for n in [*counts, 1]]
    groups += [closed(one) for one in groups if one.dormant_outputs.size and has_windows(closed(one))]
    for grouped in groups:
        share = sum(k * n for k, n in (b.shape for b in grouped.blocks)) / np.prod(grouped.shape)
        if share < 1:
            in_order = is_contiguous(grouped)
            ways = ["split"] if in_order or has_windows(grouped) else []
            ways += [] if in_order else ["scatter"] if has_windows(grouped) else ["scatter", "permute"]
            ways += ["batched", "grouped"] if padded(grouped, tile) < np.prod(grouped.shape) else []
            ways += ["stacked"] if Stacked().entries(grouped, tile) < np.prod(grouped.shape) else []
            if cuda and grouped.dormant_outputs.size and layout != "planes":  # they would be placed by ScatterND
                ways = [name for name in ways if name != "scatter"]
            gains = {
                name: min(
                    dense_seconds(grouped.shape, r, itemsize, prices)
                    / lowering_of(name).seconds(linear, grouped, r, prices)
                    for r in rows
                    for prices in target.prices
                )
                for name in ways
                if name in suit
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
    st.sampled_from([np.float16, np.float32, np.float64]),
    TARGETS,
    st.sampled_from(sorted(LAYOUTS)),
)
def test_the_choice_is_the_best_of_all_groupings(sizes, dormant, contiguous, rows, dtype, target, layout):
    parts = planted(sizes, dormant, contiguous)
    options = by_hand(parts, rows, dtype, target, layout)
    choice = choose(parts, rows, target, dtype, layout)
    if not options:
        assert choice is None
        return
    name, gain = options[len(choice.decomposition.blocks), choice.decomposition.dormant_outputs.size]
    assert (choice.lowering.name, choice.gain) == (name, gain)
    assert choice.gain == max(gain for _, gain in options.values())


@pytest.mark.parametrize(
    ("blocks", "size", "rows", "pays"),
    [
        (16, 256, [1, 256], ("split", "permute")),  # 4096 x 4096, in order and not
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
    choice = choose(Decomposition((index.size, index.size), parts), rows)
    assert (choice.gain > MARGIN) is (pays is not None)
    if pays is not None:
        assert choice.lowering.name == pays[not contiguous]


def test_tiny_blocks_are_merged_and_nothing_is_chosen_where_nothing_is_saved():
    many = planted([(2, 2)] * 512)
    assert len(choose(many, [256]).decomposition.blocks) < 512
    assert choose(planted([(5, 5)]), [1]) is None
    assert choose(Decomposition((3, 3), ()), [1]) is None
    assert choose(planted([(5, 5)], dormant=(5, 0)), [1]).lowering.name != "split"
    assert choose(planted([(5, 5)], dormant=(5, 0)), [1], asked="split") is None


def test_a_selection_is_picked_and_never_merged():
    takes = {"split", "scatter", "permute", "batched", "grouped", "select"}
    picks = planted([(1, 1)] * 64)
    choice = choose(picks, [1, 256], takes=takes)
    assert choice.lowering.name == "select" and len(choice.decomposition.blocks) == 64
    assert choose(planted([(1, 1)] * 64, dormant=(0, 1)), [1], takes=takes, asked="select") is None
    every = candidates(linear_of((64, 64)), analysis_of(picks, takes), Question(target=ONE, rows=[1]), every=True)
    assert {one.lowering.name for one in every if one.fits} == takes


def test_what_is_asked_for_is_all_there_is_and_keeps_every_block():
    parts = planted([(8, 8)] * 4, contiguous=True)
    for lowering in LOWERINGS:
        question = Question(target=ONE, rows=[16], asked=lowering.name)
        found = list(candidates(linear_of(parts.shape), analysis_of(parts), question))
        assert {(one.lowering, one.decomposition) for one in found} == {(lowering, parts)}
        assert all(one.fits for one in found)  # the weight is not looked at, the blocks are all there


def test_why_what_is_asked_for_cannot_be_is_told():
    parts = planted([(8, 8)] * 4)
    question = Question(target=ONE, rows=[16], asked="split")
    found = list(candidates(linear_of(parts.shape), analysis_of(parts), question))
    assert best_of(found) is None
    assert refusals(found) == {"split": Reason(Cause.BLOCKS, "they do not follow one another")}


@given(oracles.block_sizes(most=4, largest=6), st.integers(0, 99), st.booleans(), st.sampled_from([None, 2, 3]))
def test_every_candidate_covers_the_weight_and_fits_as_it_says(sizes, seed, every, parts):
    W, _ = weight(np.random.default_rng(seed), sizes, (1, 1))
    linear, question = linear_of(W.shape), Question(target=ONE, rows=[1, 64], grain=Grain(parts=parts))
    for one in candidates(linear, analyse(W), question, every=every):
        assert oracles.covers(W, one.decomposition)
        reason = one.lowering.why_not(linear, one.decomposition, ONE)
        assert one.fits is False or reason is None
        assert not (one.fits and one.against) and (not one.against or one.against == reason)


def test_equal_gains_leave_the_first():
    parts = planted([(8, 8)] * 4)
    found = list(candidates(linear_of(parts.shape), analysis_of(parts), Question(target=ONE, rows=[16])))
    best = best_of(found)
    assert best is next(itertools.islice((one for one in found if one.gain == best.gain), 1))
