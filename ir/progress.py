"""How far a long work has come, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress"]

Progress: TypeAlias = Callable[[int, int, str], None]  # (done, total, what is worked on)
