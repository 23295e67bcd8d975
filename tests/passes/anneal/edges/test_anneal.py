import json
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import torch
from digraphs import on_cuda
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from untouched import CORRECTIONS, NORMAL, UNIFORM, expected_mask, flat, learned, nulls, p_of, seeds, untouched

from scission.ir.errors import ScissionError
from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.passes.anneal.edges import random_walk
from scission.passes.anneal.edges.anneal import AnnealError, confirm, smallest_signal
from scission.passes.anneal.edges.anneal_sequences import confirm_sequences
from scission.passes.anneal.edges.update import updated

# Single edges.


@given(seeds, nulls, st.sampled_from(CORRECTIONS), st.sampled_from([0.2, 0.05, 0.001]))
def test_neyman_keeps_what_is_improbable_under_the_null(seed, null, correction, level):
    W = learned(seed, null)
    found = confirm(W, "neyman", null=null, level=level, correction=correction, details=True)
    p = p_of(W, null)
    assert (found.confirmed == expected_mask(p, level, correction)).all()
    np.testing.assert_allclose(found.p_values, p, rtol=1e-3, atol=1e-7)
    evidence = found.evidence
    assert (evidence.test, evidence.level, evidence.correction) == ("neyman", level, correction)
    assert evidence.confirmed == found.confirmed.mean() and evidence.null == null
    assert evidence.expected_false == pytest.approx(evidence.per_edge * W.size)
    assert evidence.smallest is None or (abs(W[found.confirmed]) > evidence.smallest).all()
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict(), allow_nan=False))) == evidence


@given(seeds, nulls, st.sampled_from(["inputs", "outputs"]), st.sampled_from(CORRECTIONS))
def test_an_edge_must_pass_both_tests(seed, null, source, correction):
    W = learned(seed, null)
    options = {"level": 0.05, "correction": correction, "source": source}
    both = confirm(W, "edges", null=null, **options, details=True)
    one, other = (confirm(W, test, null=null, **options, details=True) for test in ("neyman", "walk"))
    assert (both.confirmed == one.confirmed & other.confirmed).all()
    assert (both.p_values == one.p_values).all() and (both.classes == other.classes).all()
    assert both.evidence.confirmed == both.confirmed.mean() and both.evidence.test == "edges"
    assert both.evidence.classes == other.evidence.classes and both.evidence.per_edge == one.evidence.per_edge


@given(seeds, st.sampled_from(["inputs", "outputs"]))
def test_the_walk_keeps_preference_and_tells_the_classes(seed, source):
    W = learned(seed)
    W[3] = 0
    found = confirm(W, "walk", source=source, details=True)
    band = random_walk.band([W], 0.05, source)
    assert (found.confirmed == random_walk.preference(W, band, source)).all()
    assert found.classes.dtype == np.int8
    assert ((found.classes == 1) == found.confirmed).all()
    assert ((found.classes == 0) == random_walk.in_band(W, band, source)).all()
    assert found.evidence.classes == tuple((found.classes == name).sum() for name in (1, 0, -1))
    assert sum(found.evidence.classes) == W.size
    dead = found.classes[3]  # no influence of its own: equal to all others, and so is every channel in 3.3.2
    assert (dead == 0).all() or source == "outputs"
    channels = random_walk.random_channels([W], band, source)
    assert (channels == (found.classes == 0)).all()
    assert found.evidence.bandwidth == band.width


def test_a_walk_that_never_held_or_could_not_be_tested_says_so():
    few = confirm(np.random.default_rng(0).normal(size=(5, 8)), "walk")
    assert few.evidence.notes[0].startswith("too few entries")
    equal = confirm(np.ones((60, 60)), "walk")
    assert not equal.confirmed.any() and "never held" in equal.evidence.notes[0]


@given(seeds, st.sampled_from([np.float64, np.float32, np.float16, ml_dtypes.bfloat16]))
def test_beyond_the_support_there_is_no_false_edge(seed, dtype):
    """Not even where the initialisation was rounded up to a half type."""
    rng = np.random.default_rng(seed)
    null = Null(family="uniform", scale=float(rng.uniform(0.01, 1)), source="test")
    W = untouched(rng, null, (50, 60))
    W[0, :10] = null.scale
    assert not confirm(W.astype(dtype), "support", null=null).confirmed.any()
    moved = rng.random(W.shape) < 0.1
    found = confirm(np.where(moved, np.sign(W) * null.scale * 1.02, W).astype(dtype), "support", null=null)
    assert (found.confirmed == moved).all()
    assert found.evidence.expected_false == 0 and found.evidence.smallest == null.scale


