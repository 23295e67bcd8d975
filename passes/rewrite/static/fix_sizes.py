"""Open dimensions of the inputs get sizes for good, in a copy of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from ....ir.graph.functions import inline
from ....ir.graph.linear import scopes
from ....ir.graph.operators import MEASURING, is_standard
from ....ir.graph.shapes import Extents, Inference
from ....ir.graph.sizes import InputError, extent, input_dims, named_dims, require_known
from ....ir.io.tensors import graphs
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import PlanError
from ....ir.plan.preparation import FixedSizes
from ....ir.provenance import FIXED
from ...lowering.nodes.emitter import Names
from .believed import believed_shapes
from .folding import fold_shapes

__all__ = ["fix_sizes", "fixed"]


def fix_sizes(model: ir.Model, wanted: Sequence[FixedSizes]) -> ir.Model:
    """A copy of the model with these sizes; raises PlanError where it has no such dimensions, or others are folded."""
    for one in wanted:
        named = named_dims(input_dims(model))
        if missing := [name for name in one.sizes if name not in named]:
            raise PlanError(f"no input has an open dimension {missing[0]!r}; make a new plan for this model")
        model, nodes = fixed(model, one.sizes)
        if nodes != one.nodes:
            other = next(a or b for a, b in zip_longest(nodes, one.nodes) if a != b)
            raise PlanError(f"{other}: not what is computed from sizes in the plan; make a new plan for this model")
    return model


def fixed(model: ir.Model, sizes: Mapping[str, int]) -> tuple[ir.Model, tuple[str, ...]]:
    """A copy of the model in which these dimensions of its inputs have sizes, and the nodes that became constants.

    sizes: by name. Outputs have the shapes that follow, and what is computed from shapes
    alone is a constant. Raises InputError for a name that no input has, for a size below 1, and where ONNX Runtime
    would take a shape that is measured for another one.
    """
    require_known(named_dims(input_dims(model)), sizes)
    copy, _ = inline(model, ())
    before = Inference(copy).shapes()
    for value in copy.graph.inputs:
        if value.const_value is None and value.shape is not None:
            value.shape = ir.Shape([_sized(dim, sizes) for dim in value.shape])
    addresses = dict(next(scopes(copy)).addresses)
    _name(addresses, Names(copy))
    gone, believed = fold_shapes(copy)
    copy.metadata_props[FIXED] = json.dumps({**_fixed_before(copy), **sizes})
    _require_alike(copy, before, believed_shapes(copy, others=True))
    _state(copy, believed, sizes)
    return copy, tuple(address for node, address in addresses.items() if node in gone)


def _require_alike(model: ir.Model, before: Mapping[ir.Value, Extents], believed: Mapping[ir.Value, Extents]) -> None:
    """Raise InputError where a shape is measured that ONNX Runtime now believes to know and is known to mistake.

    It puts in constants as well, of shapes that it infers like ONNX; with open dimensions it has none to put in.
    """
    inferred = Inference(model).shapes()
    for node in (node for graph in graphs(model) for node in graph if is_standard(node) and node.op_type in MEASURING):
        value = node.inputs[0]
        if value is None or value.graph is not model.graph or value not in inferred or None in inferred[value]:
            continue
        if believed.get(value) != inferred[value] != before.get(value):
            raise InputError(
                f"{node.name or node.op_type}: with these sizes ONNX Runtime takes {value.name!r} to be of shape "
                f"{list(inferred[value])}, which is not certain, and its shape is read; leave a dimension of it open"
            )


def _fixed_before(model: ir.Model) -> dict[str, object]:
    """The sizes that a model says were fixed; none where it says something else."""
    try:
        said = json.loads(model.metadata_props.get(FIXED, "{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _name(addresses: Mapping[ir.Node, str], names: Names) -> None:
    """Give nodes without a name the one in their address, which counts nodes, of which some are about to go."""
    for node, address in addresses.items():
        wish = address.rpartition("/")[2]
        if (not node.name or not address.endswith(node.name)) and names.is_free(wish):
            node.name = names.fresh(wish)


def _state(model: ir.Model, shapes: Mapping[ir.Value, Extents], sizes: Mapping[str, int]) -> None:
    """State the shapes that follow where shapes are stated, and of all outputs.

    A dimension that is called by a name which has a size now, but does not follow from it, is open: names of outputs
    are often careless, and ONNX Runtime believes a number where it would only warn of a name.
    """
    for node in model.graph:
        for value in node.outputs:
            known, named = shapes.get(value), value.is_graph_output()
            if value.shape is None and named and known is not None:
                value.shape = ir.Shape(known)
            elif value.shape is not None:
                same = known if known is not None and len(known) == len(value.shape) else (None,) * len(value.shape)
                stated = [None if extent(dim) in sizes else dim for dim in value.shape]
                value.shape = ir.Shape([old if new is None else new for old, new in zip(stated, same, strict=True)])


def _sized(dim: int | ir.SymbolicDim, sizes: Mapping[str, int]) -> int | ir.SymbolicDim:
    """The size of a dimension where its name has one."""
    name = extent(dim)
    return sizes.get(name, dim) if isinstance(name, str) else dim
