"""Words of the command line stand where a command prints them, or beside the words of Python that mean the same."""

import ast
import re

import pytest
from modules import MODULES, tree

PRINTING = ("scission.runtime.cli", "scission.runtime.render.text", "scission.runtime.notes")
TYPED = {"Remedy", "option", "setting", "OptionNote"}  # what has a name for the shell as well
APART = {  # what is no sentence: the shell's side of a Remedy, arguments of another command, what only tables print
    *("scission.runtime.compare.unexercised", "scission.runtime.ort.environment", "scission.runtime.render.words"),
    "scission.runtime.tools.polygraphy_plugin",  # an option of that command
}
FLAG = re.compile(r"(?<![\w-])--[a-z]")


def texts(node):
    """Every text of a tree that is no docstring and stands in no call of what is typed."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in TYPED:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from texts(child)


def test_the_law_sees_what_it_is_for():
    assert list(filter(FLAG.search, texts(ast.parse('f"{x}; --force splits it"')))) == ["; --force splits it"]
    assert not list(filter(FLAG.search, texts(ast.parse('"doc --force"\noption("x", flag="--x")\ny = "a -- b"'))))


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(PRINTING) and name not in APART])
def test_reasons_and_errors_have_no_flags(module):
    assert [text for text in texts(tree(module)) if FLAG.search(text) and not text.startswith("--no-")] == []
