import ast
import pickle
import re
import tomllib

import pytest
from modules import MODULES, ROOT, tree

from scission.ir.errors import INSPECT, ModelError, Remedy, ScissionError, option

COMMAND_LINE = "scission.runtime.cli"


def words_raised(module):
    """(line, text) of every text in a `raise`, what a Remedy or an option says of itself left out."""
    for node in ast.walk(tree(module)):
        if not isinstance(node, ast.Raise) or node.exc is None:
            continue
        own = {
            id(inner)
            for call in ast.walk(node.exc)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Remedy", "option")
            for inner in ast.walk(call)
        }
        for part in ast.walk(node.exc):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in own:
                yield part.lineno, part.value


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith((COMMAND_LINE, "scission.models"))])
def test_errors_name_options_so_that_python_and_the_command_line_can_both_be_told(module):
    """`option("overwrite", True)` instead of "--overwrite", `Remedy(python, shell)` instead of "`scission inspect`"."""
    typed = [(line, text) for line, text in words_raised(module) if " --" in f" {text}" or "`scission " in text]
    assert typed == []


def test_an_error_in_both_tongues():
    error = ModelError("x: exists; add ", option("overwrite", True), " or see ", INSPECT)
    assert str(error) == "x: exists; add overwrite=True or see `scission.inspect`"
    assert error.for_shell == "x: exists; add --overwrite or see `scission inspect --all`"
    outer = ScissionError("plan: ", *error.parts)
    assert outer.for_shell == f"plan: {error.for_shell}" and str(outer) == f"plan: {error}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("remedy", "python", "shell"),
    [
        (option("sizes", flag="--size"), "sizes=…", "--size"),
        (option("provider", "cpu"), "provider='cpu'", "--provider cpu"),
        (option("drop_residual", True), "drop_residual=True", "--drop-residual"),
        (Remedy("a", "b"), "a", "b"),
    ],
)
def test_remedies(remedy, python, shell):
    assert (str(remedy), remedy.shell) == (python, shell)


def hints():
    """Every `pip install …` that the package prints, up to the first word that is none of a package."""
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"pip install ((?:[\w.\[\]-]+ ?)+)", node.value)


def test_what_a_message_tells_to_install_can_be_installed():
    """By names of packages, since this one need not come from an index; an extra has to exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [requirement for some in project["optional-dependencies"].values() for requirement in some]
    known = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in (*told, *project["dependencies"])}
    found = {name for hint in hints() for name in hint.split()}
    extras = {f"scission[{name}]" for name in project["optional-dependencies"]}
    assert found and found <= (known - {"scission"}) | {"safetensors", "tensorboard"} | extras
