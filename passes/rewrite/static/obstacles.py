"""What keeps a model off CUDA graphs, as far as the model alone says; reads it and changes nothing.

ONNX Runtime computes what depends on shapes alone on the CPU, and hands it to the GPU as numbers where an operator only
asks how large its result is to be. Where one computes with them they are copied, and no copy can be recorded. A shape
without an open extent is a constant to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ....ir.findings.recording import Blocker, RecordingObstacle
from ....ir.graph.constants import Constants
from ....ir.graph.linear import Scope, scopes
from ....ir.graph.operators import CONTROL_FLOW, MEASURING, READ_ON_CPU, SIZED_BY_DATA, is_standard
from ....ir.graph.shapes import Extents, Inference
from ....ir.graph.sizes import input_dims, named_dims
from ....ir.onnx_ir import onnx_ir as ir
from .believed import extents_of

__all__ = ["recording_obstacles"]

SMALL = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})  # types that stay on the GPU whatever they are made of


def recording_obstacles(model: ir.Model) -> tuple[RecordingObstacle, ...]:
    """What is in the way of recording a model as a CUDA graph, open dimensions of its inputs last.

    Without any that blocks it can be, as far as the model says; whether its kernels can, only running it tells.
    """
    shapes, constants = Inference(model).shapes(), Constants(model)
    found = []
    for scope in scopes(model):
        if scope.in_function or scope.path == "":
            found += [*_of_scope(scope, shapes, constants)]
    names = named_dims(input_dims(model))
    return (*found, *(RecordingObstacle(blocker=Blocker.OPEN_SIZE, node=name) for name in names))


def _of_scope(scope: Scope, shapes: Mapping[ir.Value, Extents], constants: Constants) -> Iterator[RecordingObstacle]:
    derived: set[ir.Value] = set()
    for node in scope.graph:
        known = {value for value in node.inputs if value is not None}
        if node.op_type in CONTROL_FLOW and is_standard(node):
            yield _obstacle(Blocker.CONTROL_FLOW, node, scope)
        elif node.op_type in SIZED_BY_DATA and is_standard(node):
            yield _obstacle(Blocker.SIZED_BY_DATA, node, scope)
        elif node.op_type in MEASURING and is_standard(node):
            extents = None if node.inputs[0] is None else extents_of(node.inputs[0], shapes, constants)
            if extents is None or None in extents:
                derived.update(node.outputs)
        elif known & derived and all(value in derived or value in constants for value in known):
            derived.update(value for value in node.outputs if value.dtype not in SMALL)
    for node in scope.graph:
        readers = [
            user
            for value in node.outputs
            if value in derived
            for user, place in value.uses()
            if not derived.intersection(user.outputs) and place not in READ_ON_CPU.get(user.op_type, ())
        ]
        if readers:
            named = dict.fromkeys(scope.addresses.get(user, user.op_type) for user in readers)
            yield _obstacle(Blocker.ON_CPU, node, scope, tuple(named))


def _obstacle(blocker: Blocker, node: ir.Node, scope: Scope, readers: tuple[str, ...] = ()) -> RecordingObstacle:
    return RecordingObstacle(blocker=blocker, node=scope.address(node), op=node.op_type, readers=readers)
