import dataclasses

import pytest
import typer

from scission.runtime.calibrate.annealer import Annealer
from scission.runtime.cli.common.annealing import annealer

PLAIN = {option.name: option.default for option in dataclasses.fields(Annealer)} | {"method": "blocks"}


def test_no_method_is_no_annealing():
    assert annealer(**{**PLAIN, "method": None}) is None


def test_options_become_one_value():
    made = annealer(**{**PLAIN, "method": "neyman", "alpha": 0.01, "init": "bert", "literal": True})
    assert (made.method, made.alpha, made.init, made.literal, made.correction) == (
        "neyman",
        0.01,
        "bert",
        True,
        "bonferroni",
    )


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"method": None, "init": "bert"}, "--init"),
        ({"method": None, "drop_residual": True}, "--drop-residual"),
        ({"method": "magic"}, "--anneal"),
        ({"correction": "holm"}, "--correction"),
        ({"alpha": 0.0}, "--alpha"),
        ({"alpha": 1.0}, "--alpha"),
    ],
)
def test_what_makes_no_sense_is_refused(change, hint):
    with pytest.raises(typer.BadParameter) as error:
        annealer(**{**PLAIN, **change})
    assert hint in (error.value.param_hint or error.value.message)
