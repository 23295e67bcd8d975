"""The condensation laid out as in figure A.2: layers from top to bottom, components side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....ir.findings.structure import Structure

__all__ = ["CELL", "HEADER", "Arrow", "Box", "Drawing", "Span", "lay_out"]

# Lengths in units of the picture; it is scaled to the page as a whole.
CELL = 1.15, 1.3  # width and height of the place of one state
HEADER = 0.75  # above the states of a box, for its name
MARGIN = 0.2
BETWEEN_BOXES, BETWEEN_LAYERS, BETWEEN_COMPONENTS = 0.6, 1.4, 1.3
NARROWEST = 3.2  # room for the name of a component
BENDS = (0.0, 0.1, -0.1, 0.2, -0.2, 0.35, -0.35, 0.5, -0.5)  # tried in this order until an arrow meets no box
STEPS = 24  # points of an arrow that are looked at

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """One SCC, or -1 for all isolated states together; x, y is its upper left corner, y grows downwards."""

    scc: int
    states: tuple[int, ...]
    x: float
    y: float
    header: float = HEADER

    @property
    def columns(self) -> int:
        """States in one row of the box."""
        count = len(self.states)
        return count if count <= 3 else math.ceil(math.sqrt(count))

    @property
    def width(self) -> float:
        """From its left to its right side."""
        return max(self.columns * CELL[0] + 2 * MARGIN, 1.9 if self.header == HEADER else 0)

    @property
    def height(self) -> float:
        """From its upper to its lower side."""
        return math.ceil(len(self.states) / self.columns) * CELL[1] + self.header + MARGIN

    @property
    def middle(self) -> float:
        """Where its centre is from left to right."""
        return self.x + self.width / 2

    def places(self) -> Iterator[tuple[int, Point]]:
        """The states with the centres of their places."""
        left = self.middle - min(self.columns, len(self.states)) * CELL[0] / 2
        for index, state in enumerate(self.states):
            row, column = divmod(index, self.columns)
            yield state, (left + (column + 0.5) * CELL[0], self.y + self.header + (row + 0.5) * CELL[1])

    def holds(self, point: Point) -> bool:
        """Whether a point lies in the box, or so near that it would seem to."""
        near = 0.1
        return (
            self.x - near < point[0] < self.x + self.width + near
            and self.y - near < point[1] < self.y + self.height + near
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    """A coupling from one SCC to another, a quadratic curve: where it begins, the point that bends it, its end."""

    source: int
    target: int
    points: tuple[Point, Point, Point]


@dataclass(frozen=True, slots=True)
class Span:
    """A layer from top to bottom or a component from left to right; index -1 is the column of the isolated states."""

    index: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything in its place."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    layers: tuple[Span, ...]
    components: tuple[Span, ...]
    width: float
    height: float


def lay_out(structure: Structure, named: bool = True) -> Drawing:
    """Boxes for the SCCs and arrows for the couplings; several isolated states share one box in the last column.

    named: leave room for the name of each SCC.
    """
    header = HEADER if named else MARGIN
    couplings = [(source, target) for target, source in structure.couplings().tolist()]
    alone = tuple(np.flatnonzero(structure.isolated).tolist())
    shared = len(alone) > 1
    rows: dict[tuple[int, int], list[Box]] = {}
    for scc, members in enumerate(structure.members):
        if not (shared and structure.isolated[members[0]]):
            place = int(structure.component[members[0]]), int(structure.layer[members[0]])
            rows.setdefault(place, []).append(Box(scc, tuple(members.tolist()), 0.0, 0.0, header))
    layers = _layers(rows, structure.layers)
    boxes: dict[int, Box] = {}
    columns: list[Span] = []
    x = 0.0
    for component in sorted({component for component, _ in rows}):
        grid = _sorted([rows.get((component, layer.index), []) for layer in layers], couplings)
        width = max(*map(_length, grid), NARROWEST)
        for row, layer in zip(grid, layers, strict=True):
            at = x + (width - _length(row)) / 2
            for box in row:
                boxes[box.scc] = replace(box, x=at, y=layer.start)
                at += box.width + BETWEEN_BOXES
        columns.append(Span(component, x, x + width))
        x += width + BETWEEN_COMPONENTS
    if shared:
        box = Box(-1, alone, x, 0.0, MARGIN)
        boxes[-1] = replace(box, x=x + max(NARROWEST - box.width, 0) / 2)
        columns.append(Span(-1, x, x + max(box.width, NARROWEST)))
    return Drawing(
        boxes=tuple(boxes.values()),
        arrows=tuple(_arrows(couplings, boxes)),
        layers=tuple(layers),
        components=tuple(columns),
        width=columns[-1].end if columns else 0.0,
        height=max((box.y + box.height for box in boxes.values()), default=0.0),
    )


def _sorted(grid: list[list[Box]], couplings: list[tuple[int, int]]) -> list[list[Box]]:
    """Each layer sorted by where its sources lie, so that fewer arrows cross (Sugiyama's barycentres, one sweep)."""
    place: dict[int, float] = {}
    done = []
    for row in grid:
        pulled = {box.scc: _mean([place[s] for s, t in couplings if t == box.scc]) for box in row}
        ordered = sorted(row, key=lambda box: (pulled[box.scc], box.scc))
        place |= {box.scc: (index + 0.5) / len(ordered) for index, box in enumerate(ordered)}
        done.append(ordered)
    return done


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.5


def _length(row: Sequence[Box]) -> float:
    return sum(box.width for box in row) + BETWEEN_BOXES * max(len(row) - 1, 0)


def _layers(rows: dict[tuple[int, int], list[Box]], count: int) -> list[Span]:
    """Where each layer begins and ends, high enough for its boxes in all components."""
    spans = []
    top = 0.0
    for layer in range(count):
        heights = [box.height for (_, at), row in rows.items() if at == layer for box in row]
        spans.append(Span(layer, top, top + max(heights, default=CELL[1])))
        top = spans[-1].end + BETWEEN_LAYERS
    return spans


def _arrows(couplings: list[tuple[int, int]], boxes: dict[int, Box]) -> Iterator[Arrow]:
    """Arrows from lower sides to upper sides, spread over them in the order of where they lead."""
    leaving = _spread([(s, t) for s, t in couplings], boxes)
    entering = _spread([(t, s) for s, t in couplings], boxes)
    for source, target in couplings:
        begin = leaving[source, target], boxes[source].y + boxes[source].height
        end = entering[target, source], boxes[target].y
        others = [box for box in boxes.values() if box.scc not in (source, target)]
        curves = [_bent(begin, end, bend) for bend in BENDS]
        yield Arrow(source, target, min(curves, key=lambda curve: _meetings(curve, others)))


def _spread(pairs: list[tuple[int, int]], boxes: dict[int, Box]) -> dict[tuple[int, int], float]:
    """Where on the side of the first box the arrow to or from the second one touches it."""
    found = {}
    for scc in dict.fromkeys(first for first, _ in pairs):
        others = sorted((other for first, other in pairs if first == scc), key=lambda other: boxes[other].middle)
        box = boxes[scc]
        for index, other in enumerate(others):
            found[scc, other] = box.x + box.width * (index + 1) / (len(others) + 1)
    return found


def _bent(begin: Point, end: Point, bend: float) -> tuple[Point, Point, Point]:
    (x0, y0), (x1, y1) = begin, end
    return begin, ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0)), end


def _meetings(curve: tuple[Point, Point, Point], boxes: list[Box]) -> int:
    """How many points of a curve lie in boxes."""
    t = np.linspace(0, 1, STEPS)[:, None]
    a, b, c = np.array(curve)
    points = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    return sum(box.holds((float(x), float(y))) for x, y in points for box in boxes)
