"""Parts that run somewhere else: their results come later, and those of one request are waited for together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from ..ort.library import Foreign
from .part_runs import PartRun
from .windows import Window

__all__ = ["Awaited", "Runs"]


class Awaited(Protocol):
    """Results on their way."""

    def wait(self) -> tuple[Mapping[str, npt.NDArray[Any]], float]:
        """They, once they are there, and the seconds that the part took. Raises SessionError where it refuses."""


class Runs(Protocol):
    """How a part is called: a session of this process, or replicas elsewhere."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def reads(self) -> tuple[Window, ...]:
        """Where what it reads lies in the whole."""

    @property
    def writes(self) -> tuple[Window, ...]:
        """Where what it writes lies in the whole."""

    def run(self, fed: Mapping[str, npt.NDArray[Any]], how: Foreign) -> PartRun | Awaited:
        """What it makes of these inputs, or where it is waited for. Raises SessionError for what does not suit it."""
