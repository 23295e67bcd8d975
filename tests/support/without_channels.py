"""Models without their channels that do nothing, held against the originals as ONNX Runtime optimises them or not."""

from __future__ import annotations

import numpy as np
from oracles import run

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels

__all__ = ["agrees", "found_in", "without"]


def found_in(proto, **options):
    """What of a model does nothing, as a preparation; and the model."""
    graph = load(proto).graph
    return graph, find(graph, Target(), lambda: settings_at(input_dims(graph)), **options)


def without(proto, **options):
    """The model without it, itself where it has no such channels."""
    graph, found = found_in(proto, **options)
    return ir.to_proto(remove_channels(graph, found)) if found else proto


def agrees(proto, changed, feeds, tolerance=2e-5):
    """Whether two models compute the same, of their largest outputs or of 1, optimised or not."""
    for optimised in (False, True):
        for before, after in zip(*(run(one, feeds, optimised) for one in (proto, changed)), strict=True):
            if before.shape != after.shape or not np.array_equal(np.isfinite(before), np.isfinite(after)):
                return False
            size = max(np.abs(before).max(initial=0), 1)
            if before.size and not np.abs(before - after).max() <= tolerance * size:
                return False
    return True
