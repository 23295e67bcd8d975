"""How long one run of a model may take: asked of the process that waits for this one, which can end it in a kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import typer

from ....ir.supervision.telling import is_supervised, limit
from ...fields import setting

__all__ = ["Patience", "hurried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a command waits for a model."""

    timeout: float | None = setting(
        None, "the longest that running a model once, or opening it, may take (default: any time)", metavar="SECONDS"
    )


def hurried(seconds: float | None) -> float | None:
    """Have this command ended when one run of a model takes longer.

    Raises typer.BadParameter for what is no time, and where nobody waits for this process.
    """
    if seconds is None:
        return None
    if not 0 < seconds < math.inf:
        raise typer.BadParameter("is a number of seconds above 0")
    if not is_supervised():
        raise typer.BadParameter("needs a process that waits for this one, and there is none (SCISSION_IN_PROCESS?)")
    limit(seconds)
    return seconds
