"""Values inside of a model that another one has too: what runs between the layers, where both are of one kind.

residual stream       Add ──> Norm ──> …       what the norm makes of the sum, or the sum where none alone reads it
no stream at all      MatMul ──> Relu ──> …    what linears hand on
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...ir.graph.operators import NORMS, SKIP_NORMS, is_one_of, is_standard
from ...ir.graph.shapes import shape_of
from ...ir.graph.survey import Survey
from ...ir.onnx_ir import onnx_ir as ir
from ..calibrate.activations import behind
from ..upgrade.interpreter.interpreted import Interpreted
from ..upgrade.interpreter.tensors import tensor_of

__all__ = ["agreeing", "candidates", "spaced"]

Array = npt.NDArray[Any]
LEAST = 2  # axes of a stream: samples, and features


def candidates(module: Interpreted, teacher: ir.Graph) -> tuple[str, ...]:
    """Names of values between the layers of a module that a teacher's main graph has too, in order, outputs left out.

    They are those of the residual stream; where there is none, what linears hand on.
    """
    written = module.written
    known = {value.name for node in teacher for value in node.outputs} & module.program.made.keys()
    own = {value.name for value in (*teacher.outputs, *written.model.graph.outputs)}
    for found in (_stream(written.model.graph, written.found), _handed_on(written.found)):
        names = tuple(dict.fromkeys(str(one.name) for one in found if one.name in known and one.name not in own))
        if names:
            return names
    return ()


def _stream(graph: ir.Graph, found: Survey) -> Iterator[ir.Value]:
    for node in graph:
        if is_one_of(node, SKIP_NORMS):
            yield node.outputs[0]
        if not is_standard(node) or node.op_type != "Add":
            continue
        operands = [value for value in node.inputs if value is not None and value not in found.constants]
        shapes = [shape_of(value) for value in operands]
        if len(operands) == 2 and shapes[0] is not None and shapes[0] == shapes[1] and len(shapes[0]) >= LEAST:
            readers = [use.node for use in node.outputs[0].uses()]
            normed = len(readers) == 1 and is_standard(readers[0]) and readers[0].op_type in NORMS
            yield readers[0].outputs[0] if normed else node.outputs[0]


def _handed_on(found: Survey) -> Iterator[ir.Value]:
    for linear in found.linears:
        yield behind(linear)


def agreeing(
    module: Interpreted, names: Sequence[str], feed: Mapping[str, Array], told: Mapping[str, Array]
) -> tuple[str, ...]:
    """Those of the names whose values have one shape in both models, of floating-point numbers with a row a sample.

    told: what the teacher says of the feed, by name.
    """
    with torch.no_grad():
        made = module.observe(names, **{name: tensor_of(np.asarray(array)) for name, array in feed.items()})
    outputs = len(module.output_names)
    rows = {tensor.shape[0] for tensor in made[:outputs] if tensor.ndim}
    found = zip(names, made[outputs:], strict=True)
    return tuple(
        name
        for name, tensor in found
        if tensor.is_floating_point()
        and tuple(tensor.shape) == told[name].shape
        and tensor.ndim
        and tensor.shape[0] in rows
    )


def spaced(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most so many of them, evenly spaced, the last among them.

    >>> spaced("abcdef", 3), spaced("abc", 8), spaced("abc", 0)
    (('b', 'd', 'f'), ('a', 'b', 'c'), ())
    """
    count = min(most, len(names))
    return tuple(names[(place + 1) * len(names) // count - 1] for place in range(count))
