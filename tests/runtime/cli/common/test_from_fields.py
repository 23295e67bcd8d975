from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from scission.runtime.cli.common.from_fields import group, takes
from scission.runtime.fields import setting
from scission.runtime.ort.trials import Trials


@dataclass(frozen=True, kw_only=True)
class Digging:
    """A place."""

    depth: int = setting(2, "how deep", least=1)
    tool: str = setting("spade", "with what", choices=("spade", "hand"))
    wet: bool = setting(True, "whether in rain")
    sizes: Mapping[str, int] | None = setting(None, "of what", flags=("--size",), metavar="NAME=N")


@dataclass(frozen=True, kw_only=True)
class Filling:
    """The same place."""

    depth: int = setting(9, "how high")


@pytest.fixture
def run():
    """Run a command that takes both; returns what it was called with, or the output of a wrong use."""
    called = []

    @takes(dig=group(Digging, depth=3), fill=group(Filling))
    def work(place: str, often: int = 1, *, dig: Digging, fill: Filling) -> None:
        called.append((place, often, dig, fill))

    app = typer.Typer()
    app.command()(work)

    def call(line):
        called.clear()
        found = CliRunner().invoke(app, line.split(), env={"TERM": "dumb", "COLUMNS": "200"})
        return called[0] if called else found.output

    return call


def test_fields_are_options_and_come_back_as_values(run):
    assert run("here") == ("here", 1, Digging(depth=3), Filling(depth=3))
    dug = Digging(depth=5, tool="hand", wet=False, sizes={"m": 2})
    assert run("here --depth 5 --tool hand --no-wet --size m=2 --often 7") == ("here", 7, dug, Filling(depth=5))


@pytest.mark.parametrize(
    ("line", "word"), [("--depth 0", "depth"), ("--tool fork", "'fork' is none of spade, hand"), ("--size m", "NAME=N")]
)
def test_what_a_field_does_not_allow_is_refused(run, line, word):
    assert word in run(f"here {line}")


def test_help_is_that_of_the_fields(run):
    told = run("--help")
    assert all(word in told for word in ("how deep", "with what", "--wet", "--no-wet", "NAME=N", "default: 3"))
    assert "how high" not in told  # an option that two groups know is the first one's


def test_some_fields_of_options():
    names = [option.name for option in group(Trials, only=("seed", "rtol", "threads"), without=("rtol",)).options]
    assert names == ["threads", "seed"]
