import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.fleet.sharing import shared_out


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=20), st.integers(0, 60))
def test_no_exchange_of_a_replica_would_lower_the_most_calls_of_one(calls, more):
    """What the method of highest averages is known for, tried out; one each to begin with."""
    total = len(calls) + more
    found = shared_out(calls, total)
    assert sum(found) == total and min(found) >= 1
    load = np.maximum(calls, 1e-9 if any(calls) else 1.0) / found
    for giver in range(len(calls)):
        if found[giver] > 1:
            given_up = max(calls[giver], 1e-9 if any(calls) else 1.0) / (found[giver] - 1)
            assert given_up >= load.max() * (1 - 1e-12)


def test_shares_of_many_are_those_of_the_calls():
    calls = 1 / np.arange(1, 9)
    found = np.array(shared_out(calls, 1000))
    assert np.allclose(found / 1000, calls / calls.sum(), rtol=0.02)


def test_where_nothing_is_called_all_get_as_many():
    assert shared_out([0, 0, 0], 8) == [3, 3, 2]
