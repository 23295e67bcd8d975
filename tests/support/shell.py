"""What tests of the command line type, who runs it, and the model that they type it about."""

import sys

import numpy as np
import oracles

from scission.models.matrix import weight
from scission.runtime.cli import app

W, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
FAST = "--provider cpu --threads 1"
FORCE = f"{FAST} --force --no-bench"


def model_of(matrix, name="MatMul[0]"):
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": name})]
    return oracles.graph(nodes, {"x": ["m", 48]}, {"y": ["m", 48]}, {"W": matrix})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def typed(monkeypatch, capfd):
    """Who runs a command line in this process: line -> (exit status, stdout, stderr)."""

    def call(line):
        monkeypatch.setattr(sys, "argv", ["scission", *line.split()])
        status = 0
        try:
            app.main()
        except SystemExit as exit_:
            status = exit_.code or 0
        return status, *capfd.readouterr()

    return call
