import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.row_patterns import supports


@given(st.integers(0, 2**32 - 1), st.integers(0, 90), st.integers(0, 20))
def test_outputs_with_the_same_inputs_are_one_support(seed, K, N):
    rng = np.random.default_rng(seed)
    A = (rng.random((N, K)) < 0.3)[rng.integers(0, max(N // 2, 1), N)] if N else np.zeros((0, K), bool)
    found = supports(relate(np.ascontiguousarray(A)))
    seen: dict[bytes, list[int]] = {}
    for output in np.flatnonzero(A.any(1)):
        seen.setdefault(A[output].tobytes(), []).append(int(output))
    assert [one.tolist() for one in found.members] == list(seen.values())
    assert found.sizes.tolist() == [len(one) for one in seen.values()]
    for row, members, degree in zip(found.dense, found.members, found.degrees, strict=True):
        assert (row == A[members[0]]).all() and degree == row.sum()
    assert found.sparse.nnz == found.degrees.sum()
