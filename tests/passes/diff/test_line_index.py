"""An index of sums answers as looking at every constant does."""

from collections import Counter

import numpy as np
import oracles
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.io.load import load
from scission.passes.diff.line_index import LineIndex
from scission.passes.diff.model_constants import constants_of, layers_of, line_sums
from scission.passes.diff.tensor_identity import Contents
from scission.passes.diff.value_numbering import Numbers, anatomy


def held(arrays):
    """Arrays as the constants of a model."""
    weights = {f"w{index}": array for index, array in enumerate(arrays)}
    nodes = [("Identity", [name], [f"y{name}"], {}) for name in weights]
    outputs = {f"y{name}": list(array.shape) for name, array in weights.items()}
    contents = Contents()
    model = load(oracles.graph(nodes, {}, outputs, weights)).graph
    return constants_of(anatomy(model, Numbers(), contents), contents)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_owners_are_those_that_share_a_row_or_a_column(data):
    values = st.integers(0, 2)
    shapes = data.draw(st.lists(st.tuples(st.integers(2, 3), st.integers(2, 3)), min_size=1, max_size=5))
    arrays = [
        np.array(data.draw(st.lists(values, min_size=r * c, max_size=r * c)), np.float32).reshape(r, c)
        for r, c in shapes
    ]
    constants = held(arrays)
    most = data.draw(st.integers(1, 4))
    wanted = line_sums(constants[0].lines())
    has = [Counter(s for part in layers_of(one) for s in line_sums(part).tolist()) for one in constants]
    common = {s for s in wanted.tolist() if sum(sums[s] for sums in has) <= most}
    expected = Counter(index for index, sums in enumerate(has) for s in common for _ in range(sums[s]))
    index = LineIndex(constants)
    assert Counter(index.owners("float", wanted, most).tolist()) == expected
    best = index.voted("float", wanted, most)
    assert [expected[constants.index(one)] for one in best] == sorted(expected.values(), reverse=True)[:most]
