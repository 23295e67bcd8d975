"""Shapes that are known before a model runs become constants, and so does what is computed from them alone.

    x (2, 128, 64) -> Shape -> Gather(1) -> Unsqueeze -+
                                        [64] ----------+-> Concat -> Reshape       becomes  [128, 64] -> Reshape

Rounds of: infer all shapes, run what depends on sizes alone on what is known of them, put constants in its place. A
shape of which some extents are open is known in part: it is read as two shapes with different numbers in the open
places, and whatever the two have in common is known. Only operators that move sizes are run on such a pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.errors import ModelError
from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView
from ....ir.graph.operators import FUNCTIONS_OF_SIZES, MEASURING, MOVING_SIZES, is_one_of, is_standard
from ....ir.graph.shapes import Extents
from ....ir.onnx_ir import onnx_ir as ir
from ...lowering.nodes.emitter import Names
from .believed import believed_shapes, extents_of

__all__ = ["fold_shapes"]

Array: TypeAlias = "npt.NDArray[Any]"
MOST = 4096  # elements of what is folded: sizes and positions, no weights
LISTED = 4  # before this IR version every initializer had to be a graph input
OPEN = -7, -11  # what an open extent is read as
LIMIT = 2**31  # of a number that is rounded to a whole one
# What ONNX Runtime computes in, and not in more digits, as it does in the place of half precision.
KINDS = frozenset({np.dtype(kind) for kind in ("bool", "int32", "int64", "float32", "float64")})
CASTS = frozenset(map(ir.DataType.from_numpy, KINDS))


def fold_shapes(model: ir.Model) -> tuple[set[ir.Node], dict[ir.Value, Extents]]:
    """Put constants in the place of whatever the main graph computes from known shapes alone; changes the model.

    Returns the nodes that are gone, and the shapes that are believed of what is left. Outputs of the model stay
    computed.
    """
    gone: set[ir.Node] = set()
    names = Names(model)
    made: set[ir.Value] = set()
    while True:
        shapes, before = believed_shapes(model), len(made)
        gone.update(_Round(model, shapes, Constants(model), made).fold(names))
        if len(made) == before:
            return gone, shapes


@dataclass(slots=True, eq=False)
class _Round:
    """One pass over the main graph; made: the constants that rounds put in; held: what values are, read twice, alike
    where nothing in them is open."""

    model: ir.Model
    shapes: Mapping[ir.Value, Extents]
    constants: Constants
    made: set[ir.Value]
    held: dict[ir.Value, tuple[Array, Array]] = field(default_factory=dict)

    def fold(self, names: Names) -> list[ir.Node]:
        """Put constants in, and take out what nobody reads any more."""
        run = [node for node in self.model.graph if self._runs(node)]
        known = {node for node in run if all(map(self._is_known, node.outputs))}
        for node in run:
            for value in node.outputs:
                readers = [(user, place) for user, place in value.uses() if user not in known]
                if node in known and readers:
                    constant = self._constant(self.held[value][0], names.fresh(f"{value.name}/fixed"))
                    for user, place in readers:
                        user.replace_input_with(place, constant)
        gone = []
        for node in reversed(run):
            if node in known and not any(value.uses() or value.is_graph_output() for value in node.outputs):
                inputs = [value for value in node.inputs if value is not None]
                self.model.graph.remove(node, safe=True)
                gone.append(node)
                for value in inputs:
                    self._drop(value)
        return gone

    def _constant(self, array: Array, name: str) -> ir.Value:
        """An initializer of the main graph, which every graph in it sees."""
        tensor = ir.Tensor(array, name=name)
        kind, shape = ir.TensorType(tensor.dtype), ir.Shape(array.shape)
        value = ir.Value(name=name, type=kind, shape=shape, const_value=tensor)
        self.model.graph.register_initializer(value)
        if (self.model.ir_version or 0) < LISTED:
            self.model.graph.inputs.append(value)
        self.made.add(value)
        return value

    def _drop(self, value: ir.Value) -> None:
        """Take out a constant that nobody reads any more."""
        node, graph = value.producer(), self.model.graph
        if value.uses() or value.is_graph_output() or self.constants.is_overridable(value):
            return
        if node is not None and node.op_type == "Constant" and node.graph is graph:
            graph.remove(node, safe=True)
        elif node is None and graph.initializers.get(value.name or "") is value:
            del graph.initializers[value.name or ""]
            if value in graph.inputs:
                graph.inputs.remove(value)

    def _is_known(self, value: ir.Value) -> bool:
        first, second = self.held[value]
        return bool(np.array_equal(first, second))

    def _runs(self, node: ir.Node) -> bool:
        """Whether a node depends on sizes alone, so that what it computes is held from now on."""
        if any(attribute.is_ref() for attribute in node.attributes.values()) or not is_standard(node):
            return False
        found = self._measured(node) if node.op_type in MEASURING else self._computed(node)
        if found is None:
            return False
        self.held[node.outputs[0]] = found
        return True

    def _measured(self, node: ir.Node) -> tuple[Array, Array] | None:
        """What a Shape or Size says of its operand."""
        value = node.inputs[0]
        extents = None if value is None else extents_of(value, self.shapes, self.constants)
        if extents is None:
            return None
        first, second = (np.array([one if e is None else e for e in extents], np.int64) for one in OPEN)
        if node.op_type == "Size":
            total = np.array(math.prod(first.tolist()), np.int64)
            return None if None in extents else (total, total)
        view = NodeView(node, self.constants)
        asked = slice(view.attribute("start"), view.attribute("end"))
        return first[asked], second[asked]

    def _computed(self, node: ir.Node) -> tuple[Array, Array] | None:
        """What an operator makes of what is held, None where it depends on more, or makes too much."""
        if not is_one_of(node, FUNCTIONS_OF_SIZES):
            return None
        if not any(value in self.held or value in self.made for value in node.inputs):
            return None
        extents = self.shapes.get(node.outputs[0])
        if extents is None or None in extents or math.prod(one or 0 for one in extents) > MOST:
            return None
        pairs = [None if value is None else self._operand(value) for value in node.inputs]
        if any(pair is None and value is not None for pair, value in zip(pairs, node.inputs, strict=True)):
            return None
        apart = [place for place, pair in enumerate(pairs) if pair and not np.array_equal(*pair)]
        if apart and not (node.op_type in MOVING_SIZES and (node.op_type == "Concat" or apart == [0])):
            return None
        found = [self._run(node, [pair and pair[side] for pair in pairs]) for side in (0, 1)[: 1 + bool(apart)]]
        first, last = found[0], found[-1]
        return None if first is None or last is None else (first, last)

    def _operand(self, value: ir.Value) -> tuple[Array, Array] | None:
        """What is held of an operand, or the small constant that it is."""
        if value in self.held:
            return self.held[value]
        if value not in self.constants or self.constants.has_ambiguous_leaf(value):
            return None
        extents = extents_of(value, self.shapes, self.constants)
        if extents is None or math.prod(one or 0 for one in extents) > MOST:
            return None
        try:
            array = self.constants.read(value)
        except ModelError:
            return None
        return (array, array) if array.dtype in KINDS else None

    def _run(self, node: ir.Node, inputs: list[Array | None]) -> Array | None:
        """The result of a node, None where runtimes could differ in it."""
        given = [array for array in inputs if array is not None]
        whole = all(array.dtype.kind == "i" for array in given)
        if (
            node.op_type in ("Div", "Mod")
            and whole
            and (min(a.min(initial=0) for a in given) < 0 or not given[1].all())
        ):
            return None  # of negative numbers some round down and others towards zero
        if node.op_type == "Cast" and not _casts(node, given[0]):
            return None
        if node.op_type == "Range" and not whole:
            return None
        try:
            (found,) = self.constants.fold(node, inputs)
        except ModelError:
            return None
        return found if found.dtype in KINDS else None


def _casts(node: ir.Node, array: Array) -> bool:
    """Whether every runtime makes the same of numbers of another type."""
    if ir.DataType(node.attributes["to"].as_int()) not in CASTS:
        return False
    return array.dtype.kind != "f" or bool((np.abs(array) < LIMIT).all())
