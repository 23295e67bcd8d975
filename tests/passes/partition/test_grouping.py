import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.partition.grouping import MORE, grouped


def heaviest(loads, groups):
    return max(sum(loads[at] for at in group) for group in groups)


def best(loads, count):
    """The heaviest load of the best packing, by trying all."""
    return min(
        max(sum(load for load, to in zip(loads, where, strict=True) if to == one) for one in range(count))
        for where in itertools.product(range(count), repeat=len(loads))
    )


LOADS = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(loads=LOADS, count=st.integers(1, 3))
def test_every_part_is_in_one_group_none_is_empty_and_loads_are_nearly_equal(loads, count):
    groups = grouped(loads, count)
    assert sorted(at for group in groups for at in group) == list(range(len(loads)))
    assert len(groups) == min(count, len(loads)) and all(groups) and groups == sorted(map(sorted, groups))
    assert heaviest(loads, groups) <= (4 / 3) * best(loads, len(groups)) + 1e-9


@settings(max_examples=80, deadline=None)
@given(loads=LOADS, count=st.integers(1, 3), data=st.data())
def test_to_keep_parts_together_costs_little_balance(loads, count, data):
    pairs = list(itertools.combinations(range(len(loads)), 2))
    together = {pair: data.draw(st.integers(1, 9)) for pair in pairs if data.draw(st.booleans())}
    groups = grouped(loads, count, together)
    assert sorted(at for group in groups for at in group) == list(range(len(loads))) and all(groups)
    assert heaviest(loads, groups) <= MORE * heaviest(loads, grouped(loads, count)) + 1e-9


def test_what_is_activated_together_goes_together():
    together = {(at, at + 4): 10 for at in range(4)}
    assert grouped([1.0] * 8, 4, together) == [[0, 4], [1, 5], [2, 6], [3, 7]]
