"""Inspect a model from wherever it comes, with the settings of `scission plan`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ...ir.brief import Several
from ...ir.findings.inspection import Inspected, Inspection
from ...ir.io.load import Source, load
from ...ir.progress import Progress
from ...passes.planning.inspect import inspect_model
from ...passes.planning.settings import PlanSettings
from ..inputs.settings import settings_of
from .options import resolve

__all__ = ["inspect", "inspected"]


def inspect(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[Inspection, ...]:
    """What every linear of a model is like, what blocks and covers would leave of it, and what `plan` does with it.

    provider, batch, sizes, device, progress: as in `plan`. Changes nothing. Raises ModelError when the model cannot be
    read, DeviceError when there is no such device, InputError for sizes of what is not open.
    """
    found = inspected(model, provider=provider, batch=batch, sizes=sizes, device=device, progress=progress)
    return Several(found.rows)


def inspected(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Inspected:
    """The same with the plan that it tells of."""
    loaded = load(model)
    return inspect_model(
        loaded,
        PlanSettings(provider=resolve(provider), batch=batch, threads=os.cpu_count() or 1, device=device),
        sized=settings_of(loaded, batch, sizes),
        progress=progress,
    )
