"""Preparations carried out, whatever their kind: model -> model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.decomposition import PlanError
from ...ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from ...ir.plan.merged_branches import MergedBranches
from ...ir.plan.preparation import FixedSizes, Preparation
from ...ir.plan.removed_channels import RemovedChannels
from ...ir.plan.rewritten_convolution import RewrittenConvolution
from ...ir.plan.rewritten_forest import RewrittenForest
from .merge_branches import merge_branches
from .raise_forest import rewrite_forests
from .remove_channels import remove_channels
from .rewrite_convolutions import rewrite_convolutions
from .static.fix_sizes import fix_sizes
from .write_factors import write_factors, write_hierarchical
from .write_frames import write_frames

__all__ = ["CARRIED_OUT", "prepared"]

NAMED = 3  # operators of a preparation that a message names

CarryOut: TypeAlias = Callable[[ir.Model, Sequence[Any]], ir.Model]

# By kind: several of it carried out, one after another, in a copy of a model.
CARRIED_OUT: dict[str, CarryOut] = {
    FixedSizes.kind: fix_sizes,
    RewrittenForest.kind: rewrite_forests,
    FramedProduct.kind: write_frames,
    RewrittenConvolution.kind: rewrite_convolutions,
    HierarchicalWeight.kind: write_hierarchical,
    FactoredWeight.kind: write_factors,
    RemovedChannels.kind: remove_channels,
    MergedBranches.kind: merge_branches,
}


@phase("prepare")
def prepared(model: ir.Model, preparations: Sequence[Preparation]) -> ir.Model:
    """A copy of the model in which all preparations are carried out, in order; the model itself where there are none.

    Raises PlanError when they were made for another model.
    """
    for kind, found in itertools.groupby(preparations, key=lambda one: one.kind):
        try:
            model = CARRIED_OUT[kind](model, tuple(found))
        except PlanError as error:
            raise _listed_twice(preparations) or error from None
    return model


def _listed_twice(preparations: Sequence[Preparation]) -> PlanError | None:
    """What is wrong with a plan that lists a preparation twice and so could not be carried out; None for another."""
    for place, one in enumerate(preparations):
        if one.to_dict() in (other.to_dict() for other in preparations[:place]):
            told = f"{one.kind} of {', '.join(one.nodes[:NAMED])}{', …' if len(one.nodes) > NAMED else ''}"
            return PlanError(f"{told}: the plan lists this preparation twice; take one of the two out")
    return None
