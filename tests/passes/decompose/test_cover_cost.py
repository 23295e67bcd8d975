import numpy as np

from scission.passes.decompose.cover_cost import CoverCost


def test_a_group_costs_its_launch_its_copies_and_its_entries():
    cost = CoverCost(mac=2, read=3, write=5, launch=7)
    assert cost.of(10, 100) == 7 + 30 + 500 + 2000
    assert CoverCost(mac=1, read=0, write=0, launch=0, granularity=16).of(10, 17) == 245
    assert cost.of(np.array([1, 2]), np.array([1, 1])).tolist() == [17, 22]
