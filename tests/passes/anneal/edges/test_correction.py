import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.anneal.edges.correction import corrected

levels = st.sampled_from([0.5, 0.2, 0.05, 0.001])
ps = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1e-4, 0.01, 0.025, 0.05, 1.0]), min_size=1, max_size=30)


def rejected(values, level):
    """Benjamini and Hochberg as they wrote it: sort, and take the largest k with p_(k) <= k alpha / m."""
    ordered, m = sorted(values), len(values)
    return max((k for k in range(1, m + 1) if ordered[k - 1] <= level * k / m), default=0)


@given(ps, levels)
def test_benjamini_hochberg_is_that_of_the_sorted_p_values(values, level):
    threshold = corrected(level, len(values), "benjamini-hochberg", lambda p: sum(one <= p for one in values))
    count = rejected(values, level)
    assert threshold == level * count / len(values)
    assert sum(one <= threshold for one in values) == count or (count == 0 and not threshold)


@given(ps, levels)
def test_each_correction_is_at_least_as_strict_as_the_one_before(values, level):
    def at_most(p):
        return sum(one <= p for one in values)

    kinds = ("none", "benjamini-hochberg", "bonferroni")
    none, fdr, bonferroni = (corrected(level, len(values), kind, at_most) for kind in kinds)
    assert none == level and bonferroni == level / len(values)
    assert fdr <= none * (1 + 1e-12)
    assert fdr >= bonferroni or not any(p <= bonferroni for p in values)


def test_no_test_at_all():
    assert corrected(0.05, 0, "bonferroni") == 0.05
    assert corrected(0.05, 0, "benjamini-hochberg", lambda p: 0) == 0


@pytest.mark.parametrize("level", [0, 1, -0.1, 2, float("nan")])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        corrected(level, 10, "none")


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="unknown correction 'holm'; use one of none, bonferroni"):
        corrected(0.05, 10, "holm")
    with pytest.raises(ValueError, match="count p-values"):
        corrected(0.05, 10, "benjamini-hochberg")
