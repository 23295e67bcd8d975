"""Inspect a model from wherever it comes, with the options of `scission plan`."""

from __future__ import annotations

from typing import Unpack

from ...ir.brief import Several
from ...ir.findings.inspection import Inspected, Inspection
from ...ir.io.load import Source
from ...ir.onnx_ir import collected_seldom
from ...ir.progress import Progress
from ...passes.planning.inspect import inspect_model
from ..fields import chosen, keywords
from ..ort.trials import Trials
from .destination import load_with
from .options import PlanKeywords, PlanOptions, agreed, with_inputs_of

__all__ = ["inspect", "inspected"]


@keywords(PlanOptions)
def inspect(
    model: Source,
    options: PlanOptions | None = None,
    *,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[PlanKeywords],
) -> tuple[Inspection, ...]:
    """What every linear of a model is like, what blocks and covers would leave of it, and what `plan` does with it.

    options, and each of its fields as a keyword, and trials: as in `plan`, of which sizes count, also those in the
    inputs.toml beside the model; progress: called with (done, total, what). Changes nothing. Raises ModelError when the
    model cannot be read, OptionError for options that cannot be, PlanError for a lowering or a node that is none,
    DeviceError when there is no such device, SessionError for a library that is none, InputError for sizes of what is
    not open, and for a file of inputs that cannot be read.
    """
    return Several(inspected(model, chosen(PlanOptions, options, single), trials, progress).rows)


def inspected(
    model: Source, options: PlanOptions, trials: Trials | None = None, progress: Progress | None = None
) -> Inspected:
    """The same with the plan that it tells of."""
    options, trials = agreed(options, trials)
    loaded = load_with(model, options.custom_ops)
    options, _ = with_inputs_of(loaded, options, trials)
    with collected_seldom(len(loaded.graph.graph)):
        return inspect_model(loaded, options.settings(loaded), sized=options.sized(loaded), progress=progress)
