"""Values as JSON can hold them."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plain import plain, plain_dict

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, (list, tuple)) else [value]


@given(VALUES)
def test_strict_json_holds_what_is_plain_and_no_leaf_is_lost(value):
    found = plain(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    broken = [isinstance(leaf, float) and not math.isfinite(leaf) for leaf in leaves(value)]
    assert leaves(found) == [None if odd else leaf for leaf, odd in zip(leaves(value), broken, strict=True)]


@given(st.dictionaries(st.text(max_size=2), VALUES, max_size=3))
def test_an_object_has_the_same_keys(values):
    assert plain_dict(values) == {key: plain(value) for key, value in values.items()}
