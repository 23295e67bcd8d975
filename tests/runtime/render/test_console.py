import io
import re

import pytest
import rich.text
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table

from scission.ir.printable import printable
from scission.runtime.render.console import Text, console

ESCAPES = re.compile(r"\x1b\[[\d;]*m")  # styles, which are ours
EVIL = "a\x1b[2J\x1b]8;;http://evil\x1b\\\x9b1A\u202e\rb"
ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, *renderables):
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    console().print(*renderables)
    return screen.getvalue()


def table(cell):
    made = Table(cell, title=cell)
    made.add_row(cell)
    return made


@pytest.mark.parametrize("make", [str, Text, rich.text.Text, table, lambda text: Group(text, rich.text.Text(text))])
def test_no_renderable_of_anybody_commands_the_terminal(monkeypatch, make):
    left = ESCAPES.sub("", shown(monkeypatch, make(EVIL)))
    assert "a" in left and all(line.isprintable() for line in left.split("\n"))


def test_markup_and_emoji_are_letters(monkeypatch):
    assert shown(monkeypatch, "[link=http://evil]x[/link] :smile: [red]y") == (
        "[link=http://evil]x[/link] :smile: [red]y\n"
    )


@given(ANY, ANY)
def test_a_text_is_escaped_before_it_is_measured(one, other):
    for text in (Text(one + other), Text(one).append(other), Text.assemble(one, (other, "bold"))):
        assert text.plain == printable(one) + printable(other)
        assert text.cell_len == cell_len(text.plain)


def test_a_style_is_kept(monkeypatch):
    assert "\x1b[31mx" in shown(monkeypatch, Text("x", style="red"))
    assert "\x1b[1my" in shown(monkeypatch, Text.assemble("x", ("y", "bold"), style="red")).replace("1;31", "1")


def test_a_console_that_is_no_terminal_is_wide():
    assert console().width == 160 and not console().is_terminal
    assert isinstance(console(stderr=True), Console) and console(stderr=True).stderr
