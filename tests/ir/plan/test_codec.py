import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission import PlanError
from scission.ir.plan.codec import require_few
from scission.ir.plan.decomposition import indices, to_ranges

texts = st.sets(st.integers(0, 40)).map(lambda members: to_ranges(indices(sorted(members))))
plans = st.recursive(
    st.fixed_dictionaries({"inputs": texts, "node": st.text()}) | st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["steps", "blocks", "axes"]), inner),
    max_leaves=8,
)


def named(data):
    """How many indices are named, by walking the structure and writing each of them out."""
    if isinstance(data, list):
        return sum(map(named, data))
    if not isinstance(data, dict):
        return 0
    own = [part.split("-") for part in data.get("inputs", "").split(",") if part]
    written = np.concatenate([[], *(np.arange(int(ends[0]), int(ends[-1]) + 1) for ends in own)])
    return written.size + sum(named(value) for value in data.values())


@given(plans)
def test_the_indices_of_a_plan_are_counted_without_being_made(data):
    count = named(data)
    require_few(data, count)
    if count:
        with pytest.raises(PlanError, match="names more than"):
            require_few(data, count - 1)


@pytest.mark.parametrize("text", ["0-99999999", "0-99999999999999999999", "5-1", "a", "1" * 5000, ""])
def test_texts_that_are_no_ranges_are_left_to_their_readers(text):
    require_few(json.loads(json.dumps({"steps": [{"inputs": text}]})), 0)
