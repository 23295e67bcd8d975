"""The one root of every error that scission raises on purpose."""

from __future__ import annotations

__all__ = ["ScissionError"]


class ScissionError(ValueError):
    """Bad input or a failed check; the message names the file and the node and says what to do."""
