"""What the console script and `python -m scission` call: the command in a process of its own where that can be had.

Nothing but what hears signals is imported before it hears them. SCISSION_IN_PROCESS=1 in the environment runs the
command in this process instead, as debuggers and profilers want it and as it is where there is no `fork`; a crash of
ONNX Runtime is then its end, and a signal waits for the model that runs.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    if hasattr(os, "fork") and not os.environ.get("SCISSION_IN_PROCESS"):
        from .supervise.hearing import Hearing

        hearing = Hearing()
        from .supervise.supervisor import supervise

        if supervise(hearing):
            _run()
            return
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), _exit)  # so that temporary files go
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _run() -> None:
    from ...ir.phase import watching
    from ...ir.supervision.telling import stage
    from .app import main as command

    with watching(stage):
        command()


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)
