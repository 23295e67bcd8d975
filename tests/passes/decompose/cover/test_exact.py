"""That it is the least cost of all partitions is in test_cover.py."""

import numpy as np
import pytest

from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.exact import FEW, exactly
from scission.passes.decompose.cover.row_patterns import supports
from scission.passes.decompose.cover_cost import CoverCost


def test_every_support_is_in_one_group():
    rng = np.random.default_rng(0)
    found = supports(relate(rng.random((FEW, 40)) < 0.3))
    groups = exactly(found, CoverCost(launch=100))
    assert sorted(np.concatenate(groups).tolist()) == list(range(FEW))


def test_none_and_too_many():
    assert exactly(supports(relate(np.zeros((4, 4)))), CoverCost()) == []
    with pytest.raises(ValueError, match="at most 12"):
        exactly(supports(relate(np.eye(FEW + 1))), CoverCost())
