"""A model that says of itself what it was made smaller by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.provenance import DECOMPOSED

__all__ = ["noted"]


def noted(model: ir.Model, note: Mapping[str, Any]) -> ir.Model:
    """A copy of a model with a note in its metadata, as JSON.

    >>> noted(ir.Model(ir.Graph([], [], nodes=[]), ir_version=8), {"method": "removal"}).metadata_props
    {'scission.decomposed': '{"method": "removal"}'}
    """
    copy = model.clone()
    copy.metadata_props[DECOMPOSED] = json.dumps(note)
    return copy
