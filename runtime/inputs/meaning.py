"""What an input stands for, as its readers tell: a choice, a length, a mask, a count. Noise would say little."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from ...ir.errors import ScissionError
from ...ir.graph.constants import Constants
from ...ir.graph.shapes import infer_shapes
from ...ir.onnx_ir import onnx_ir as ir
from .inputs import CARRIERS, UNNAMED
from .positions import POINTED, pointed

__all__ = ["Kind", "Meaning", "meanings"]

Kind: TypeAlias = (
    'Literal["choice", "condition", "length", "ratio", "mask", "padding", "count", "end", "index", "split"]'
)

ORDERS = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
COMPARISONS = ORDERS | {"Equal"}
COUNTS = {"Loop": (0,), "Range": (1,), "ConstantOfShape": (0,), "Expand": (1,), "Tile": (1,)}
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": lambda a, b: a // b if np.asarray(a).dtype.kind in "iu" else a / b,
    "Mod": np.mod,
}
HIDDEN = -1e4  # an attention score of nothing
SMALL = 16  # entries of a constant that are values to choose from; a longer one counts positions
STEPS = 1000  # values visited behind one input
COUNTED = 1000  # steps of a loop that a trial takes at most to get beyond a number
TRIED = 300  # small numbers among which one is looked for that arithmetic turns into the wanted one


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an input stands for, and what is known of its values.

    values: those that its readers tell apart, one beside them included, or of a count the steps that reach all that a
    body tells apart; extents: the dimensions (sizes or symbols) that a length counts or a position lies within, None
    for one that is not known; each: whether every entry along the last dimension has an extent of its own.
    """

    kind: Kind
    values: tuple[Any, ...] = ()
    extents: tuple[int | str | None, ...] = ()
    each: bool = False

    def tops(self, sizes: Mapping[str, int]) -> list[int]:
        """The extent of each entry along the last dimension, or one of all."""
        if not self.each:
            return [self.top(sizes)]
        return [replace(self, extents=(extent,)).top(sizes) for extent in self.extents]

    def top(self, sizes: Mapping[str, int]) -> int:
        """The largest length, where dimensions have these sizes."""
        known = [dim if isinstance(dim, int) else sizes.get(dim or UNNAMED) for dim in self.extents]
        found = [size for size in known if size is not None]
        return max(1, min(found)) if found else max([1, *sizes.values()])


@dataclass(frozen=True, slots=True)
class _Path:
    """A value that an input becomes: by carriers alone, or by arithmetic with constants."""

    value: ir.Value
    steps: tuple[tuple[str, Any, bool], ...] = ()
    """(operator, constant, whether the constant stands first)"""
    relative: bool = False
    """Whether it was multiplied by a size: then it is a share of that."""

    def at(self, start: Any) -> Any:
        with np.errstate(all="ignore"):
            for op, constant, first in self.steps:
                start = ARITHMETIC[op](*((constant, start) if first else (start, constant)))
        return start

    def starts(self, wanted: Any) -> Iterator[Any]:
        """Values of the input that become the wanted one."""
        if not self.steps:
            yield wanted
            return
        whole = isinstance(wanted, int)
        constants = [constant for _, constant, _ in self.steps]
        guesses = [*range(TRIED), *(-n for n in range(1, 20))]
        guesses += [guess for c in constants for guess in (wanted + c, wanted - c, wanted * c)]
        guesses += [wanted / c for c in constants if c]
        for guess in guesses:
            start = int(guess) if whole else float(guess)
            if self.at(start) == wanted:
                yield start
                return

    def others(self, numbers: Sequence[Any]) -> Iterator[Any]:
        """A value of the input that becomes none of these numbers, where arithmetic stands between."""
        known = [number for number in numbers if isinstance(number, int | float)]
        if self.steps and known:
            for guess in (max(known) + 1, 0, 1, -1, 2 * max(known) + 1):
                if self.at(type(known[0])(guess)) not in known:
                    yield type(known[0])(guess)
                    return


@dataclass(slots=True)
class _Found:
    kinds: list[Kind] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    extents: list[int | str | None] = field(default_factory=list)
    pointed: dict[tuple[int | str | None, ...], None] = field(default_factory=dict)
    """What each reader that takes it for positions lets them lie within."""


