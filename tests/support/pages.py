"""Pages of the site, and who runs the code on them: blocks of one page one behind the other, in one folder."""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import onnx
import typer
from annealable import network
from modules import ROOT
from onnx import numpy_helper

import scission
from scission.models.matrices import toeplitz
from scission.models.planted import ffn
from scission.runtime.cli.app import app, main

DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = {"", "text", "toml", "yaml", "json", "pycon", "diff"}  # what is printed, or belongs into a file; not run
TIMED = {"optimize", "bench", "report"}  # which measure for as long as --seconds says
EXTRA = ("olive",)  # packages that are not among those that tests need: their blocks run where they are
PORT = "8000"


def blocks(text):
    """(language, code) of every fenced block of a page."""
    return FENCE.findall(text)


def lines(code):
    """The commands of a block for a shell, each with the exit statuses that its comment names."""
    for line in code.replace("\\\n", " ").splitlines():
        words, _, comment = line.partition("  # " if "  # " in line else "    #")
        named = re.search(r"exit status (\d+)(?: or (\d+))?", comment)
        if words.strip() and not words.startswith("#"):
            yield words.strip(), {int(one) for one in named.groups() if one} if named else {0}


def make(name, folder, d=64):
    """A file that a page takes for granted, of models d features wide."""
    path, rng = folder / name, np.random.default_rng(0)
    if name in ("model.onnx", "before.onnx"):
        onnx.save(ffn.build(rng, d=d, hidden=4 * d, blocks=4).model, path)
    elif name == "after.onnx":
        model = ffn.build(rng, d=d, hidden=4 * d, blocks=4).model
        onnx.save(scission.apply(model, scission.plan(model, force=True)), path)
    elif name == "trained.onnx":
        onnx.save(network(rng, (64, 96, 64))[0], path)
    elif name.endswith(".npz"):
        np.savez(path, x=rng.standard_normal((256, 64)).astype(np.float32))
    elif name == "y.npy":
        model = onnx.load(folder / "trained.onnx")
        W0, W1 = (numpy_helper.to_array(one) for one in model.graph.initializer)
        np.save(path, (np.maximum(np.load(folder / "calib.npz")["x"] @ W0, 0) @ W1).argmax(1))
    elif name == "filter.npy":
        np.save(path, toeplitz.weight(rng, size=64, taps=5, shuffle=True))
    elif name == "recurrent.npy":
        np.save(path, np.kron(np.eye(4), np.tril(rng.standard_normal((8, 8)))))
    else:
        path.write_text("".join(f'{{"at": {at / 100}, "parts": ["part{at % 4}"]}}\n' for at in range(50)))


GIVEN = ("model.onnx", "before.onnx", "after.onnx", "trained.onnx", "calib.npz", "data.npz", "y.npy", "filter.npy")
GIVEN += ("recurrent.npy", "log.jsonl")


@dataclass
class Reader:
    """Who reads one page from its beginning and does all that it says."""

    folder: Path
    d: int = 64
    names: dict = field(default_factory=lambda: {"__name__": "page"})
    port: str = PORT
    server: subprocess.Popen | None = None
    printed: list = field(default_factory=list)

    def read(self, text):
        for name in GIVEN:
            if re.search(rf"(?<![\w.]){re.escape(name)}", text):
                make(name, self.folder, self.d)
        try:
            for language, code in blocks(text):
                self.run(language, code)
        finally:
            self.stop()

    def run(self, language, code):
        if language == "python":
            block = compile(code.replace(PORT, self.port), "a block of Python", "exec")
            if all(importlib.util.find_spec(name) for name in EXTRA if f"import {name}\n" in code):
                exec(block, self.names)
        elif language == "bash":
            self.shell(["bash", "-euc", code], {0})
        elif language == "sh":
            for line, status in lines(code):
                self.line(line, status)
        else:
            assert language in SHOWN, f"a block of `{language}` is neither run nor known to be shown"

    def line(self, line, status):
        first, *words = line.split()
        if line.startswith("scission serve") or line == "scission top":
            self.serve(line) if words[0] == "serve" else self.shell(self.tool(f"{line} {self.port}"), {0})
        elif first == "scission" and "--timeout" not in words:
            self.command(line, status)
        elif first == "polygraphy" and not entry_points(group="polygraphy.run.plugins", name="scission"):
            return  # nothing is installed here that it could find: a checkout on the path
        elif first == "pip":
            assert_extras(line)
        elif first == "make":
            assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        else:
            self.shell(self.tool(line), status)

    def command(self, line, status):
        """A command of ours, in this process; where it needs what is not here it is only looked at."""
        line, _, target = line.partition(" > ")
        words = shlex.split(line)[1:]
        looked_at(words)
        if "cuda" in words:
            return
        if words[0] in TIMED and "--seconds" not in words:
            words += ["--seconds", "0.1"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            got = called(words)
        self.printed.append(out.getvalue())
        assert got in status, f"{line}: exit status {got}\n{out.getvalue()}{err.getvalue()}"
        if target:
            (self.folder / target.strip()).write_text(out.getvalue())

    def tool(self, line):
        """The words of a command of this environment, in a process of its own."""
        first, *words = shlex.split(line)
        if first == "polygraphy":  # which is no module that can be run
            return [sys.executable, "-c", "import sys; from polygraphy.tools import main; sys.exit(main())", *words]
        return [str(Path(sys.executable).parent / first), *words]

    def shell(self, words, status):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}  # where an editable installation names its plug-ins
        done = subprocess.run(words, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode in status, f"{words}\n{done.stdout}{done.stderr}"

    def serve(self, line):
        """A server that answers for the rest of the page, or until the next one."""
        words = shlex.split(line.partition(" 2> ")[0])[1:]
        looked_at(words)
        if "--ray" in words:
            return
        self.stop()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        words = [*words, *([] if "--port" in words else ["--port", PORT])]
        words = [self.port if word == PORT else word for word in words]
        with (self.folder / "served.log").open("wb") as log:
            command = [sys.executable, "-m", "scission", *words]
            self.server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        until = time.monotonic() + 120
        while not answers(self.port):
            told = (self.folder / "served.log").read_text(encoding="utf-8")
            assert self.server.poll() is None and time.monotonic() < until, f"{line}: does not answer\n{told}"
            time.sleep(0.05)

    def stop(self):
        if self.server is not None:
            server, self.server = self.server, None
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) in (0, 128 + signal.SIGTERM), (self.folder / "served.log").read_text()


def answers(port):
    """Whether a server is ready there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def looked_at(words):
    """Whether the command of a line is there, its arguments and options too, with values that they may have."""
    command, words = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("page", words)


def called(words):
    """The exit status of a command of ours."""
    before, sys.argv = sys.argv, ["scission", *words]
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv = before
    return 0


def assert_extras(line):
    """Whether what a page tells to install has these extras."""
    import tomllib

    there = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extras in re.findall(r"(?:scission|\.)\[([\w,]+)\]", line):
        assert set(extras.split(",")) <= set(there), line
