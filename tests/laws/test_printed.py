"""What is printed goes through one place, which lets nothing through that commands a terminal."""

import ast

import pytest
from modules import MODULES, tree

SAY, CONSOLE = "scission.runtime.say", "scission.runtime.render.console"
CALLS = {  # that print, and where they may stand
    "print": (),
    "echo": (SAY,),
    "secho": (),
    "print_exc": (),
    "print_exception": (),
    "print_stack": (),
    "Console": (),
    "_Printing": (CONSOLE,),
}
WRITES = ("scission.runtime.cli.supervise.supervisor",)  # before anything is imported; it says what `sentences` make
IMPORTS = {"rich.text": (CONSOLE,), "rich.markup": (), "pprint": (), "getpass": ()}  # the same of what they import
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def printing(tree, name=""):
    """(line, what is wrong) of everything that prints past the two."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of_view = called == "print" and isinstance(node.func, ast.Attribute)  # of a console, which only one makes
            if called in CALLS and name not in CALLS[called] and not of_view:
                yield node.lineno, called
            if (
                called in ("write", "writelines")
                and streams(node.func)
                and not all(map(constant, node.args))
                and name not in WRITES
            ):
                yield node.lineno, "write"
        if isinstance(node, ast.Import):
            yield from ((node.lineno, one.name) for one in node.names if name not in IMPORTS.get(one.name, (name,)))
        if isinstance(node, ast.ImportFrom) and not node.level and name not in IMPORTS.get(node.module, (name,)):
            yield node.lineno, node.module


def streams(node):
    return any(isinstance(one, ast.Attribute) and one.attr in STREAMS for one in ast.walk(node))


def constant(node):
    return isinstance(node, ast.Constant)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_printed_past_the_one_place(name):
    assert list(printing(tree(name), name)) == []


@pytest.mark.parametrize(
    "line",
    [
        *("print(name)", "typer.echo(name)", "click.secho(name)", "traceback.print_exc()", "Console().line()"),
        *(
            "sys.stderr.write(name)",
            "sys.stdout.buffer.write(name)",
            "from rich.text import Text",
            "import rich.markup",
        ),
    ],
)
def test_the_law_sees_what_it_is_about(line):
    assert len(list(printing(ast.parse(line)))) == 1


def test_what_is_fine_is_left_alone():
    for line in ("console().print(view)", "file.write(name)", 'sys.stdout.buffer.write(b".")', "echo = 1"):
        assert list(printing(ast.parse(line))) == []