def meanings(model: ir.Model) -> dict[str, Meaning]:
    """What the readers of each input tell about it, inside of branches and loops too; nothing of the others.

    An input that is compared with constants is a choice between those, one compared with a Range or a size is a length,
    a bool that selects elements a mask, or padding where it selects what is not looked at, the trip count of a Loop a
    count, a length as a share of a size a ratio; what points into a value an end (1 … extent), an index or a start
    (0 … extent - 1), or the sizes of a split; indices of tables of a known size are `index_bounds`.
    """
    if any(_points(node) for node in model.graph.all_nodes()):
        model = model.clone()
        infer_shapes(model)
    constants = Constants(model)
    found = {}
    for value in model.graph.inputs:
        if value.name and value.const_value is None and isinstance(value.type, ir.TensorType):
            meaning = _meaning(value, constants)
            if meaning is not None:
                found[value.name] = meaning
    return found


def _points(node: ir.Node) -> bool:
    """Whether a node has positions that no initializer holds: how far they may go tells a shape."""
    places = [place for place in POINTED.get(node.op_type, ()) if place < len(node.inputs)]
    return any(one is not None and one.const_value is None for one in (node.inputs[place] for place in places))


def _meaning(value: ir.Value, constants: Constants) -> Meaning | None:
    found = _Found()
    for path in _paths(value, constants):
        for node, place in path.value.uses():
            _read(node, place, path, constants, found)
    scalar = value.shape is not None and all(dim == 1 for dim in value.shape)
    hiding = "padding" in found.kinds or "pad" in (value.name or "").lower().split("_")
    if value.dtype == ir.DataType.BOOL and (scalar or "condition" in found.kinds):
        return Meaning(kind="condition")
    if value.dtype == ir.DataType.BOOL:
        return Meaning(kind="padding" if hiding else "mask")
    if "condition" in found.kinds:
        return Meaning(kind="choice", values=(0, 1))
    if "length" in found.kinds:
        return Meaning(kind="length", extents=tuple(dict.fromkeys(found.extents)))
    if "ratio" in found.kinds:
        return Meaning(kind="ratio")
    if "count" in found.kinds:
        return Meaning(kind="count", values=(max(found.steps),) if found.steps else ())
    if found.values:
        return Meaning(kind="choice", values=_with_another(list(dict.fromkeys(found.values)), value.dtype))
    for kind in ("split", "index", "end"):
        if kind in found.kinds:
            entries = value.shape[-1] if value.shape is not None and len(value.shape) else 1
            first = next(iter(found.pointed))
            each = len(found.pointed) == 1 and len(first) > 1 and len(first) == entries
            every = dict.fromkeys(extent for extents in found.pointed for extent in extents)
            return Meaning(kind=cast("Kind", kind), extents=first if each else tuple(every), each=each)
    if hiding or "mask" in (value.name or "").lower():
        return Meaning(kind="padding" if hiding else "mask")
    return None


def _paths(value: ir.Value, constants: Constants) -> Iterator[_Path]:
    """The input and everything that it becomes on the way to its readers."""
    stack, seen = [_Path(value)], {value}
    while stack and len(seen) < STEPS:
        path = stack.pop()
        yield path
        for node, place in path.value.uses():
            if not node.outputs or node.outputs[0] in seen:
                continue
            after = _after(node, place, path, constants)
            if after is not None:
                seen.add(node.outputs[0])
                stack.append(after)


def _after(node: ir.Node, place: int, path: _Path, constants: Constants) -> _Path | None:
    if node.op_type in CARRIERS:
        return replace(path, value=node.outputs[0]) if place == 0 else None
    if node.op_type in ("ReduceMax", "ReduceMin", "Concat") and place == 0:
        return replace(path, value=node.outputs[0])
    if node.op_type in ARITHMETIC and len(node.inputs) == 2:
        number = _small(node.inputs[1 - place], constants)
        if number is None and node.op_type == "Mul" and _counts(node.inputs[1 - place], constants):
            return replace(path, value=node.outputs[0], relative=True)
        if number is not None and len(number) == 1:
            return _Path(node.outputs[0], (*path.steps, (node.op_type, number[0], place == 1)), path.relative)
    if node.op_type in ("Floor", "Ceil", "Round"):
        return replace(path, value=node.outputs[0])
    return None


def _counts(value: ir.Value | None, constants: Constants) -> bool:
    return value is not None and value not in constants and _extent(value, constants) is not _NONE