def test_nan_and_infinities_are_always_edges():
    W = learned(0)
    W[1, 2], W[3, 4], W[5, 6] = np.nan, np.inf, -np.inf
    for test in ("neyman", "walk", "edges", "support"):
        null = UNIFORM if test == "support" else NORMAL
        found = confirm(W, test, null=null, details=True)
        assert found.confirmed[[1, 3, 5], [2, 4, 6]].all(), test
        if found.p_values is not None:
            assert (found.p_values[[1, 3, 5], [2, 4, 6]] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "magic"}, "unknown test 'magic'"),
        ({"test": "neyman"}, "give init=… or initial=…"),
        ({"test": "edges"}, "give init=… or initial=…"),
        ({"test": "support"}, "give init=… or initial=…"),
        ({"test": "support", "null": NORMAL}, "bounded initialisation"),
        ({"test": "neyman", "null": NORMAL, "level": 0}, "between 0 and 1"),
        ({"test": "walk", "level": 2}, "between 0 and 1"),
        ({"test": "neyman", "null": NORMAL, "correction": "holm"}, "unknown correction 'holm'"),
    ],
)
def test_what_a_test_lacks_is_said(options, message):
    with pytest.raises(AnnealError, match=message):
        confirm(np.ones((3, 2)), **options)
    assert issubclass(AnnealError, ScissionError)


def test_warnings_where_noise_percolates_and_of_benjamini_hochberg():
    W = untouched(np.random.default_rng(0), NORMAL, (100, 100))
    loud = confirm(W, "neyman", null=NORMAL, level=0.05, correction="none").evidence
    assert "noise alone percolates: 500 false edges" in loud.notes[0]
    assert not confirm(W, "neyman", null=NORMAL, level=0.05).evidence.notes
    fdr = confirm(W, "neyman", null=NORMAL, level=0.05, correction="benjamini-hochberg").evidence
    assert any("one glues two blocks" in note for note in fdr.notes)
    assert fdr.per_edge == 0 and fdr.smallest is None  # nothing was found, so nothing could be


@given(st.sampled_from([(256, 256), (200, 400), (64, 300)]), st.sampled_from([3.0, 4.0, 5.5]))
def test_the_smallest_signal_just_holds_a_block_together(shape, threshold):
    signal = smallest_signal(shape, Null(family="normal", scale=1, source="test"), threshold)
    share = 2 * stats.norm.sf(threshold / math.sqrt(1 + signal**2))
    assert share * min(shape) / 2 == pytest.approx(math.log(max(shape) / 2 + 1) + 3, rel=1e-6)


def test_no_signal_holds_a_tiny_block_together():
    assert smallest_signal((4, 4), NORMAL, 1.0) == math.inf


# The level: how often an edge that was never trained is confirmed.


SIDE = 1415  # two million edges


@pytest.mark.parametrize("null", [NORMAL, UNIFORM], ids=lambda null: null.family)
@pytest.mark.parametrize("test", ["neyman", "norm"])
def test_the_level_is_kept(test, null):
    rng = np.random.default_rng(7)
    if test == "neyman":
        theta = [untouched(rng, null, (SIDE, SIDE), np.float32)]
    else:
        theta = [untouched(rng, null, (SIDE, SIDE), np.float32) for _ in range(8)]
    for level in (0.05, 0.01, 0.001):
        if test == "neyman":
            found = confirm(theta[0], "neyman", null=null, level=level, correction="none")
        else:
            found = confirm_sequences(theta, "norm", nulls=[null] * 8, level=level, correction="none")
        error = math.sqrt(level * (1 - level) / SIDE**2)
        assert abs(found.confirmed.mean() - level) < 4 * error
        assert found.evidence.expected_false == pytest.approx(level * SIDE**2)


# Where the weight lies, and in what type.


def stored_as(W, form):
    if form == "column-major":
        return np.asfortranarray(W)
    if form == "strided":
        return np.repeat(np.repeat(W, 2, 0), 3, 1)[::2, ::3]
    if form == "read-only":
        W = W.copy()
        W.setflags(write=False)
        return W
    return W.astype(form)


def by_test(W, test, initial, **options):
    """Which edges a test confirms, also that against the initial weight, which needs no null."""
    return updated(W, initial) if test == "update" else confirm(W, test, **options)


FORMS = ["column-major", "strided", "read-only", ">f4", ">f8", "f8", "f2", ml_dtypes.bfloat16]


