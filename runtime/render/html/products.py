"""What a page shows of weights that are written as products: how large their factors are, and how these lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import scopes
from ....ir.graph.view import view
from ....ir.io.load import Model
from ....ir.phase import phase
from ....ir.plan.factored_weight import FactoredWeight, HierarchicalWeight
from ....ir.plan.plan import Plan, PlanError
from ....ir.provenance import ORIGIN
from ....passes.decompose.fingerprint import fingerprint
from ....passes.factor.diagonals import butterfly
from ....passes.factor.factorise import Recipe, follow
from ....passes.factor.known_orders import RadixSplit
from ....passes.hierarchical.near_far import near_far
from ....passes.rewrite.preparations import prepared

__all__ = ["FactorShape", "ProductRow", "WrittenWeights", "products", "written_weights"]

MOST = 20  # weights that are shown
SIDE = 100.0  # of a drawing, in units of its own
KINDS = FactoredWeight, HierarchicalWeight  # of preparations that write a weight as a product
OUTLINED = 64  # blocks that are drawn one by one

Weight = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorShape:
    """One factor: so many blocks (rows, columns) along its diagonal; role: what it is, '' where it is one of a row."""

    count: int
    rows: int
    columns: int
    role: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) of its drawing, of which the longer is the side."""
        width, height = self.count * self.columns, self.count * self.rows
        return SIDE * width / max(width, height), SIDE * height / max(width, height)

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """(left, top, width, height) of what is drawn of its blocks: neighbours together where there are many."""
        drawn = min(self.count, OUTLINED)
        width, height = (extent / drawn for extent in self.size)
        return [(place * width, place * height, width, height) for place in range(drawn)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"count": self.count, "rows": self.rows, "columns": self.columns, "role": self.role}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRow:
    """One weight (inputs, outputs) that is written as a product: macs: multiply-adds of a row; bound: of its rounding
    error over that of the dense product; gain: predicted."""

    node: str
    kind: str
    inputs: int
    outputs: int
    macs: int
    bound: float
    gain: float | None
    factors: tuple[FactorShape, ...]

    @property
    def share(self) -> float:
        """Of the multiply-adds of the dense product."""
        return self.macs / (self.inputs * self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("node", "kind", "inputs", "outputs", "macs", "bound", "gain")
        return {name: getattr(self, name) for name in names} | {"factors": [one.to_dict() for one in self.factors]}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenWeights:
    """What all weights that are written as products come to: operators: the addresses of those that apply the factors;
    dense: entries of the weights as they were, the multiply-adds of a row; macs, entries: of what they are now."""

    operators: frozenset[str] = frozenset()
    dense: int = 0
    macs: int = 0
    entries: int = 0


def written_weights(model: Model, plan: Plan) -> WrittenWeights:
    """The same of all that a plan writes so; raises PlanError when the plan is for another model."""
    places = [at for at, one in enumerate(plan.preparations) if isinstance(one, KINDS)]
    if not places:
        return WrittenWeights()
    steps = [one for one in plan.preparations if isinstance(one, KINDS)]
    before = view(prepared(model.graph, plan.preparations[: places[0]]))
    shapes = {linear.address: linear.shape for linear in before.found.linears}
    after = prepared(model.graph, plan.preparations[: places[-1] + 1])
    nodes = {node for one in steps for node in one.nodes}
    made = {
        node: address
        for scope in scopes(after)
        for node, address in scope.addresses.items()
        if node.metadata_props.get(ORIGIN) in nodes
    }
    held = {value for node in made for value in node.inputs if value is not None}
    factors = (value.const_value for value in held)
    return WrittenWeights(
        operators=frozenset(made.values()),
        dense=sum(math.prod(shapes[one.nodes[0]]) for one in steps),
        macs=sum(one.macs for one in steps),
        entries=sum(one.size for one in factors if one is not None and one.dtype.is_floating_point()),
    )


@phase("products")
def products(model: Model, plan: Plan) -> tuple[ProductRow, ...]:
    """A row for each of the first weights that a plan writes as products, in its order; reads these weights.

    Raises PlanError when the plan is for another model, ModelError when a weight cannot be read.
    """
    steps = [one for one in plan.preparations if isinstance(one, KINDS)][:MOST]
    if not steps:
        return ()
    # As the model is where the first of them is carried out: what comes before may have made linears.
    first = next(at for at, one in enumerate(plan.preparations) if isinstance(one, KINDS))
    seen = view(prepared(model.graph, plan.preparations[:first]))
    linears = {linear.address: linear for linear in seen.found.linears}
    found = []
    for step in steps:
        linear = linears.get(step.nodes[0])
        stored = None if linear is None else linear.stored(seen.found.constants)
        if linear is None or stored is None or fingerprint(stored) != step.sha256:
            raise PlanError(f"{step.nodes[0]}: the plan was made for another weight; make a new plan of this model")
        K, N = linear.shape
        found.append(
            ProductRow(
                node=step.nodes[0],
                kind=step.kind,
                inputs=K,
                outputs=N,
                macs=step.macs,
                bound=step.bound,
                gain=step.gain,
                factors=tuple(_factors(step, linear.as_matrix(stored))),
            )
        )
    return tuple(found)


def _factors(step: FactoredWeight | HierarchicalWeight, weight: Weight) -> Iterator[FactorShape]:
    """The factors of a weight (K, N), in the order in which they are applied; none where it is no such product."""
    if isinstance(step, HierarchicalWeight):
        blocks = near_far(weight, step.block)
        if blocks is not None:
            for role, one in (("near", blocks.near), ("far", blocks.far)):
                yield FactorShape(count=blocks.blocks, rows=blocks.size, columns=int(one.shape[2]), role=role)
            yield FactorShape(
                count=1, rows=int(blocks.joint.shape[0]), columns=int(blocks.joint.shape[1]), role="joint"
            )
        return
    splits = tuple(RadixSplit(stride=stride, step=gap) for stride, gap in step.splits)
    stages = follow(weight, Recipe(splits=splits, scaled=step.scaled, hidden=step.hidden))
    for diagonal in butterfly(stages).diagonals if stages is not None else ():
        yield FactorShape(count=diagonal.count, rows=diagonal.shape[0], columns=diagonal.shape[1])
