import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.simulate.placement import placed, replicas_for

LOADS = st.lists(st.floats(0, 100), min_size=1, max_size=30).map(np.array)


@given(LOADS, st.integers(1, 40))
def test_replicas_follow_the_load(load, machines):
    found = replicas_for(load, machines)
    assert all(1 <= one <= machines for one in found)
    for one, own in zip(found, load, strict=True):
        wanted = machines * own / (load.sum() or 1)
        assert abs(one - wanted) <= 0.5 + 1e-9 or (one == 1 and wanted < 1)


@given(LOADS, st.integers(1, 40))
def test_no_machine_holds_a_part_twice_and_the_fullest_is_near_the_mean(load, machines):
    replicas = replicas_for(load, machines)
    found = placed(load, replicas, machines)
    filled = np.zeros(machines)
    for own, count, machine in zip(load, replicas, found, strict=True):
        assert len(set(machine)) == len(machine) == count and set(machine) <= set(range(machines))
        filled[list(machine)] += own / count
    # The last piece on the fullest went where least was: no more than the mean and that piece, but for machines that
    # the other replicas of the same part were given.
    pieces = max(own / count for own, count in zip(load, replicas, strict=True))
    assert np.isclose(filled.sum(), load.sum())
    assert filled.max() <= 2 * load.sum() / machines + pieces + 1e-9
