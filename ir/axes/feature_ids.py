"""Features through a graph: which elements of which values one feature reaches, from linears on, operator by operator.

Every value that is computed from the output of a linear carries labels: an integer array that broadcasts to the value,
of extent 1 on the axes that tell no features apart (batch, positions), whose entries number features. An operator
either hands labels on (elementwise, Transpose, Reshape, Split …) or ties some of them (attention ties the features of
one head, a sum those it adds). What is not understood hands nothing on, so that it is never relied upon.
This is the second reading of the table of axis rules, which also goes through axes that are cut (`feature_rules`).
Source: the node set over several layers of section 2 of the paper, one graph over the features of all axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..graph.constants import Constants
from ..graph.linear import Linear
from ..graph.shapes import shape_of
from ..onnx_ir import onnx_ir as ir
from .axis_rule import Sizes
from .feature_rules import Tie, follow
from .regrouping import Labels

__all__ = ["Features", "Tie", "Tracer", "feature_axis_in", "feature_axis_out", "further", "trace"]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The labels of the values of one graph, the ties that each node makes, and how many labels there are.

    ties: pairs of arrays of one shape; entries at the same place name features that belong together once the node is
    computed block by block; sizes: the extents that were learned on the way.
    """

    labels: Mapping[ir.Value, Labels]
    ties: Mapping[ir.Node, tuple[Tie, ...]]
    count: int
    sizes: Sizes


def feature_axis_in(linear: Linear) -> int | None:
    """The axis of a linear's activation that features lie on; None where its rank is not known."""
    return _axis(linear.activation) if linear.layout.kind == "rows" else None


def feature_axis_out(linear: Linear) -> int | None:
    """The axis of a linear's output that features lie on; None where its rank is not known."""
    return _axis(linear.output) if linear.layout.kind == "rows" else None


def _axis(value: ir.Value) -> int | None:
    shape = shape_of(value)
    return len(shape) - 1 if shape is not None and len(shape) >= 2 else None


def trace(nodes: Iterable[ir.Node], linears: Iterable[Linear], constants: Constants) -> Features:
    """Follow the outputs of some linears forward through nodes of one graph, given in its order, as far as they are
    understood; reads small constants only.

    Linears whose features do not lie on the last axis of a tensor of known rank of two and more start nothing.
    """
    starts = {linear.output: linear for linear in linears if feature_axis_out(linear) is not None}
    folded = {linear.node.outputs[0] for linear in starts.values()} - starts.keys()  # in front of a bias
    tracer = Tracer(Sizes(constants))
    for node in nodes:
        for output in node.outputs:
            if output in starts:
                linear = starts[output]
                axis = feature_axis_out(linear)
                assert axis is not None
                fresh = tracer.fresh(linear.shape[1])
                tracer.labels[output] = fresh.reshape((1,) * axis + (-1,))
        if not any(output in starts or output in folded for output in node.outputs):
            tracer.step(node)
    return tracer.features


def further(features: Features) -> Tracer:
    """What follows the same features through more nodes, those that follow on the nodes before; changes nothing."""
    return Tracer(features.sizes, dict(features.labels), dict(features.ties), features.count)


@dataclass(slots=True)
class Tracer:
    """Features that are being followed, node by node."""

    sizes: Sizes
    labels: dict[ir.Value, Labels] = field(default_factory=dict)
    ties: dict[ir.Node, tuple[Tie, ...]] = field(default_factory=dict)
    count: int = 0

    @property
    def features(self) -> Features:
        """What was followed until now."""
        return Features(self.labels, self.ties, self.count, self.sizes)

    def fresh(self, size: int) -> npt.NDArray[np.int64]:
        """Labels that no value has."""
        self.count += size
        return np.arange(self.count - size, self.count)

    def follows(self, node: ir.Node) -> bool:
        """Whether a node is understood, which is followed where it was not yet."""
        if node not in self.ties:
            self.step(node)
        return node in self.ties

    def step(self, node: ir.Node) -> None:
        """Give the outputs of a node their labels, where it is understood and reads some."""
        labels = self.labels
        for value in node.inputs:
            if value in labels:
                break
        else:
            return
        try:
            found = follow(node, labels, self.sizes)
        except (ModelError, IndexError, ValueError):  # a constant that cannot be folded, an invalid node
            return
        if found is None:
            return
        outputs, ties = found
        for output, own in zip(node.outputs, outputs, strict=True):
            if own is not None:
                labels[output] = own
        self.ties[node] = tuple(ties)
