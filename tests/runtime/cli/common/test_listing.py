"""Help is read in a narrow terminal: whole sentences, in lines that are long enough."""

import pytest
import typer
from typer.core import TyperGroup

from scission.runtime.cli.app import app

ROOT = typer.main.get_command(app)


def commands(group, path=("scission",)):
    """(words, command) of a group and of all below it."""
    yield path, group
    for name, one in getattr(group, "commands", {}).items():
        yield from commands(one, (*path, name))


ALL = dict(commands(ROOT))


def help_of(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        ROOT([*words[1:], "--help"], prog_name="scission")
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_80_columns_and_leaves_sentences_room(words, capsys, monkeypatch):
    lines = help_of(words, capsys, monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80 and not any(line.startswith(("╭", "│")) for line in lines)
    wrapped = [line for line in lines if line.startswith(" " * 10)]
    assert all(len(line) - len(line.lstrip()) <= 34 for line in wrapped)  # 46 letters are left


@pytest.mark.parametrize("words", [words for words, one in ALL.items() if isinstance(one, TyperGroup)], ids=" ".join)
def test_each_command_is_listed_with_its_whole_sentence(words, capsys, monkeypatch):
    told = " ".join(help_of(words, capsys, monkeypatch).split())
    for name, one in ALL[words].commands.items():
        sentence = " ".join(one.help.partition("\n\n")[0].split()).removesuffix(".")
        assert f"{name} {sentence}" in told, name


def test_without_a_command_the_help_is_shown(monkeypatch, scission_cli):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = scission_cli("")
    assert (status, err) == (2, "") and out == scission_cli("--help")[1]
