"""What the library takes as keywords and the command line as options are the fields of the same values."""

import dataclasses
import inspect
import typing

import pytest
import typer

import scission
from scission.runtime.calibrate.annealer import Annealer
from scission.runtime.cli.app import app
from scission.runtime.cli.common.arguments import RowChoice
from scission.runtime.cli.common.patience import Patience
from scission.runtime.cli.common.terminal import Printing
from scission.runtime.ort.trials import Trials
from scission.runtime.pipeline import options as stated
from scission.runtime.pipeline.options import OptimizeOptions, PlanOptions, ReportOptions

COMMANDS = {command.name: command for command in typer.main.get_command(app).commands.values()}
FIELDS = {
    kind: {option.name: option for option in dataclasses.fields(kind)}
    for kind in (PlanOptions, OptimizeOptions, ReportOptions, Trials, Annealer, Printing, Patience, RowChoice)
}
# What a command that plans takes besides: its arguments, and how it shows what it found.
OWN = {
    "optimize": {"model", "output", "dry_run"},
    "plan": {"model", "output"},
    "inspect": {"model", "as_csv"},
    "explain": {"model", "node"},
    "report": {"model", "changed", "output", "plan"},
}
TAKEN = {  # beside the options of a plan
    "optimize": (OptimizeOptions, Trials, Annealer),
    "plan": (OptimizeOptions, Trials, Annealer),
    "inspect": (RowChoice, Trials),
    "explain": (Trials,),
    "report": (ReportOptions, Trials),
}
KEYWORDS = {
    "plan": (PlanOptions, stated.PlanKeywords),
    "inspect": (PlanOptions, stated.PlanKeywords),
    "explain": (PlanOptions, stated.PlanKeywords),
    "optimize": (OptimizeOptions, stated.OptimizeKeywords),
    "report": (ReportOptions, stated.ReportKeywords),
}


@pytest.mark.parametrize("name", OWN)
def test_every_option_of_a_command_that_plans_is_a_field_and_conversely(name):
    kinds = (PlanOptions, *TAKEN.get(name, ()), Printing, Patience)
    taken = {one.name: one for one in COMMANDS[name].params}
    assert FIELDS[PlanOptions].keys() <= taken.keys()
    assert taken.keys() - OWN[name] <= {field for kind in kinds for field in FIELDS[kind]}


@pytest.mark.parametrize("name", OWN)
def test_defaults_and_help_are_those_of_the_fields(name):
    for one in COMMANDS[name].params:
        option = FIELDS[PlanOptions].get(one.name)
        if option is not None:
            plain = None if option.default == () else option.default
            assert (one.default, one.help) == (plain, option.metadata["setting"].help), one.name


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_of_a_function_are_the_fields(name):
    kind, told = KEYWORDS[name]
    fields = FIELDS[PlanOptions] | FIELDS[kind]
    parameters = inspect.signature(getattr(scission, name)).parameters
    assert {field: parameters[field].default for field in fields} == {
        field: option.default for field, option in fields.items()
    }
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    # What type checkers read says the same, field by field.
    spelt = {key: each.__forward_arg__ for key, each in told.__annotations__.items()}
    assert spelt == {key: option.type for key, option in fields.items()} and not told.__required_keys__


@pytest.mark.parametrize("name", KEYWORDS)
def test_a_keyword_that_is_no_field_is_refused_by_the_name_of_the_function(name):
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'nonsense'"):
        getattr(scission, name)(b"", **{"node": "x"} if name == "explain" else {}, nonsense=1)


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_says_what_it_is_for(kind):
    assert all(option.metadata["setting"].help for option in FIELDS[kind].values())
    assert typing.get_origin(kind) is None and dataclasses.fields(kind)
