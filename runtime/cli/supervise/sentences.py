"""What is said of a process that did not end by itself, in one line each."""

from __future__ import annotations

import signal

from ....ir.printable import printable
from ....ir.supervision.board import Running

__all__ = ["crashed", "taking_long", "too_late"]

BECAUSE: dict[int, str] = {  # what a signal most likely means, and what helps
    signal.SIGKILL: "most likely for want of memory: free some, or run it at smaller sizes",
    signal.SIGBUS: "most likely a file was cut short while it was read: leave files as they are meanwhile",
    signal.SIGXCPU: "the processor time that it may take was used up",
}
OTHERWISE = "another version of onnxruntime may do it"
OURSELVES = "please report this, with the model where you can"


def crashed(number: int, what: Running | None, stage: str) -> str:
    """A process was ended by a signal; what: what ran then, None where no model did; stage: of the work, or empty."""
    name = _name(number)
    why = BECAUSE.get(number)
    if what is not None:
        verb = "was killed" if number == signal.SIGKILL else "crashed"
        told = f"{what.who} {verb} ({name}) while it {what.act.value[0]} {printable(what.model)}; nothing was written"
        return f"error: {told}; {why or OTHERWISE}"
    during = f" during: {printable(stage)}" if stage else ""
    return f"error: the command was ended by {name}{during}; {why or OURSELVES}"


def too_late(what: Running | None, allowed: float) -> str:
    """One run of a model took longer than it may."""
    told = f"{what.who} {what.act.value[0]} {printable(what.model)}" if what else "a model ran"
    return f"error: {told} for more than {allowed:g} s, which --timeout allows; nothing was written"


def taking_long(what: Running | None, seconds: float) -> str:
    """One run of a model takes long."""
    told = f"{what.who} has been {what.act.value[1]} {printable(what.model)}" if what else "a model has been running"
    return f"note: {told} for {seconds:.0f} s; --timeout SECONDS ends a run that takes longer"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those without a name
        return f"signal {number}"
