import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan.plan import Block
from scission.passes.lowering.nodes.windows import plan_reads


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 6), st.sampled_from(["any", "windows", "nested"]))
def test_each_block_finds_its_inputs_in_its_window(seed, K, count, kind):
    rng = np.random.default_rng(seed)
    order = rng.permutation(K) if rng.random() < 0.5 else np.arange(K)
    blocks = []
    for index in range(count):
        a, b = sorted(rng.integers(0, K, 2))
        inputs = {
            "any": np.flatnonzero(rng.random(K) < 0.5),
            "windows": order[a : b + 1],
            "nested": order[: max(K * (index + 1) // count, 1)],
        }[kind]
        blocks.append(Block(np.sort(inputs) if inputs.size else [0], [index]))
    found = plan_reads(blocks, K)
    taken = np.arange(K) if found.order is None else found.order
    for block, inputs, start in zip(blocks, found.inputs, found.starts, strict=True):
        assert sorted(inputs.tolist()) == block.inputs.tolist()
        assert (taken[start : start + inputs.size] == inputs).all() if start >= 0 else inputs.size == K
    assert found.copied == sum(block.inputs.size for block in blocks if block.inputs.size < K)
    if kind == "nested" and found.order is not None:
        assert found.order.size == len(set(found.order.tolist()))


def test_independent_blocks_follow_one_another():
    found = plan_reads([Block([0, 2], [0]), Block([1, 3], [1])], 4)
    assert found.follow and found.order.tolist() == [0, 2, 1, 3]
    assert plan_reads([Block([0, 1], [0]), Block([2, 3], [1])], 4).order is None


def test_what_reads_everything_is_not_copied():
    found = plan_reads([Block([0, 2], [0]), Block([0, 1, 2], [1])], 3)
    assert found.starts == (0, -1) and not found.follow and found.copied == 2
