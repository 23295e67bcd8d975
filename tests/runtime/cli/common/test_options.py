import pytest
import typer

from scission.runtime.cli.common.options import DEFAULTS, annealer, levels_of, trials_of

PLAIN = {**DEFAULTS, "method": "blocks", "seed": 0, "device": "cpu"}


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
        ({"method": None, "drop_strays": True}, "--drop-strays"),
        ({"method": "magic"}, "--anneal"),
        ({"correction": "holm"}, "--correction"),
        ({"alpha": 0.0}, "--alpha"),
        ({"alpha": 1.0}, "--alpha"),
    ],
)
def test_what_makes_no_sense_is_refused(change, hint):
    with pytest.raises(typer.BadParameter) as error:
        annealer(**{**PLAIN, **change})
    assert error.value.param_hint == hint


def test_trials_take_a_choice_of_cuda_graphs():
    plain = ("cpu", None, None, None, 0, None, None, 1.0, None)
    assert (trials_of(*plain).cuda_graph, trials_of(*plain, "off").cuda_graph) == ("auto", "off")
    with pytest.raises(typer.BadParameter) as error:
        trials_of(*plain, "maybe")
    assert error.value.param_hint == "--cuda-graph"


def test_levels():
    assert levels_of(None) == () and levels_of("0.05, 1e-30") == (0.05, 1e-30)


@pytest.mark.parametrize("text", ["", "0", "1", "a", "0.1,,0.2", "nan", "-1", "inf"])
def test_levels_that_are_none_are_refused(text):
    with pytest.raises(typer.BadParameter):
        levels_of(text)
