"""The validation stage on the terminal and as JSON: the sweep, and why the model does not decompose where it does
not."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from ...calibrate.level_sweep import Validation
from ...calibrate.metric.metric import Budget
from .decomposability import decomposability_view
from .sweep import sweep_view
from .sweep import to_dict as sweep_dict

__all__ = ["to_dict", "validation_view"]


def validation_view(found: Validation, budget: Budget | None = None, everything: bool = False) -> RenderableType:
    """The table of the sweep, and below it the report of a model that does not decompose."""
    parts = [sweep_view(found.sweep, budget, everything)]
    if found.report is not None:
        parts.append(decomposability_view(found.report, everything))
    return Group(*parts)


def to_dict(found: Validation, budget: Budget | None = None) -> dict[str, Any]:
    """For JSON: the sweep, whether some level decomposes the model, and the report where none does."""
    return {
        **sweep_dict(found.sweep, budget),
        "limit": found.limit,
        "decomposes": found.decomposes,
        "decomposability": found.report.to_dict() if found.report else None,
    }
