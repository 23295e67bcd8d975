"""What holds between axes: quick ways to it are held against the general one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idle_networks import network
from regions import looked_at

from scission.passes.channels import relations
from scission.passes.channels.removal import removal_of


def left_out(seen, exact):
    """Which places go along which axes, by the names of values and of nodes that read constants."""
    found = removal_of(seen.model, seen.found.constants, exact=exact)
    named = {
        frozenset(
            (getattr(place, "name", "") or (place.node.outputs[0].name, place.index), axis) for place, axis in dims
        ): found.masks.of(root).tolist()
        for root, dims in found.cut().items()
    }
    return named, len(found.smaller())


@settings(max_examples=12)
@given(st.integers(0, 1 << 30), st.booleans())
def test_elementwise_operators_relate_what_any_rule_says(seed, exact):
    seen = looked_at(network(seed)[0])
    quick = left_out(seen, exact)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(relations, "is_pointwise", lambda *_: False)
        assert left_out(seen, exact) == quick
