import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from scission.ir.errors import ScissionError
from scission.ir.evidence.null import Null, NullError

SCALES = st.floats(1e-12, 1e12)
LEVELS = st.one_of(st.floats(1e-300, 1), st.integers(1, 300).map(lambda n: 10.0**-n))


def null(family="normal", scale=1.0):
    return Null(family=family, scale=scale, source="a test")


def exact_tail(z):
    """2(1 − Φ(z)) with 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        return mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2))


def exact_quantile(level):
    """The z with 2(1 − Φ(z)) = level, by bisection on the exact tail."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        below, above = mpmath.mpf(0), mpmath.mpf(40)
        for _ in range(140):
            middle = (below + above) / 2
            if mpmath.erfc(middle / mpmath.sqrt(2)) > mpmath.mpf(level):
                below = middle
            else:
                above = middle
        return below


@pytest.mark.parametrize("z", [0.0, 1e-300, 1e-9, 0.5, 1.959963984540054, 5.0, 12.0, 30.0, 37.5])
def test_normal_tails_are_exact_to_the_end_of_float64(z):
    found = float(null(scale=0.02).p_value(z * 0.02))
    assert abs(found / exact_tail(z * 0.02 / 0.02) - 1) < 1e-12


@pytest.mark.parametrize("level", [1 - 1e-12, 0.999, 0.5, 0.05, 1e-3, 1e-10, 1e-50, 1e-200, 1e-300, 1e-308])
def test_normal_thresholds_are_exact_down_to_1e_308(level):
    assert abs(null().threshold(level) / exact_quantile(level) - 1) < 1e-12


@given(SCALES, st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_p_values_agree_with_scipys_distributions(scale, multiples):
    w = np.array(multiples) * scale
    normal, uniform = null("normal", scale).p_value(w), null("uniform", scale).p_value(w)
    np.testing.assert_allclose(normal, 2 * stats.norm.sf(np.abs(w), scale=scale), rtol=1e-11, atol=1e-320)
    expected = 2 * stats.uniform.sf(np.abs(w), loc=-scale, scale=2 * scale)
    np.testing.assert_allclose(uniform, expected, rtol=1e-9, atol=1e-12)


@given(st.sampled_from(["normal", "uniform"]), SCALES, LEVELS)
def test_the_p_value_of_a_threshold_is_its_level(family, scale, level):
    back = float(null(family, scale).p_value(null(family, scale).threshold(level)))
    # near the edge 1 − (1 − level) keeps only absolute accuracy; in the normal tail one ulp of z moves p by z² ulps
    assert back == pytest.approx(level, rel=1e-12 if family == "normal" else 0, abs=1e-15)


@given(SCALES, st.floats(0, 37))
def test_the_threshold_of_a_p_value_is_the_weight(scale, z):
    assume(z > 1e-6)  # below, p is 1 to the last digit and cannot remember w
    p = float(null(scale=scale).p_value(-z * scale))
    assert null(scale=scale).threshold(p) == pytest.approx(z * scale, rel=1e-9)


@given(st.floats(0, 1))
def test_the_threshold_of_a_uniform_p_value_is_the_weight(share):
    p = float(null("uniform", 3.0).p_value(3 * share))
    assert null("uniform", 3.0).threshold(p) == pytest.approx(3 * share, abs=1e-15)


def test_at_the_ends():
    assert null().threshold(0) == math.inf and null().threshold(1) == 0
    assert null("uniform", 0.5).threshold(0) == 0.5 and null("uniform", 0.5).threshold(1) == 0
    for family in ("normal", "uniform"):
        p = null(family).p_value([[np.inf, -np.inf, np.nan, 0.0]])
        assert p.shape == (1, 4) and p[0, :2].tolist() == [0, 0] and np.isnan(p[0, 2]) and p[0, 3] == 1
    assert null("uniform", 0.5).p_value(0.5) == 0, "the edge of the support has probability 0"


def test_absurd_scales_neither_warn_nor_overflow():
    with np.errstate(all="raise"):
        assert null(scale=5e-324).p_value([1.0, 0.0]).tolist() == [0, 1]
        assert null(scale=1.7e308).p_value([1.7e308]).tolist() == [pytest.approx(2 * stats.norm.sf(1))]
        assert null("uniform", 5e-324).p_value([1e300]).tolist() == [0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_every_kind_of_number_is_tested_in_float64(dtype):
    w = np.array([[-128, 1], [0, 2]], dtype)
    p = null("uniform", 256).p_value(w)
    assert p.dtype == np.float64 and p.tolist() == [[0.5, 1 - 1 / 256], [1, 1 - 2 / 256]]


@pytest.mark.parametrize(("family", "scale"), [("normal", 0.02), ("uniform", 0.3)])
def test_sigma_is_the_standard_deviation(family, scale):
    law = stats.norm(scale=scale) if family == "normal" else stats.uniform(-scale, 2 * scale)
    assert null(family, scale).sigma == pytest.approx(law.std(), rel=1e-12)


@pytest.mark.parametrize("scale", [0, -1.0, math.nan, math.inf, "1", None, True])
def test_scales_that_make_no_sense(scale):
    with pytest.raises(NullError, match="scale"):
        Null(family="normal", scale=scale, source="a test")


def test_other_families_and_levels_are_refused():
    assert issubclass(NullError, ScissionError)
    with pytest.raises(NullError, match="'cauchy'"):
        null("cauchy")
    for level in (-0.1, 1.1, math.nan):
        with pytest.raises(NullError, match="level"):
            null().threshold(level)


@given(st.sampled_from(["normal", "uniform"]), SCALES, st.text(), st.booleans())
def test_it_survives_json(family, scale, source, estimated):
    one = Null(family=family, scale=scale, source=source, estimated=estimated)
    assert Null.from_dict(json.loads(json.dumps(one.to_dict()))) == one


GOOD = {"family": "normal", "scale": 1, "source": ""}


@pytest.mark.parametrize("change", [{"scale": "1"}, {"estimated": 1}, {"family": 1}, {"source": None}, {"family": "t"}])
def test_dictionaries_with_other_kinds_are_refused(change):
    assert Null.from_dict(GOOD).scale == 1
    with pytest.raises(NullError):
        Null.from_dict(GOOD | change)


@pytest.mark.parametrize("fields", [{}, {"family": "normal", "scale": 1}, None, []])
def test_other_dictionaries_are_refused(fields):
    with pytest.raises(NullError):
        Null.from_dict(fields)


def test_a_numpy_scale_becomes_a_float():
    one = Null(family="normal", scale=np.float32(0.5), source="")
    assert type(one.scale) is float and json.dumps(one.to_dict())


def test_the_module_imports_neither_scipy_nor_torch():
    code = "import sys, scission.ir.evidence.null; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