@pytest.mark.parametrize("test", ["neyman", "walk", "edges", "support", "update"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_type_and_the_layout_do_not_matter(test, form):
    """All of them hold the same numbers, which bfloat16 can hold."""
    null = UNIFORM
    base = learned(3, null, (300, 200)).astype(ml_dtypes.bfloat16).astype(np.float32)
    base = np.where(abs(base) < 1e-4, 0, base)  # and float16
    then = np.where(np.random.default_rng(0).random(base.shape) < 0.5, base, 0.25).astype(np.float32)
    options = {"null": null, "correction": "none", "level": 0.01}
    W = stored_as(base, form)
    assert (W.astype(np.float64) == base).all()
    if test == "support":
        options["null"] = Null(family="uniform", scale=0.513, source="test")  # no rounding of a half type reaches 0.515
    expected = by_test(base, test, then, **options).confirmed
    assert expected.any() and not expected.all()
    found = by_test(W, test, stored_as(then, form), **options).confirmed
    assert (found != expected).sum() <= (2 if test in ("walk", "edges") else 0)


ON_TORCH = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", ON_TORCH, ids=str)
def test_the_same_on_torch(dtype):
    same_on("cpu", dtype)


@on_cuda
@pytest.mark.parametrize("dtype", ON_TORCH, ids=str)
def test_the_same_on_cuda(dtype):
    same_on("cuda", dtype)


def same_on(device, dtype):
    name = {torch.bfloat16: ml_dtypes.bfloat16}.get(dtype, str(dtype).removeprefix("torch."))
    W = learned(5, UNIFORM, (400, 300)).astype(np.float16).astype(name)
    there = torch.from_numpy(W.astype(np.float64)).to(dtype).to(device)
    for test in ("neyman", "walk", "edges", "support"):
        for correction in CORRECTIONS:
            options = {"null": UNIFORM, "correction": correction, "level": 0.01, "details": True}
            here, found = confirm(W, test, **options), confirm(there, test, **options)
            assert found.confirmed.device.type == device and found.confirmed.dtype == torch.bool
            border = 2 if test in ("walk", "edges") else 0  # sums are added in another order there
            assert (found.confirmed.cpu().numpy() != here.confirmed).sum() <= border, (test, correction)
            assert found.evidence.confirmed == pytest.approx(here.evidence.confirmed, abs=border / W.size)
            if here.p_values is not None:
                np.testing.assert_allclose(found.p_values.cpu().numpy(), here.p_values, rtol=1e-3, atol=1e-6)
            if here.classes is not None:
                assert found.classes.dtype == torch.int8
                assert (found.classes.cpu().numpy() != here.classes).sum() <= 2
    then = np.where(np.random.default_rng(0).random(W.shape) < 0.5, W, W + np.asarray(0.25, W.dtype))
    assert (updated(there, then).confirmed.cpu().numpy() == updated(W, then).confirmed).all()
    theta = [part.astype(np.float32) for part in flat(1)[0]]
    moved = [torch.from_numpy(part).to(device) for part in theta]
    for test in ("norm", "consistency", "sequences"):
        options = {"nulls": [NORMAL] * 8, "correction": "none", "level": 0.01, "details": True}
        here, found = confirm_sequences(theta, test, **options), confirm_sequences(moved, test, **options)
        assert found.confirmed.device.type == device
        assert (found.confirmed.cpu().numpy() == here.confirmed).all()


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("test", ["neyman", "walk", "edges", "support", "update"])
def test_beside_a_weight_and_the_answer_there_is_less_than_the_weight(test, layout):
    W = untouched(np.random.default_rng(0), UNIFORM, (2048, 2048), np.float32)
    W = W if layout == "rows" else W.T
    options = {"null": UNIFORM, "correction": "benjamini-hochberg"}
    by_test(W[:4], test, W[:4], **options)  # imports scipy
    tracemalloc.start()
    found = by_test(W, test, W, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.confirmed.shape == W.shape
    assert peak < found.confirmed.nbytes + 0.75 * W.nbytes


@pytest.mark.parametrize(("half", "inputs"), [("bfloat16", 100), ("float16", 300)])
def test_support_allows_for_half_types_that_were_exported_as_float32(half, inputs):
    import ml_dtypes

    rng = np.random.default_rng(0)
    bound = 1 / np.sqrt(inputs)
    kind = getattr(ml_dtypes, half) if half == "bfloat16" else np.float16
    drawn = rng.uniform(-bound, bound, (inputs, 3000)).astype(kind).astype(np.float32)
    assert (np.abs(drawn) > bound).any()  # rounded past the support
    known = Null(family="uniform", scale=bound, source="example")
    assert not confirm(drawn, "support", null=known).confirmed.any()
    drawn[0, 0] = 0.25
    assert confirm(drawn, "support", null=known).confirmed.sum() == 1


def test_support_needs_to_know_its_support():
    guessed = Null(family="uniform", scale=1.0, source="example", estimated=True)
    with pytest.raises(AnnealError, match="an estimate from the trained weight is none"):
        confirm(np.ones((3, 3)), "support", null=guessed)
