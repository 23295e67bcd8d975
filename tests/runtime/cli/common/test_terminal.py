import io
import re
import sys

import numpy as np
import onnx
import pytest
import rich.progress
from annealable import network
from inspection_examples import three_of
from rich.text import Text

import scission
from scission.ir.phase import phase
from scission.runtime.cli import app as cli
from scission.runtime.cli.common import terminal
from scission.runtime.render.console import console

FAST = "--provider cpu --threads 1"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def stderr(monkeypatch):
    """A terminal in the place of stderr, on which a bar appears at once; no fixture: pytest sets stderr after those."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(terminal, "MOMENT", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    update = rich.progress.Progress.update
    monkeypatch.setattr(rich.progress.Progress, "update", lambda *args, **given: update(*args, refresh=True, **given))
    return screen


def test_a_bar_names_the_phase_and_counts_what_is_done(monkeypatch):
    screen = stderr(monkeypatch)
    with terminal.progress_bar(quiet=False) as progress:
        with phase("sweep"):
            progress(1, 4, "level [0.1]")
            with phase("anneal"):
                pass
        progress(3, 4, "end")
    shown = screen.getvalue()
    for words in ("sweep", "level [0.1]", "level [0.1]: anneal", "end", "25%", "75%"):
        assert words in shown
    assert shown.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # it is gone at the end


def test_what_takes_a_moment_shows_nothing(monkeypatch):
    screen = stderr(monkeypatch)
    monkeypatch.setattr(terminal, "MOMENT", 60.0)
    with terminal.progress_bar(quiet=False) as progress:
        progress(1, 4, "node")
    assert "node" not in screen.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_no_bar_without_a_terminal_or_when_quiet(quiet, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal() if quiet else io.StringIO())
    with terminal.progress_bar(quiet) as progress, phase("plan"):
        assert progress is None
    assert sys.stderr.getvalue() == ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("terminal")
    model = three_of()
    plan = scission.plan(model, force=True, provider="cpu")
    onnx.save(model, home / "in.onnx")
    onnx.save(scission.apply(model, plan), home / "split.onnx")
    rng = np.random.default_rng(0)
    onnx.save(network(rng, (32, 32), signal=8.0)[0], home / "noisy.onnx")
    np.savez(home / "calib.npz", x=rng.standard_normal((8, 32)).astype(np.float32))
    (home / "plan.json").write_text(plan.dumps())
    return home


COMMANDS = {  # and the phases that their bar tells of
    f"plan in.onnx {FAST}": ("load", "plan: weights", "layer.0"),
    "inspect in.onnx --provider cpu": ("load", "plan: weights", "layer.1"),
    "explain in.onnx layer.1 --provider cpu": ("plan: weights", "explain"),
    f"optimize in.onnx new.onnx --overwrite --force --seconds 0.01 --rows 1 {FAST}": (
        *("plan: weights", "rewrite", "write", "check", "trial 1", "bench", "size 1 of 1"),
    ),
    "apply in.onnx plan.json new.onnx --overwrite": ("rewrite", "write"),
    f"check in.onnx split.onnx {FAST}": ("check", "trial 1"),
    f"bench in.onnx split.onnx --seconds 0.01 --rows 1 {FAST}": ("bench", "size 1 of 1"),
    "structure in.onnx:layer.0": ("structure",),
    "sweep noisy.onnx --data calib.npz --no-explain": ("sweep", "level 0.05", "anneal"),
    "cover in.onnx:layer.1": ("cover",),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_tells_how_far_it_is_and_nothing_when_quiet(line, folder, monkeypatch):
    screen = stderr(monkeypatch)
    monkeypatch.chdir(folder)

    def call(more):
        monkeypatch.setattr(sys, "argv", ["scission", *line.split(), *more])
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code
        shown = screen.getvalue()
        screen.seek(0)
        screen.truncate()
        return shown

    shown = call(["--verbose"])
    for words in COMMANDS[line]:
        assert words.rpartition(": ")[2] in shown
    assert re.search(r"scission: .*\d s\n", shown)
    assert call(["--quiet"]) == ""


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(environment, coloured, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    console().print(Text("red", style="red"))
    assert ("\x1b[31m" in sys.stdout.getvalue()) is coloured
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    console().print(Text("red", style="bold red"))
    assert sys.stdout.getvalue() == "red\n"
