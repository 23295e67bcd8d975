"""Which weights of a model are trained into blocks, and the axes whose units they join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....ir.graph.linear import Linear
from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ....passes.anneal.obstacle import obstacle
from ....passes.pruning.units import Units
from ...calibrate.activations import observable
from ..task.method import DecomposeTask

__all__ = ["Place", "Places", "find_places"]

LEARNING = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
LEAST = 4  # units of an axis for each group, below which nothing is gained


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A weight (K, N) between two axes, by their places among all of them."""

    linear: Linear
    source: int
    target: int

    @property
    def macs(self) -> int:
        """Multiply-adds of a row."""
        return self.linear.shape[0] * self.linear.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """sizes: units of each axis; hidden: whether nothing but weights of these places reads and writes it; places: the
    weights; others: multiply-adds of a row of all other weights; refused: why weights between hidden units stay."""

    sizes: tuple[int, ...]
    hidden: tuple[bool, ...]
    places: tuple[Place, ...]
    others: int
    refused: tuple[Reason, ...]

    def in_blocks(self, count: int, ends: bool) -> tuple[Place, ...]:
        """The weights that so many groups are made of; ends: also those one of whose axes is no hidden one, so that
        its order has to be changed while the model runs."""
        wide = [size >= LEAST * count for size in self.sizes]
        return tuple(
            one
            for one in self.places
            if wide[one.source] and wide[one.target] and (ends or (self.hidden[one.source] and self.hidden[one.target]))
        )

    def mac_share(self, count: int, ends: bool) -> float:
        """Of all multiply-adds, those that are left."""
        total = self.others + sum(one.macs for one in self.places)
        saved = sum(one.macs * (1 - 1 / count) for one in self.in_blocks(count, ends))
        return 1 - saved / max(total, 1)


def find_places(task: DecomposeTask, seen: View, sites: Sequence[Units]) -> Places:
    """The weights that read or write hidden units, or why there is none.

    An axis is one of hidden units, or what enters or leaves such weights elsewhere. Heads stay together as they are.
    """
    sites = [one for one in sites if one.kind == "units" and one.writers]
    readers = {linear.node: place for place, one in enumerate(sites) for linear in one.readers}
    writers = {linear.node: place for place, one in enumerate(sites) for linear in one.writers}
    sizes, hidden = [one.count for one in sites], [True] * len(sites)
    entering: dict[object, int] = {}
    places, refused, others = [], [], 0
    for linear in seen.found.linears:
        own = linear.node in readers or linear.node in writers
        why = _obstacle(task, linear) if own else None
        if not own or why is not None:
            others += linear.shape[0] * linear.shape[1]
            refused += [] if why is None else [why]
            continue
        source, target = readers.get(linear.node), writers.get(linear.node)
        if source is None:
            source = entering.setdefault(linear.activation, len(sizes))
            if source == len(sizes):
                sizes, hidden = [*sizes, linear.shape[0]], [*hidden, False]
        if target is None:
            target, sizes, hidden = len(sizes), [*sizes, linear.shape[1]], [*hidden, False]
        places.append(Place(linear, source, target))
    return Places(sizes=tuple(sizes), hidden=tuple(hidden), places=tuple(places), others=others, refused=tuple(refused))


def _obstacle(task: DecomposeTask, linear: Linear) -> Reason | None:
    """Why a weight cannot be trained into blocks; None where it can."""
    where = f"{linear.address} stays whole"
    for why in _obstacles(task, linear):
        return why.told(f"{where}: {why}")
    return None


def _obstacles(task: DecomposeTask, linear: Linear) -> Iterator[Reason]:
    yield from (one.reason for one in observable(task.model, [linear])[1])
    if (why := obstacle(linear)) is not None:
        yield why
    maker = linear.weight.producer()
    if (maker is not None and maker.op_type != "Constant") or len(tuple(linear.weight.uses())) != 1:
        yield Reason(Cause.UNSUPPORTED, "its weight is not stored for it alone, as it is read")
    if linear.layout.kind == "conv":
        yield Reason(Cause.UNTESTED, "its features are channels of a convolution")
    if linear.dtype not in LEARNING:
        yield Reason(Cause.DATA_TYPE, f"its weight is of {linear.dtype.name}, too coarse to learn in small steps")
