"""What a public function raises, takes or returns can be imported from `scission`."""

import ast
import builtins
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys

import pytest
from modules import MODULES, tree

import scission

FUNCTIONS = sorted(name for name in scission.__all__ if inspect.isfunction(getattr(scission, name)))
CLASSES = {n.name for module in MODULES for n in tree(module).body if isinstance(n, ast.ClassDef)}
# Results that are made of other results, which are looked at by themselves.
COMPOSED = ("Plan", "Result", "Validation")


def errors():
    """Every class of the package that is a ScissionError, by the classes that each names as its bases."""
    bases = {
        n.name: {ast.unparse(base) for base in n.bases}
        for module in MODULES
        for n in tree(module).body
        if isinstance(n, ast.ClassDef)
    }
    found = {"ScissionError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return {name for name in found if not name.startswith("_")}


def named(annotation):
    """The classes of the package that an annotation names."""
    return set(re.findall(r"\w+", str(annotation))) & CLASSES


def test_every_error_can_be_caught_by_its_name():
    assert len(errors()) > 30 and errors() <= set(scission.__all__)
    assert all(issubclass(getattr(scission, name), scission.ScissionError) for name in errors())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_docstring_says_is_raised_is_public(name):
    told = set(re.findall(r"\b[A-Z]\w*Error\b", getattr(scission, name).__doc__))
    assert told <= set(scission.__all__) | set(vars(builtins))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_is_public(name):
    returned = inspect.unwrap(getattr(scission, name)).__annotations__["return"]
    assert named(returned) <= set(scission.__all__)


@pytest.mark.parametrize("name", COMPOSED)
def test_what_a_composed_result_holds_is_public(name):
    held = {kind for each in dataclasses.fields(getattr(scission, name)) for kind in named(each.type)}
    assert held and held <= set(scission.__all__)


def test_types_are_told_of_every_name():
    """What a type checker reads is what is imported when a name is used."""
    source = ast.parse(inspect.getsource(scission))
    (checked,) = (n for n in source.body if isinstance(n, ast.If))
    told = {alias.asname: n.module for n in checked.body if n.level for alias in n.names}
    assert told == scission._HOMES


def test_the_door_of_torch_opens_to_what_it_says():
    """Its names can be had, and errors are the same by either door."""
    pytest.importorskip("torch")
    door = importlib.import_module("scission.torch")
    assert all(getattr(door, name).__doc__ for name in door.__all__)
    assert {name for name in door.__all__ if name.endswith("Error")} <= set(scission.__all__)


def test_the_door_of_torch_says_what_it_lacks():
    code = (
        "import importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)\n"
        "import scission.torch"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "install scission[torch]" in done.stderr.splitlines()[-1]
