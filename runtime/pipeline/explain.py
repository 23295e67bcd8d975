"""Explain an operator of a model from wherever it comes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ...ir.findings.explanation import Explanation
from ...ir.io.load import Source, load
from ...ir.progress import Progress
from ...passes.planning.explain import explain_node
from ...passes.planning.settings import PlanSettings
from ..inputs.settings import settings_of
from .options import resolve

__all__ = ["explain"]


def explain(
    model: Source,
    node: str,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Explanation:
    """Everything known about one operator: what it is like, what was tried, and what keeps it from falling apart.

    node: as `inspect` names it; provider, batch, sizes, device, progress: as in `plan`. Changes nothing. Raises
    UnknownNodeError, with the nearest names, where there is no such node, ModelError when the model cannot be read.
    """
    loaded = load(model)
    settings = PlanSettings(provider=resolve(provider), batch=batch, threads=os.cpu_count() or 1, device=device)
    return explain_node(loaded, node, settings, sized=settings_of(loaded, batch, sizes), progress=progress)
