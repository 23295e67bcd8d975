"""The error of everything that splits modules, apart from them, so that torch is not needed to name it."""

from __future__ import annotations

from ....ir.errors import ScissionError

__all__ = ["LayerError"]


class LayerError(ScissionError):
    """A module that cannot be split so, or whose optimiser's state cannot be moved."""
