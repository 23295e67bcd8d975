import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

from scission.models.tables import CLIP, NAMES, load


@pytest.fixture(scope="module")
def tables():
    return load(np.random.default_rng(3))


def test_the_data_sets_share_121_features_and_no_two_own_the_same(tables):
    assert tuple(table.name for table in tables) == NAMES
    assert sorted(np.concatenate([table.features for table in tables]).tolist()) == list(range(121))
    assert {table.name: table.X.shape for table in tables} == {
        "digits": (1797, 121),
        "breast_cancer": (569, 121),
        "wine": (178, 121),
        "iris": (150, 121),
        "diabetes": (442, 121),
    }


def test_a_row_is_exactly_zero_outside_its_own_data_set(tables):
    for table in tables:
        assert table.X.dtype == np.float32 and np.isfinite(table.X).all()
        assert not np.delete(table.X, table.features, axis=1).any()


def test_features_are_hidden_among_each_other(tables):
    assert all(np.ptp(table.features) > table.features.size for table in tables)


def test_features_are_standardised_and_clipped(tables):
    for table in tables:
        own = table.X[:, table.features].astype(np.float64)
        assert np.abs(own).max() <= CLIP
        varies = own.any(axis=0)
        inner = varies & (np.abs(own).max(axis=0) < CLIP)
        assert inner.sum() >= 4
        assert np.abs(own[:, inner].mean(axis=0)).max() < 1e-6
        assert np.abs(own[:, inner].std(axis=0) - 1).max() < 1e-5


def test_the_values_are_those_of_scikit_learn():
    (table,) = load(np.random.default_rng(0), ["wine"])
    for column in load_wine().data.T:
        z = (column - column.mean()) / column.std()
        nearest = np.abs(table.X - np.clip(z, -CLIP, CLIP)[:, None]).max(axis=0).min()
        assert nearest < 1e-5


def test_only_pixels_that_never_vary_are_never_active(tables):
    constant = int((np.ptp(load_digits().data, axis=0) == 0).sum())
    dormant = {table.name: len(set(table.features) - set(table.active)) for table in tables}
    assert constant == 3 and dormant == dict.fromkeys(NAMES, 0) | {"digits": constant}


def test_the_generator_decides_where_features_lie():
    first, again, other = (load(np.random.default_rng(seed), ["wine", "iris"]) for seed in (0, 0, 1))
    assert all(map(np.array_equal, (t.X for t in first), (t.X for t in again)))
    assert not np.array_equal(first[0].features, other[0].features)


@pytest.mark.parametrize(("names", "message"), [(["wine", "whine"], "'whine'"), ([], "no data set")])
def test_a_name_it_does_not_know_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        load(np.random.default_rng(0), names)
