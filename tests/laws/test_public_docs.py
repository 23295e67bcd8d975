"""What a public docstring names in backticks is there for its reader: public, a parameter, a field, or a command."""

import builtins
import inspect
import re

import pytest

import scission
from scission.runtime.cli.app import COMMANDS

NAMES = sorted(name for name in scission.__all__ if callable(getattr(scission, name)))
SHELL = {command.__name__ for command in COMMANDS} | {"cache"}


def documented(name):
    """The docstrings of a public function, or of a class and its public methods, and who owns each."""
    owner = getattr(scission, name)
    yield owner, owner.__doc__ or ""
    for key, member in vars(owner).items() if inspect.isclass(owner) else ():
        member = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not key.startswith("_") and inspect.isfunction(member):
            yield member, member.__doc__ or ""


def reachable(root, path):
    for part in path.split("."):
        fields = getattr(root, "__dataclass_fields__", {})
        if not hasattr(root, part) and part not in fields:
            return False
        root = getattr(root, part, None)
    return True


def is_there(text, name, owner):
    word = text.split("(")[0].removeprefix("scission.")
    if text.startswith("scission "):
        return text.split()[1] in SHELL
    parameters = inspect.signature(owner).parameters if inspect.isfunction(owner) else {}
    kind = getattr(scission, name)
    public = word.split(".")[0] in scission.__all__ and reachable(scission, word)
    own = inspect.isclass(kind) and (reachable(kind, word) or re.search(rf"self\.{word} = ", inspect.getsource(kind)))
    return public or own or word in parameters or hasattr(builtins, word)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_is_there(name):
    hidden = {
        text
        for owner, told in documented(name)
        for text in re.findall(r"`([^`\n]+)`", told)
        if not is_there(text, name, owner)
    }
    assert hidden == set()


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(scission, name))])
def test_every_parameter_is_told_of(name):
    function = getattr(scission, name)
    told = function.__doc__
    own = set(inspect.signature(inspect.unwrap(function)).parameters) - {"single", "keywords"}
    plain = {"model", "a", "b", "original", "changed", "output", "weight", "source", "plan", "data"}
    assert {one for one in own - plain if not re.search(rf"\b{one}\b", told)} == set()
    assert "Raises" in told and "single" not in re.findall(r"\w+", told)
