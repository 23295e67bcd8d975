import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.calibrate.dataset import Labelled
from scission.runtime.calibrate.sources.columns import LabelledError
from scission.runtime.decompose.task.samples import divided


def labelled(samples, batch=4, exact=False):
    arrays = {"x": np.arange(samples)[:, None]}
    return Labelled(samples=samples, arrays=arrays, shared={}, targets=None, batch=batch, exact=exact)


@given(samples=st.integers(3, 60), seed=st.integers(0, 99), exact=st.booleans())
def test_three_samples_are_enough_and_none_is_in_two_sets(samples, seed, exact):
    samples *= 4 if exact else 1
    sets = divided(labelled(samples, exact=exact), seed)
    parts = [
        np.concatenate([one["x"] for one in part.feeds]).ravel()
        for part in (sets.calibration, sets.selection, sets.judgement)
    ]
    assert min(map(len, parts)) > 0
    assert sorted(np.concatenate(parts).tolist()) == list(range(samples))


@pytest.mark.parametrize(
    ("samples", "exact", "told"),
    [
        (2, False, "2 samples: give 3 or more"),
        (8, True, "8 samples in batches of 4, which the model fixes: give 12 or"),
    ],
)
def test_fewer_are_refused_with_how_many_it_takes(samples, exact, told):
    with pytest.raises(LabelledError, match=told):
        divided(labelled(samples, exact=exact))
