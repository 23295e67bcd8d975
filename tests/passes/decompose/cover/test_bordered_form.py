import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.bordered_form import DEEP, bordered
from scission.passes.decompose.cover.cover import cover
from scission.passes.decompose.cover_cost import CoverCost


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30), st.integers(0, 60), st.sampled_from([1, 10, 100])
)
def test_every_edge_is_in_a_group_or_residual(seed, count, size, residual, price):
    rng = np.random.default_rng(seed)
    A = np.kron(np.eye(count), np.ones((size, size))) > 0
    A[rng.integers(0, len(A), residual), rng.integers(0, len(A), residual)] = True
    A = np.ascontiguousarray(A[rng.permutation(len(A))])
    cost = CoverCost(residual=price)
    found = cover(relate(A), cost)
    apart = bordered(found, relate(A), cost)
    assert not (A & ~apart.inside()).any()
    assert all(A[entry] for entry in apart.residual)
    per_output = np.bincount([n for _, n in apart.residual], minlength=len(A))
    assert per_output.max(initial=0) <= DEEP
    before = sum(cost.of(*block.shape) for block in found.blocks)
    assert sum(cost.of(*block.shape) for block in apart.blocks) + price * len(apart.residual) <= before


def test_blocks_glued_by_residual_entries_are_blocks_again():
    rng = np.random.default_rng(0)
    A = np.kron(np.eye(4), np.ones((200, 200))) > 0
    glue = {(int(k), int(n)) for k, n in zip(rng.integers(0, 200, 30), rng.integers(200, 800, 30), strict=True)}
    for entry in glue:
        A[entry] = True
    apart = bordered(cover(relate(A)), relate(A))
    assert set(apart.residual) == glue and not apart.shared.size
    assert [block.shape for block in apart.blocks] == [(200, 200)] * 4
