"""The process that waits for the one in which a command runs.

It forks before anything is imported, which costs a millisecond, and does nothing but wait: a signal reaches it at once,
whatever the other one is at, and a crash of ONNX Runtime is a line of its own. What runs has no handlers, so a signal
ends it inside of a kernel as well as between two lines of Python; its temporary folders are removed here.

    entry ──► Hearing ──► fork ─┬─► imports, the command ──► ends ─┐
                                └─► waits ◄────────────────────────┴──► exit status
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

from ....ir.supervision.board import Board
from ....ir.supervision.telling import left, serve
from ...lifeline import end_with
from .hearing import Hearing

__all__ = ["supervise"]

LOOK = 0.5  # seconds between two looks at the board
GRACE = 0.5  # seconds for what must not be left half done
STOPPED = 4 * LOOK  # seconds without a look in which nobody ran: as after Ctrl-Z, which stops both processes
PATIENCE = 10.0  # seconds of one run after which it is told that it takes long
QUIET = {"-q", "--quiet"}
CLEAN = "\r\x1b[K\x1b[?25h"  # ends a progress bar on a terminal: a line without it, a cursor that is seen


def supervise(hearing: Hearing) -> bool:
    """Fork: True in a process in which the command is to run, False where there can be no second one.

    The first process does not return: it exits with the status of the other when that ends.
    """
    board, parent = Board(), os.getpid()
    told, telling = os.pipe()
    line, held = os.pipe()  # nobody writes there; it is closed when this process ends
    try:
        child = os.fork()
    except OSError:
        hearing.close()
        if signal.SIGINT in hearing.ending:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # the command runs here, and leaves nothing
        return False
    if child:
        os.close(telling)
        os._exit(_Supervisor(child, board, hearing, told).status())
    os.close(told)
    os.close(held)
    hearing.close()
    end_with(parent, line)
    serve(board, telling)
    return True


class _Supervisor:
    """Waits for a process until that ends."""

    def __init__(self, child: int, board: Board, hearing: Hearing, told: int) -> None:
        self.child, self.board, self.hearing, self.told = child, board, hearing, told
        self.entries = b""
        self.heard = 0  # the first signal that was to end the command
        self.late = False  # whether it took longer than it was allowed to
        self.noted = bool(QUIET & set(sys.argv))
        self.kill_at: float | None = None
        self.looked = time.monotonic()
        self.run: float | None = None  # the moment at which the run began that is looked at, and
        self.stopped = 0.0  # the seconds of it in which this process was stopped
        os.set_blocking(told, False)

    def status(self) -> int:
        """The exit status, once the other process has ended and nothing of it is left."""
        _sweep()
        pid = 0
        while not pid:
            self._wait()
            for number in self.hearing.heard():
                if number in self.hearing.ending:
                    self.heard = self.heard or number
                    self._end(number)
            self._look(time.monotonic())
            pid, ended = os.waitpid(self.child, os.WNOHANG)
        self._read()
        _remove(left(self.entries))
        return self._ending(os.waitstatus_to_exitcode(ended))

    def _wait(self) -> None:
        """Until a signal comes, the other tells something, or it is time to look."""
        pause = min(LOOK, self.board.limit / 4 or LOOK)
        if self.kill_at is not None:
            pause = min(pause, max(self.kill_at - time.monotonic(), 0.0))
        handles = [self.hearing.handle] + ([self.told] if self.told >= 0 else [])
        poll = select.poll()  # any number of a handle, unlike select
        for handle in handles:
            poll.register(handle, select.POLLIN)
        if any(handle == self.told for handle, _ in poll.poll(pause * 1000)):
            self._read()

    def _read(self) -> None:
        """Everything that the other has told."""
        while self.told >= 0:
            try:
                data = os.read(self.told, 1 << 16)
            except BlockingIOError:
                return
            self.entries += data
            if not data:
                os.close(self.told)
                self.told = -1

    def _end(self, number: int) -> None:
        os.kill(self.child, number)
        if self.kill_at is None:
            self.kill_at = time.monotonic() + max(GRACE, self.board.grace)

    def _look(self, now: float) -> None:
        """Kill what does not end, end what takes longer than it may, tell what takes long."""
        if self.kill_at is not None:
            if now >= self.kill_at:
                os.kill(self.child, signal.SIGKILL)
            return
        took, allowed = self._took(now), self.board.limit
        if took is None:
            return
        if allowed and took > allowed:
            self.late = True
            self._end(signal.SIGTERM)
        elif not self.noted and not allowed and took > PATIENCE:
            from .sentences import taking_long

            self.noted = True
            say(taking_long(self.board.running(), took))

    def _took(self, now: float) -> float | None:
        """The seconds of the run of a model until now, without those in which both processes were stopped."""
        since, gap = self.board.since(), now - self.looked
        self.looked = now
        if since != self.run:
            self.run, self.stopped = since, 0.0
        if since is None:
            return None
        if gap > STOPPED:
            self.stopped += min(gap, now - since)
        return now - since - self.stopped

    def _ending(self, code: int) -> int:
        """The exit status for how the other process ended; what it could not say itself is said."""
        if self.late and not self.heard:
            from .sentences import too_late

            say(too_late(self.board.running(), self.board.limit))
            return 2
        if self.heard or -code in self.hearing.ending:
            say("")
            return 128 + (self.heard or -code)
        if code == -signal.SIGPIPE:  # whoever reads has seen enough
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        if code < 0:
            from .sentences import crashed

            say(crashed(-code, self.board.running() if self.board.since() else None, self.board.stage))
            return 2
        return code


def _sweep() -> None:
    """Remove what killed commands left in the system's folder for temporary files; mostly there is nothing."""
    place = next((os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), "/tmp")
    try:
        names = os.listdir(place)  # noqa: PTH208 - paths are not imported yet
    except OSError:
        return
    if any(name.startswith("scission-") for name in names):
        from ....ir.staging.folder import sweep

        sweep(place)


def _remove(folders: Sequence[str]) -> None:
    """Remove temporary folders whose process has ended."""
    if folders:
        from ....ir.staging.folder import remove

        for folder in folders:
            remove(folder)


def say(line: str) -> None:
    """Print a line on stderr, and clean a terminal that the other process left as it was."""
    try:
        if sys.stderr is not None:
            sys.stderr.write((CLEAN if sys.stderr.isatty() else "") + (f"{line}\n" if line else ""))
            sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody hears it
