"""Give the open dimensions of a model sizes for good."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import onnx

from ...ir.io.load import Source
from ...ir.onnx_ir import onnx_ir as ir
from ...passes.rewrite.static.fix_sizes import fixed
from ..inputs.sizes.settings import settled_sizes
from ..pipeline.destination import Destination, Out

__all__ = ["fix_shapes"]


@overload
def fix_shapes(
    model: str | os.PathLike[str],
    sizes: Mapping[str, int],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = ...,
    custom_ops: Sequence[Path] = ...,
) -> Path: ...
@overload
def fix_shapes(
    model: bytes, sizes: Mapping[str, int], output: None = None, *, custom_ops: Sequence[Path] = ...
) -> bytes: ...
@overload
def fix_shapes(
    model: onnx.ModelProto, sizes: Mapping[str, int], output: None = None, *, custom_ops: Sequence[Path] = ...
) -> onnx.ModelProto: ...
@overload
def fix_shapes(
    model: ir.Model, sizes: Mapping[str, int], output: None = None, *, custom_ops: Sequence[Path] = ...
) -> ir.Model: ...
def fix_shapes(
    model: Source,
    sizes: Mapping[str, int],
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    custom_ops: Sequence[Path] = (),
) -> Out:
    """Give dimensions of the inputs, by name, sizes for good, and fold what is computed from shapes alone.

    The inputs and outputs of the result have these sizes; a dimension such as 'past + 1' follows from 'past'. A model
    given as bytes, ModelProto or onnx_ir.Model comes back as the same; one given as a path is written to `output`,
    which is returned. overwrite: replace an output that exists; custom_ops: libraries of custom operators that the
    model needs. Raises InputError for a name that no input has, for a size below 1 and where the model measures a shape
    of which ONNX Runtime would then believe another one, ModelError when nothing takes the model, or the output exists
    or cannot be written, SessionError for a library that is none, ValueError for a file without an output.
    """
    place = Destination.of(model, output, overwrite, custom_ops)
    changed, _ = fixed(place.loaded.graph, settled_sizes(place.loaded, sizes))
    if place.target is None:
        return place.as_given(changed)
    return place.write(changed)[0]
