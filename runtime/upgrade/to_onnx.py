"""A module that was made of a model, written back into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ...ir.given.sources import rewrapped
from ...ir.io.load import load
from ...ir.io.save import to_proto
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan
from ...passes.rewrite.rewrite import rewrite
from ...passes.rewrite.weights.put_weights import put_weights
from ...passes.rewrite.weights.renewed import renewed
from .interpreter.interpreted import Interpreted
from .modules.layer_error import LayerError

__all__ = ["Trained", "to_onnx", "trained"]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training left. whole: the model with its weights as they are now, nothing split; plan: the one that splits
    it as before, None where there was none; model: the same, split."""

    whole: ir.Model
    plan: Plan | None
    model: ir.Model


def trained(module: Interpreted, note: str = "") -> Trained:
    """The model that a module was made of, with the weights of now, whole and split; note: of how they came about."""
    written = module.written
    whole = put_weights(written.model, module.arrays(), note)
    if written.plan is None:
        return Trained(whole, None, whole)
    plan = renewed(written.plan, whole)
    return Trained(whole, plan, rewrite(whole, plan))


def to_onnx(module: Interpreted) -> Any:
    """The model that `to_torch` made a module of, with the weights of now, split by the same plan.

    It comes as the model was given, an onnx_ir.Model where that was a path; save it with `onnx_ir.save`. Entries
    outside of blocks are the zeros that they were. Raises LayerError for any other module.
    """
    if not isinstance(module, Interpreted):
        raise LayerError(f"a module that to_torch made is wanted, not a {type(module).__name__}")
    given = module.written.given
    return rewrapped(given, trained(module).model, partial(to_proto, load(given)))
