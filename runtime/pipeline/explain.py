"""Explain an operator of a model from wherever it comes."""

from __future__ import annotations

from typing import Unpack

from ...ir.findings.explanation import Explanation
from ...ir.io.load import Source
from ...ir.progress import Progress
from ...passes.explain.explain import explain_node
from ..fields import chosen, keywords
from ..ort.trials import Trials
from .destination import load_with
from .options import PlanKeywords, PlanOptions, agreed, with_inputs_of

__all__ = ["explain"]


@keywords(PlanOptions)
def explain(
    model: Source,
    node: str,
    options: PlanOptions | None = None,
    *,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[PlanKeywords],
) -> Explanation:
    """Everything known about one operator: what it is like, what was tried, and what keeps it from falling apart.

    node: as `inspect` names it, or its weight; options, and each of its fields as a keyword, and trials: as in `plan`,
    whose verdict it explains, of which sizes count; progress: called with (done, total, what). Changes nothing. Raises
    UnknownNodeError, with the nearest names, where there is no such node, and what `inspect` raises.
    """
    asked, trials = agreed(chosen(PlanOptions, options, single), trials)
    loaded = load_with(model, asked.custom_ops)
    asked, _ = with_inputs_of(loaded, asked, trials)
    return explain_node(loaded, node, asked.settings(loaded), sized=asked.sized(loaded), progress=progress)