def _read(node: ir.Node, place: int, path: _Path, constants: Constants, found: _Found) -> None:
    """What one reader tells."""
    if node.op_type in ("If", "Loop") and place == (0 if node.op_type == "If" else 1):
        found.kinds.append("condition")
    elif place in COUNTS.get(node.op_type, ()):
        found.kinds.append("count")
        if node.op_type == "Loop":
            wanted = [1 + number for number in _compared_steps(node, constants) if COUNTED > number > 0]
            found.steps += itertools.chain.from_iterable(path.starts(1 + one) for one in wanted)
    elif (points := pointed(node, place, constants)) is not None:
        found.kinds.append(points[0])
        found.pointed[points[1]] = None
    elif node.op_type in COMPARISONS and len(node.inputs) == 2:
        other = node.inputs[1 - place]
        numbers = _small(other, constants)
        if numbers is not None and not path.relative:
            near = (-1, 0, 1) if node.op_type in ORDERS else (0,)
            for number in numbers:
                step = max(1.0, abs(number) / 10) if isinstance(number, float) else 1  # 1 beside 1e9 is nothing
                shifted = (number + one * step if one else number for one in near)
                found.values += itertools.chain.from_iterable(map(path.starts, shifted))
            found.values += path.others(numbers)
        elif other is not None and (extent := _extent(other, constants)) is not _NONE:
            found.kinds.append("ratio" if path.relative else "length")
            found.extents.append(None if path.steps else cast("int | str | None", extent))
    elif node.op_type == "Where" and place == 0 and (hidden := _small(node.inputs[1], constants)):
        if all(isinstance(one, float | int) and one <= HIDDEN for one in hidden):  # true is what is not looked at
            found.kinds.append("padding")
    elif node.op_type == "OneHot" and place == 0:
        found.values += [0, 1]


def _compared_steps(loop: ir.Node, constants: Constants) -> Iterator[int]:
    """The numbers of the steps that the body of a Loop tells apart."""
    body = loop.attributes.get("body")
    if body is None or body.is_ref() or not body.as_graph().inputs:
        return
    for path in _paths(body.as_graph().inputs[0], constants):
        for node, place in path.value.uses():
            if node.op_type in COMPARISONS and len(node.inputs) == 2:
                for number in _small(node.inputs[1 - place], constants) or ():
                    if isinstance(number, int | float) and math.isfinite(number):
                        yield from (int(one) for one in path.starts(int(number)))


def _with_another(values: list[Any], dtype: ir.DataType | None) -> tuple[Any, ...]:
    """The values and one that is none of them, so that what compares with it goes the other way too."""
    if isinstance(values[0], str):
        return (*values, "?")
    other = max(values) + 1
    if dtype is not None and dtype.is_integer():
        return (*(int(one) for one in values), int(other))
    return (*values, other)


def _small(value: ir.Value | None, constants: Constants) -> list[Any] | None:
    """The entries of a small constant; None for anything else."""
    if value is None or value not in constants:
        return None
    try:
        shape, _ = constants.describe(value)
        entries = np.ravel(constants.read(value)).tolist() if math.prod(shape) <= SMALL else None
        return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in entries or []] or entries
    except ScissionError:
        return None


class _NONE:
    """No length at all, where None is a length of unknown extent."""


def _extent(value: ir.Value, constants: Constants) -> int | str | type[_NONE] | None:
    """What dimension a value counts or is the size of, as a Range or a Shape makes it."""
    if value in constants:
        shape, _ = constants.describe(value)
        return max(shape, default=1)  # positions, written out
    index = 0
    unknown: type[_NONE] | None = _NONE
    for _ in range(STEPS):
        node = value.producer()
        if node is None:
            return unknown
        if node.op_type == "Range" and node.inputs[1] is not None:
            value, unknown = node.inputs[1], None  # positions, of whatever there are so many
        elif node.op_type in ("Gather", "Slice") and len(node.inputs) > 1 and node.inputs[0] is not None:
            at = _small(node.inputs[1], constants)
            index = int(at[0]) if at else 0
            value = node.inputs[0]
        elif node.op_type == "Shape" and node.inputs[0] is not None:
            start = node.attributes["start"].as_int() if "start" in node.attributes else 0
            shape_ = node.inputs[0].shape
            place = start + index
            if shape_ is None or not -len(shape_) <= place < len(shape_):
                return None
            dim = shape_[place]
            return dim if isinstance(dim, int) else dim.value
        elif node.op_type == "CumSum" or (node.op_type in ("Add", "Sub") and node.inputs[0] is not None):
            value = node.inputs[0]  # type: ignore[assignment]
        elif node.op_type in CARRIERS and node.inputs and node.inputs[0] is not None:
            value = node.inputs[0]
        else:
            return unknown
    return unknown
