"""Inputs that would end this process, found in another one: some kernels of ONNX Runtime divide by a size that is 0.

A model whose operators are known for that (a Scan over nothing in a batch of two, the least integer divided by -1) is
first run in a process of its own on each random input; what ends that process is an input that the model refuses.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from ...ir.supervision.board import Act
from ...ir.supervision.telling import running
from ..lifeline import end_with
from ..ort.library import SessionError
from ..ort.session import ORT, open_session
from ..ort.trials import Trials

__all__ = ["Canary", "canary_for"]

Feed = dict[str, npt.NDArray[Any]]

FATAL = frozenset({"Scan"})
DIVIDING = frozenset({"Div", "Mod"})  # of integers by what is no constant
LIVES = 24  # processes that may end before every input counts as refused


class Canary:
    """A process that runs inputs before this one does, until it is closed."""

    def __init__(self, paths: Sequence[Path], trials: Trials) -> None:
        self._how = [str(path) for path in paths], trials.provider, trials.threads, [*map(str, trials.custom_ops)]
        self._process: subprocess.Popen[bytes] | None = None
        self._lives = LIVES

    def require_alive(self, feed: Feed) -> None:
        """Raise SessionError for an input that ends a process which runs the models on it."""
        if self._lives and self._survives(feed):
            return
        raise SessionError(f"{self._how[0][0]}: ONNX Runtime ends the whole process on this input")

    def _survives(self, feed: Feed) -> bool:
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        with running(ORT, Act.RUN, self._how[0][0]), suppress(BrokenPipeError):
            pickle.dump(feed, process.stdin)
            process.stdin.flush()
            if process.stdout.read(1):
                return True
        self._lives -= 1
        self.close()
        return False

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        pickle.dump(os.getpid(), self._process.stdin)
        pickle.dump(self._how, self._process.stdin)
        return self._process

    def close(self) -> None:
        """End the process, where one was started."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()


@contextmanager
def canary_for(graph: ir.Model, paths: Sequence[Path], trials: Trials) -> Iterator[Canary | None]:
    """A process to run the inputs of some models in first, where an operator of the first is known to end it."""
    if not paths or not any(map(_may_end, graph.graph.all_nodes())):
        yield None
        return
    with closing(Canary(paths, trials)) as canary:
        yield canary


def _may_end(node: ir.Node) -> bool:
    if node.op_type in DIVIDING and len(node.inputs) > 1:
        divisor = node.inputs[1]
        if divisor is None or divisor.const_value is not None or divisor.dtype is None:
            return False
        return bool(divisor.dtype.is_integer() and divisor.dtype.is_signed())
    return node.op_type in FATAL


def serve() -> None:
    """What the process does: run every input that it is sent, and answer each that it outlives."""
    parent = pickle.load(sys.stdin.buffer)
    end_with(parent)
    paths, provider, threads, libraries = pickle.load(sys.stdin.buffer)
    options: dict[str, Any] = {"provider": provider, "threads": threads, "custom_ops": [*map(Path, libraries)]}
    sessions = [open_session(Path(path), **options) for path in paths]
    while True:
        try:
            feed = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        for session in sessions:
            try:
                session.run(feed)
            except SessionError:
                break  # an ordinary refusal, which the caller meets as well
        sys.stdout.buffer.write(b".")
        sys.stdout.buffer.flush()
