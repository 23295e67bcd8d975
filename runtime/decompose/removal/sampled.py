"""What samples show of products that read units: what enters them, and what is added to their results elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ...inputs.rows import CalibrationError, rows_in, rows_out
from .stages import Stages

__all__ = ["Sampled", "beside_of", "energy_of", "require_finite", "rows_of_feed", "sampled", "seen_of"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

ROWS = 1 << 15  # of all feeds together that products are fitted to, evenly spaced among what there are
LEAST = 4  # of each feed


@dataclass(frozen=True, eq=False)
class Sampled:
    """One product: rows (M, K + 1) that enter it, of each feed, the last column ones; beside: (M, N), what is added to
    its results further on, as the stream of a residual network, zeros where nothing is."""

    rows: Sequence[Float64]
    beside: Sequence[Array | float]

    @cached_property
    def gram(self) -> Float64:
        """The mean of xᵀ x over all rows, (K + 1, K + 1)."""
        size = self.rows[0].shape[1]
        return self._mean(np.zeros((size, size)), self.rows)

    def results(self, weight: Float64) -> list[Array]:
        """What the product of each feed, and what is beside it, come to, for a weight (K + 1, N)."""
        return [rows @ weight + more for rows, more in zip(self.rows, self.beside, strict=True)]

    def target(self, results: Sequence[Array]) -> Float64:
        """The mean of xᵀ y over all rows, y what the product has to give so that with what is beside it it comes to
        these results."""
        wanted = [one - more for one, more in zip(results, self.beside, strict=True)]
        return self._mean(np.zeros((self.rows[0].shape[1], wanted[0].shape[1])), wanted)

    @property
    def per_feed(self) -> int:
        """Rows in one feed, at the median."""
        return int(np.median([len(rows) for rows in self.rows]))

    def _mean(self, total: Float64, others: Sequence[Array]) -> Float64:
        for rows, other in zip(self.rows, others, strict=True):
            total += rows.T @ other
        found: Float64 = total / max(sum(map(len, self.rows)), 1)
        return found


def sampled(stages: Stages, graph: ir.Model, linears: Sequence[Linear], name: str) -> list[Sampled]:
    """What the samples show of some linears of a model, as its weights are by now; the same rows every time.

    name: what an error calls the model. Raises CalibrationError where a value holds a NaN or an Inf, or no such rows,
    SessionError where a stage does not run.
    """
    return [_sampled(linear, value, held, name) for linear, value, held in seen_of(stages, graph, linears)]


def _sampled(linear: Linear, beside: ir.Value | None, held: Sequence[Mapping[str, Array]], name: str) -> Sampled:
    found: list[Float64] = []
    others: list[Array | float] = []
    for values in held:
        rows = rows_in(linear, values[linear.activation.name or ""], name)
        some = np.linspace(0, len(rows) - 1, rows_of_feed(len(held), len(rows))).astype(np.int64)
        found.append(np.concatenate([rows[some], np.ones((some.size, 1))], axis=1, dtype=np.float64))
        other: Array | float = 0.0
        if beside is not None:
            other = rows_out(linear, values[beside.name or ""], len(rows), name)[some].astype(np.float64)
        others.append(other)
        require_finite(linear, name, found[-1], other)
    return Sampled(found, others)


def seen_of(
    stages: Stages, graph: ir.Model, linears: Sequence[Linear]
) -> list[tuple[Linear, ir.Value | None, Sequence[Mapping[str, Array]]]]:
    """Each linear with the value that is added to its results, None where nothing is, and what of all of these the
    samples show, feed by feed."""
    added = [beside_of(linear) for linear in linears]
    wanted = [linear.activation for linear in linears] + [value for value in added if value is not None]
    held = stages.run(graph, list(dict.fromkeys(value.name or "" for value in wanted)))
    return [(linear, value, held) for linear, value in zip(linears, added, strict=True)]


def require_finite(linear: Linear, name: str, *arrays: Array | float) -> None:
    """Raise CalibrationError where what a feed shows of a linear of a model of this name holds a NaN or an Inf."""
    if not all(np.isfinite(one).all() for one in arrays):
        where = f"{name}: {linear.address}"
        raise CalibrationError(f"{where}: a sample makes a NaN or an Inf of what enters it; leave that sample out")


def rows_of_feed(feeds: int, rows: int | None, whole: int = ROWS) -> int:
    """How many of the rows of a feed are looked at, where there are so many feeds; as many as may be where None.

    whole: of all feeds together.

    >>> rows_of_feed(1000, 128), rows_of_feed(1000, None), rows_of_feed(10**6, 128)
    (32, 32, 4)
    """
    most = max(LEAST, whole // max(feeds, 1))
    return most if rows is None else min(most, rows)


def beside_of(linear: Linear) -> ir.Value | None:
    """What is added to the result of a linear and nothing else, known before it; None where nothing is."""
    uses = list(linear.output.uses())
    graph = linear.node.graph
    if len(uses) != 1 or uses[0].node.op_type != "Add" or linear.output.is_graph_output() or graph is None:
        return None
    other = uses[0].node.inputs[1 - uses[0].idx]
    maker = other.producer() if other is not None else None
    if other is None or maker is None or maker.graph is not graph or not other.name:
        return None
    places = {node: place for place, node in enumerate(graph)}
    shapes = shape_of(linear.output), shape_of(other)
    alike = shapes[0] is not None and shapes[0] == shapes[1]
    return other if alike and places[maker] < places[linear.node] else None


def energy_of(gram: Float64, weight: Float64) -> float:
    """The variance of the results of a product, added up; gram and weight with the column of ones at the end."""
    spread = gram[:-1, :-1] - np.outer(gram[-1, :-1], gram[-1, :-1])
    return float(np.einsum("kn,kn->", weight[:-1], spread @ weight[:-1]))
