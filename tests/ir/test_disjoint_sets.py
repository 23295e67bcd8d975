from hypothesis import given
from hypothesis import strategies as st

from scission.ir.disjoint_sets import DisjointSets


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40), st.integers(0, 12))
def test_two_are_in_one_set_where_a_way_of_joins_leads_from_one_to_the_other(joins, lone):
    sets = DisjointSets()
    naive = {}  # every member to the set that it is in, all of whose members are moved at each join
    for one, other in joins:
        sets.join(one, other)
        whole = naive.setdefault(one, {one}) | naive.setdefault(other, {other})
        naive.update(dict.fromkeys(whole, whole))
    sets.root(lone)
    naive.setdefault(lone, {lone})
    assert set(sets) == naive.keys() and all(one in sets for one in naive) and 99 not in sets
    groups = sets.groups()
    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, {frozenset(own) for own in naive.values()}))
    assert all(root in own and all(sets.root(one) == root for one in own) for root, own in groups.items())
