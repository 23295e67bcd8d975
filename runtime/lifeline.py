"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["end_with"]

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, which nothing in it can delay; where the kernel can do that."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)
