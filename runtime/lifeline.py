"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["end_with"]

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def end_with(parent: int, line: int | None = None) -> None:
    """Have this process killed when its parent ends, which nothing in it can delay.

    line: a pipe that nobody but the parent can write to, for kernels that do not kill by themselves; without it they
    let this process live.
    """
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it ended before
            _end()
    elif line is not None:
        import threading

        threading.Thread(target=_listen, args=(line,), daemon=True).start()


def _listen(line: int) -> None:
    """Wait until nobody can write any more, in a thread of its own: kernels of ONNX Runtime let others run."""
    while os.read(line, 1):
        pass
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
