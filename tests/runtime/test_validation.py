"""What options may be: Python refuses what the command line does, by the name of the option."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission import Annealer, OptimizeOptions, PlanOptions, ReportOptions, Trials
from scission.runtime.fields import setting_of

KINDS = (PlanOptions, OptimizeOptions, ReportOptions, Trials, Annealer)
SWITCHES = [(kind, one.name) for kind in KINDS for one in dataclasses.fields(kind) if str(one.type).startswith("bool")]
NUMBERS = [
    (kind, one.name, setting_of(one))
    for kind in KINDS
    for one in dataclasses.fields(kind)
    if str(one.type).startswith(("int", "float"))
]
WORDS = [(kind, one.name) for kind in KINDS for one in dataclasses.fields(kind) if setting_of(one).choices]


@pytest.mark.parametrize(("kind", "name"), SWITCHES)
def test_a_switch_is_true_or_false(kind, name):
    for wrong in ("yes", 1, 0.0):
        with pytest.raises(scission.OptionError, match=f"^{name} must be True or False, got {wrong!r}"):
            kind(**{name: wrong})


@pytest.mark.parametrize(("kind", "name", "told"), NUMBERS)
def test_a_number_lies_within_the_bounds_that_the_command_line_has(kind, name, told):
    beyond = [bound + step for bound, step in ((told.least, -1), (told.most, 1)) if bound is not None]
    assert beyond or name in ("batch", "memory")
    for wrong in (*beyond, True, "4", float("nan")):
        with pytest.raises(scission.OptionError, match=f"^{name} must be"):
            kind(**{name: wrong})


@pytest.mark.parametrize(("kind", "name"), WORDS)
def test_a_word_is_one_of_the_choices(kind, name):
    with pytest.raises(scission.OptionError, match=f"^{name} 'tpu' is none of"):
        kind(**{name: "tpu"})


@given(st.one_of(st.integers(1, 99), st.lists(st.integers(1, 99), min_size=1)))
def test_sizes_come_as_a_number_or_as_several(batch):
    assert PlanOptions(batch=batch).batch == (tuple(batch) if isinstance(batch, list) else (batch,))


@pytest.mark.parametrize("batch", [0, (0,), (4, -1), 1.5, "4", (), [True], {4: 1}, 10**12, [4, 10**30]])
def test_sizes_are_positive_whole_numbers_wherever_they_are_given(batch):
    for call in (
        PlanOptions,
        lambda batch: scission.check(b"", b"", batch=batch),
        lambda batch: scission.bench(b"", b"", batch=batch),
    ):
        with pytest.raises(scission.OptionError, match=r"^batch "):
            call(batch=batch)


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cpu:0", "CUDA", ""])
def test_a_device_has_a_name_that_there_is(device):
    for kind in (PlanOptions, Annealer):
        with pytest.raises(scission.DeviceError, match=f"{device!r} is no device; use 'auto', 'cpu', 'cuda'"):
            kind(device=device)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"sizes": 4}, "sizes must be a mapping by name"),
        ({"sizes": {"n": 10**30}}, r"sizes\['n'\] must be a whole number of at least 1 and at most 999999999999"),
        ({"sizes": {"n": 0}}, r"sizes\['n'\] must be a whole number of at least 1"),
        ({"custom_ops": 3}, "custom_ops must be paths of files"),
        ({"values": ["x"]}, "values must be a mapping by name"),
        ({"ranges": {"x": 3}}, r"ranges\['x'\] must be two numbers"),
        ({"ranges": {"x": (3, 1)}}, r"ranges\['x'\] must be two numbers"),
        ({"inputs": 3}, "inputs must be the path of a file"),
    ],
)
def test_what_has_names_is_a_mapping_of_what_it_may_be(options, what):
    with pytest.raises(scission.TrialsError, match=what):
        Trials(**options)


def test_values_are_put_into_one_form():
    found = PlanOptions(threads=np.int64(2), force=np.bool_(True), custom_ops="a.so")
    assert (found.threads, found.force, found.custom_ops) == (2, True, (Path("a.so"),))
    assert type(found.threads) is int and type(found.force) is bool
    assert Trials(inputs="x.npz").inputs == Path("x.npz") and Trials(seconds=1).seconds == 1.0


@pytest.mark.parametrize("wrong", [4, {"seed": 1}, PlanOptions()])
def test_options_of_another_kind_are_refused_by_name(wrong):
    for call in (scission.check, scission.bench, scission.sweep):
        with pytest.raises(TypeError, match="options are wanted as Trials"):
            call(b"", b"", trials=wrong)
    with pytest.raises(TypeError, match="options are wanted as Annealer"):
        scission.plan(b"", anneal=wrong)
