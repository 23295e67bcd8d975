"""Products of smaller weights in the place of linears: thin factors, blocks beside them, stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import correct_shapes
from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import PlanError
from ...factor.emit import emit
from ...lowering.nodes.emitter import Emitter, Names
from ...lowering.nodes.sharing import Sharing
from ...lowering.target import Target
from ...projection.block_low_rank import BlocksAndThin
from ...projection.forms import BlockLowRankForm, Form, Projected
from ...projection.monarch import MonarchFactors
from ...projection.reduced_rank import ThinFactors
from ..edit import drop_unread, inherit, name_by_address, register
from .put_weights import put_weights

__all__ = ["put_products"]

ROLE = "thin"


def put_products(model: ir.Model, products: Mapping[str, tuple[Form, Projected]], target: Target) -> ir.Model:
    """A copy of a model in which linears are written as what they were projected to; their biases stay.

    products: by address. Raises PlanError where there is no such linear, or it cannot be written so.
    """
    masked = {
        address: (one.masked, np.zeros(one.masked.shape[1]))
        for address, (_, one) in products.items()
        if isinstance(one, BlocksAndThin)
    }
    seen = view(put_weights(model, masked))
    linears = {linear.address: linear for linear in seen.found.linears}
    work = _Writing(seen.model, seen.found.constants, target, Names(seen.model))
    name_by_address(seen.found.linears, work.names)
    for address, (form, one) in products.items():
        linear = linears.get(address)
        if linear is None:
            raise PlanError(f"{address}: the model has no such linear")
        work.write(linear, form, one)
    correct_shapes(seen.model)
    return seen.model


@dataclass(slots=True, eq=False)
class _Writing:
    """A copy of a model under way; now: what was put in the place of a value."""

    model: ir.Model
    constants: Constants
    target: Target
    names: Names
    now: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def write(self, linear: Linear, form: Form, one: Projected) -> None:
        """Put what a linear was projected to in its place."""
        addend = linear.addend and self.now.get(linear.addend, linear.addend)
        linear = replace(linear, activation=self.now.get(linear.activation, linear.activation), addend=addend)
        emitter = Emitter(linear, self.names)
        if isinstance(one, ThinFactors):
            self._in_front(emitter, one)
        elif isinstance(one, MonarchFactors):
            self._instead(emitter, emit(emitter, self.constants, one.factors), [linear.node])
        elif isinstance(form, BlockLowRankForm):
            result = form.lowering.emit(emitter, self.constants, form.blocks, self.target)
            beside = [] if not one.thin.rank else [_thin(emitter, one.thin)]
            for value in beside:
                result = emitter.one("Add", [result, value], ROLE)
            self._instead(emitter, result, [linear.node, *form.lowering.absorbs(linear)])

    def _in_front(self, emitter: Emitter, thin: ThinFactors) -> None:
        """One factor in front of the operator, which multiplies with the other one, and adds what it did before."""
        linear, dtype = emitter.linear, emitter.linear.dtype.numpy()
        left = emitter.constant(thin.left.astype(dtype), f"{ROLE}/left")
        right = emitter.constant((thin.right.T if linear.transposed else thin.right).astype(dtype), f"{ROLE}/right")
        narrow = emitter.one("MatMul", [linear.activation, left], ROLE)
        graph, inputs = linear.node.graph, list(linear.node.inputs)
        assert isinstance(graph, ir.Graph)
        register(self.model, linear, graph, emitter.constants, self.names, Sharing())
        graph.insert_before(linear.node, emitter.nodes)
        linear.node.replace_input_with(inputs.index(linear.weight), right)
        linear.node.replace_input_with(inputs.index(linear.activation), narrow)
        drop_unread(self.model, linear.weight)

    def _instead(self, emitter: Emitter, result: ir.Value, old: Sequence[ir.Node]) -> None:
        """Other nodes in the place of a linear, and of the Add behind it where they do what it does."""
        linear, graph = emitter.linear, emitter.linear.node.graph
        assert isinstance(graph, ir.Graph)
        output = linear.node.outputs[0] if len(old) == 1 else linear.output
        reads = [value for node in old for value in node.inputs if value is not None and value in self.constants]
        register(self.model, linear, graph, emitter.constants, self.names, Sharing())
        inherit(result, output)
        ir.convenience.replace_nodes_and_values(graph, linear.node, old, emitter.nodes, [output], [result])
        for value in dict.fromkeys(reads):
            drop_unread(self.model, value)
        self.now[output] = result


def _thin(emitter: Emitter, thin: ThinFactors) -> ir.Value:
    """What a product of thin factors adds to the result of a linear."""
    linear, dtype = emitter.linear, emitter.linear.dtype.numpy()
    left = emitter.constant(thin.left.astype(dtype), f"{ROLE}/left")
    right = emitter.constant((linear.alpha * thin.right).astype(dtype), f"{ROLE}/right")
    narrow = emitter.one("MatMul", [linear.activation, left], ROLE)
    return emitter.one("MatMul", [narrow, right], ROLE)
