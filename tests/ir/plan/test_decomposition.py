import numpy as np
import pytest
from decomposition_examples import covers, decompositions
from hypothesis import given
from hypothesis import strategies as st
from reference import spread, truth_mask

from scission.ir.plan.decomposition import (
    Block,
    Decomposition,
    PlanError,
    from_ranges,
    in_order,
    indices,
    runs_of,
    to_ranges,
)

index_sets = st.sets(st.integers(0, 60))


@given(covers())
def test_every_entry_inside_is_in_one_block_or_residual(found):
    times = np.zeros(found.shape, int)
    for block in found.blocks:
        times[np.ix_(block.inputs, block.outputs)] += 1
    for entry in found.residual:
        times[entry] += 1
    assert times.max(initial=0) <= 1 and (times == found.inside()).all()
    assert found.mac_share == times.sum() / max(times.size, 1)
    parts = [block.outputs if found.split_k else block.inputs for block in found.blocks]
    uses = np.bincount(np.concatenate([[], *parts]).astype(int), minlength=found.shape[found.split_k])
    assert found.shared.tolist() == np.flatnonzero(uses > 1).tolist()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=4), st.integers(0, 12))
def test_no_array_is_made_of_more_indices_than_there_are(runs, size):
    text = ",".join(f"{first}-{last}" for first, last in runs)
    named = [at for first, last in runs for at in range(first, last + 1)]
    if all(first <= last < size for first, last in runs) and len(named) <= size:
        assert in_order(text, size).tolist() == named and list(runs_of(text, size)) == runs
    else:
        with pytest.raises(PlanError, match="is not a range of indices below"):
            in_order(text, size)


@given(index_sets)
def test_ranges_survive_text(members):
    text = to_ranges(indices(sorted(members)))
    assert from_ranges(text, 61).tolist() == sorted(members) == spread(text)
    assert all(
        int(b.split("-")[0]) - int(a.split("-")[-1]) > 1
        for a, b in zip(text.split(","), text.split(",")[1:], strict=False)
    )


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "-",
        "1-",
        "-3",
        "1--2",
        "1-2-3",
        "5-3",
        "3,1",
        "1,1",
        "0-2,2",
        "²",
        "٣",
        "1.5",
        "0x1",
        "9",
        "0-9",
        "9" * 6000,
        f"0-{'9' * 30}",
        "nan",
        None,
        3,
        [0, 1],
        {"0": 1},
        b"1",
    ],
)
def test_text_that_is_no_list_of_ranges_is_refused(text):
    with pytest.raises(PlanError):
        from_ranges(text, 9)


@given(decompositions())
def test_blocks_and_dormant_features_cover_everything_once(decomposition):
    K, N = decomposition.shape
    outputs = [n for block in decomposition.blocks for n in block.outputs.tolist()]
    assert sorted(outputs + decomposition.dormant_outputs.tolist()) == list(range(N))
    inputs = {k for block in decomposition.blocks for k in block.inputs.tolist()}
    assert sorted(inputs) + decomposition.dormant_inputs.tolist() == sorted(inputs) + sorted(set(range(K)) - inputs)
    assert decomposition.mac_share == truth_mask(decomposition).sum() / (K * N)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Block([], [0]), "at least one input"),
        (lambda: Block([0], []), "at least one input"),
        (lambda: Block([1, 0], [0]), "sorted and distinct"),
        (lambda: Block([0], [1, 1]), "sorted and distinct"),
        (lambda: Block([-1], [0]), "non-negative"),
        (lambda: Decomposition((2, 2), (Block([2], [0]),)), "outside the weight"),
        (lambda: Decomposition((2, 2), (Block([0], [2]),)), "outside the weight"),
        (lambda: Decomposition((2, 2), (Block([0], [1]), Block([1], [0, 1]))), "output 1 belongs to two blocks"),
        (lambda: Decomposition((2, 2), (Block([0], [1]), Block([0, 1], [0])), split_k=True), "input 0 belongs to two"),
        (lambda: Decomposition((2, 2), (Block([0], [1]),), residual=((0, 1),)), "inside a block and would count twice"),
        (lambda: Decomposition((2, 2), (Block([0], [1]),), residual=((0, 2),)), "outside the weight"),
        (lambda: Decomposition((2, 2), (Block([0], [1]),), residual=((1, 0), (1, 0))), "there twice"),
    ],
)
def test_blocks_that_contradict_themselves_are_refused(make, message):
    with pytest.raises(PlanError, match=message):
        make()


def test_blocks_may_share_inputs_and_are_values():
    shared = Decomposition((1, 2), (Block([0], [0]), Block([0], [1])))
    assert shared == Decomposition((1, 2), (Block(np.array([0]), [0]), Block([0], [1])))
    assert hash(shared.blocks[0]) == hash(Block([0], [0])) and shared.blocks[0] != shared.blocks[1]
    with pytest.raises(ValueError, match="read-only"):
        shared.blocks[0].inputs[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        shared.dormant_inputs[:] = 3


def test_a_block_keeps_its_own_copy_of_the_indices():
    mine = np.array([0, 2])
    block = Block(mine, [1])
    mine[0] = 1
    assert block.inputs.tolist() == [0, 2]
