"""Models that do index work alone: they take shares of values, or join what parts have made to values again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.parts.manifest import PartValue
from ....ir.parts.share import Share

__all__ = ["joining", "taking"]

OPSET, IR_VERSION = 17, 8
assert ml_dtypes.bfloat16  # by whose name NumPy knows it once this is imported


def taking(values: Sequence[PartValue], taken: Mapping[str, Share], name: str) -> ir.Model:
    """A model that is given values and makes shares of them; taken: by the names of its outputs."""
    work = _Work([*(value.name for value in values), *taken])
    inputs = {value.name: _value(value.name, value, value.shape) for value in values}
    sources = {value.name: value for value in values}
    outputs = []
    for output, share in taken.items():
        now = inputs[share.value]
        for axis, places in sorted(share.places.items()):
            now = work.taken(now, axis, places)
        source = sources[share.value]
        outputs.append(work.ended(now, _value(output, source, shape_of_share(source, share))))
    return work.model([*inputs.values()], outputs, name)


def joining(values: Sequence[PartValue], made: Mapping[str, Share], name: str) -> ir.Model:
    """A model that is given the shares of values that parts made, and makes the values; made: by its inputs."""
    work = _Work([*(value.name for value in values), *made])
    sources = {value.name: value for value in values}
    inputs = {
        piece: _value(piece, sources[share.value], shape_of_share(sources[share.value], share))
        for piece, share in made.items()
    }
    outputs = []
    for value in values:
        pieces = [(inputs[piece], share) for piece, share in made.items() if share.value == value.name]
        now = pieces[0][0]
        if not pieces[0][1].is_whole:
            ((axis, _),) = pieces[0][1].size.items()
            now = work.node("Concat", [piece for piece, _ in pieces], axis=axis)
            order = np.concatenate([share.places[axis] for _, share in pieces])
            if not np.array_equal(order, np.arange(order.size)):
                now = work.taken(now, axis, np.argsort(order))
        outputs.append(work.ended(now, _value(value.name, value, value.shape)))
    return work.model([*inputs.values()], outputs, name)


def shape_of_share(value: PartValue, share: Share) -> tuple[int | str | None, ...] | None:
    """The extents of a share of a value."""
    if value.shape is None:
        return None
    return tuple(share.places[at].size if at in share.places else extent for at, extent in enumerate(value.shape))


class _Work:
    """Nodes and constants of one model, in order, with names of their own; taken: those of inputs and outputs."""

    def __init__(self, taken: Sequence[str]) -> None:
        self.prefix = "index"
        while any(name.startswith(f"{self.prefix}/") for name in taken):
            self.prefix += "_"
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def node(self, op: str, inputs: Sequence[ir.Value], output: ir.Value | None = None, **attributes: int) -> ir.Value:
        made = ir.Node(
            "",
            op,
            inputs,
            [ir.AttrInt64(key, value) for key, value in attributes.items()],
            outputs=[output or ir.Value(name=f"{self.prefix}/{len(self.nodes)}")],
            name=f"{self.prefix}/{op}_{len(self.nodes)}",
        )
        self.nodes.append(made)
        return made.outputs[0]

    def taken(self, value: ir.Value, axis: int, places: np.typing.ArrayLike) -> ir.Value:
        own = np.asarray(places, np.int64)
        if np.array_equal(own, np.arange(own[0], own[0] + own.size)):
            bounds = [[own[0]], [own[-1] + 1], [axis]]
            return self.node("Slice", [value, *(self._constant(np.array(one, np.int64)) for one in bounds)])
        return self.node("Gather", [value, self._constant(own)], axis=axis)

    def ended(self, value: ir.Value, output: ir.Value) -> ir.Value:
        """An output under its own name."""
        return self.node("Identity", [value], output)

    def model(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value], name: str) -> ir.Model:
        graph = ir.Graph(
            inputs, outputs, nodes=self.nodes, initializers=self.constants, opset_imports={"": OPSET}, name=name
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="scission")

    def _constant(self, array: np.typing.NDArray[np.int64]) -> ir.Value:
        name = f"{self.prefix}/constant_{len(self.constants)}"
        value = ir.Value(name=name, const_value=ir.Tensor(array, name=name))
        self.constants.append(value)
        return value


def _value(name: str, value: PartValue, shape: tuple[int | str | None, ...] | None) -> ir.Value:
    kind = ir.DataType.STRING if value.dtype == "string" else ir.DataType.from_numpy(np.dtype(value.dtype))
    return ir.Value(name=name, type=ir.TensorType(kind), shape=None if shape is None else ir.Shape(shape))
