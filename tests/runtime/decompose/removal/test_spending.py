import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.runtime.decompose.removal.spending import Curve, spend


@st.composite
def curves(draw):
    found = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(2, 5))
        steps = st.lists(st.integers(1, 9), min_size=size - 1, max_size=size - 1)
        saved, losses = (np.concatenate([[0], np.cumsum(draw(steps))]).astype(float) for _ in range(2))
        found.append(Curve(counts=np.arange(size) * 4, saved=saved, losses=losses))
    return found


def totals(found, counts):
    at = [int(np.flatnonzero(one.counts == count)[0]) for one, count in zip(found, counts, strict=True)]
    pairs = list(zip(found, at, strict=True))
    return sum(one.saved[place] for one, place in pairs), sum(one.losses[place] for one, place in pairs)


@settings(deadline=None)
@given(found=curves(), share=st.floats(0, 1))
def test_enough_is_saved_and_nothing_beside_saves_as_much_for_less(found, share):
    wanted = share * sum(one.saved[-1] for one in found)
    counts = spend(found, wanted)
    saved, loss = totals(found, counts)
    assert saved >= wanted - 1e-9
    # A corner of the hull of all of them together: what saves as much never loses less.
    whole = [totals(found, one) for one in itertools.product(*(curve.counts for curve in found))]
    corners = [(s, lost) for s, lost in whole if s >= saved]
    at_corner = spend(found, saved) == counts
    best = min(lost for _, lost in corners)
    slack = max(float(np.diff(one.losses).max()) for one in found) * max(one.counts.size for one in found)
    assert at_corner and loss <= best + slack


def test_convex_curves_are_spent_as_well_as_they_can_be():
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = [
            Curve(
                counts=np.arange(5),
                saved=np.arange(5.0),
                losses=np.concatenate([[0], np.cumsum(np.sort(rng.random(4)))]),
            )
            for _ in range(3)
        ]
        for wanted in range(13):
            saved, loss = totals(found, spend(found, float(wanted)))
            every = (totals(found, one) for one in itertools.product(range(5), repeat=3))
            assert saved == wanted and loss <= min(lost for s, lost in every if s >= wanted) + 1e-12


def test_nothing_is_spent_for_nothing():
    one = Curve(counts=np.array([0, 4]), saved=np.array([0, 1.0]), losses=np.array([0, 1.0]))
    assert spend([one], 0.0) == [0] and spend([one], 5.0) == [4] and spend([], 1.0) == []
