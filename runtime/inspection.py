"""Inspect a model from wherever it comes, with the settings of `scission plan`."""

from __future__ import annotations

import os

from ..ir.brief import Several
from ..ir.inspection import Inspected, Inspection
from ..ir.model import Source, load
from ..passes.inspection import inspect_model
from ..passes.planner import Progress
from .pipeline import resolve

__all__ = ["inspect", "inspected"]


def inspect(
    model: Source, *, provider: str = "auto", device: str = "auto", progress: Progress | None = None
) -> tuple[Inspection, ...]:
    """What every linear of a model is like, what blocks and covers would leave of it, and what `plan` does with it.

    provider, device, progress: as in `plan`. Changes nothing. Raises ModelError when the model cannot be read,
    DeviceError when there is no such device.
    """
    return Several(inspected(model, provider=provider, device=device, progress=progress).rows)


def inspected(
    model: Source, *, provider: str = "auto", device: str = "auto", progress: Progress | None = None
) -> Inspected:
    """The same with the plan that it tells of."""
    return inspect_model(
        load(model), provider=resolve(provider), threads=os.cpu_count() or 1, device=device, progress=progress
    )
