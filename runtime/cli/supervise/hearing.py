"""Signals that a waiting process hears one after another instead of being interrupted by them."""

from __future__ import annotations

import os
import signal

__all__ = ["Hearing"]

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)  # what ends a command


class Hearing:
    """Hears signals from when it is made until it is closed; those that are ignored already stay so, as `nohup` wants.

    handle: can be read without waiting, and holds the number of each signal that came.
    """

    def __init__(self) -> None:
        self.handle, self._told = os.pipe()
        for end in (self.handle, self._told):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._told, warn_on_full_buffer=False)
        self.ending = tuple(one for one in ENDING if signal.getsignal(one) is not signal.SIG_IGN)
        for one in (*self.ending, signal.SIGCHLD):
            signal.signal(one, _nothing)

    def heard(self) -> bytes:
        """The numbers of the signals that came since this was asked."""
        try:
            return os.read(self.handle, 1 << 12)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Hear no more: each signal ends the process where it stands, whatever that does."""
        signal.set_wakeup_fd(-1)
        for one in (*self.ending, signal.SIGCHLD):
            signal.signal(one, signal.SIG_DFL)
        os.close(self.handle)
        os.close(self._told)


def _nothing(*_: object) -> None:
    pass
