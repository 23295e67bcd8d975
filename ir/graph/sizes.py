"""Settings that a model is predicted and measured for: a size for each dimension of its inputs that the graph leaves
open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Protocol

from ..errors import ScissionError
from ..onnx_ir import onnx_ir as ir

__all__ = [
    *("DEFAULT_BATCH", "OTHERS", "UNNAMED", "Complete", "InputError", "Setting"),
    *("extent", "input_dims", "named_dims", "open_dims", "require_known", "settings_at"),
]

UNNAMED = ""  # in a mapping of sizes: every open dimension without a name
DEFAULT_BATCH = (1, 16, 256)  # positions in all
OTHERS = 16  # size of an open dimension behind a batch that is asked for
Dims = Sequence["int | str | None"]


class InputError(ScissionError):
    """Inputs that cannot be made for a model, sizes that it does not have, or a file that is not what it wants."""


class Complete(Protocol):
    """Open dimensions of which some follow from others."""

    @property
    def free(self) -> Sequence[str]:
        """Those that may be chosen."""

    def sizes(self, chosen: Mapping[str, int]) -> dict[str, int] | None:
        """The size of every dimension where the free ones are chosen so; None where that cannot be."""


@dataclass(frozen=True, slots=True)
class Setting:
    """batch: size of the leading open dimension, or where there is none what unknown extents are taken to come to;
    sizes: of every open dimension, by name, `UNNAMED` for those without one."""

    batch: int
    sizes: Mapping[str, int]


def input_dims(model: ir.Model) -> list[tuple[int | str | None, ...]]:
    """The shapes of what a model is fed: numbers, names of open dimensions, None for those without one."""
    fed = (value for value in model.graph.inputs if value.const_value is None and value.shape is not None)
    return [tuple(map(extent, value.shape or ())) for value in fed]


def extent(dim: int | ir.SymbolicDim) -> int | str | None:
    """The number or name of a dimension; None for one without, and for a negative number, by which some exporters mean
    an open one.

    >>> [extent(dim) for dim in ir.Shape([3, "n", None, -1])]
    [3, 'n', None, None]
    """
    if isinstance(dim, int):
        return dim if dim >= 0 else None
    return dim.value


def named_dims(shapes: Iterable[Dims]) -> list[str]:
    """The names of open dimensions of some inputs, each once, in order.

    >>> named_dims([("time", "batch", 8), ("batch", None, "")])
    ['time', 'batch']
    """
    return list(dict.fromkeys(dim for shape in shapes for dim in shape if isinstance(dim, str) and dim))


def open_dims(shapes: Iterable[Dims]) -> dict[str, int]:
    """The open dimensions of some inputs, the batch first, and on how many axes of one input each is.

    The batch is the one whose name says so, else the first of all.

    >>> open_dims([("time", "batch_size", 8), ("batch_size", None, None)])
    {'batch_size': 1, 'time': 1, '': 2}
    """
    found: dict[str, int] = {}
    for shape in shapes:
        names = [dim or UNNAMED for dim in shape if not isinstance(dim, int)]
        found |= {name: max(found.get(name, 0), names.count(name)) for name in names}
    batch = next((name for name in found if "batch" in name.lower()), None)
    return found if batch is None else {batch: found[batch], **found}


def require_known(names: Collection[str], fixed: Mapping[str, int], parts: Collection[str] = ()) -> None:
    """Raise InputError where sizes are given for dimensions that are not open, or are not positive.

    parts: what the names of dimensions are made of besides, as 'past' of 'past + 1', which may be given as well.
    """
    unknown = [name for name in fixed if name not in names and name not in parts]
    if unknown:
        known = [name for name in names if name]
        raise InputError(
            f"no input has an open dimension called {', '.join(map(repr, unknown))}; "
            f"there is {', '.join(map(repr, known)) or 'none'}"
        )
    wrong = [f"{name}={size!r}" for name, size in fixed.items() if not _is_size(size)]
    if wrong:
        raise InputError(f"the size of a dimension must be a whole number of at least 1, got {', '.join(wrong)}")


def _is_size(size: object) -> bool:
    return isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 1


def settings_at(
    shapes: Iterable[Dims],
    batch: Sequence[int] | None = None,
    fixed: Mapping[str, int] | None = None,
    complete: Complete | None = None,
) -> tuple[Setting, ...]:
    """Sizes of the open dimensions of inputs of these shapes, one setting for each batch.

    batch: sizes of the leading open dimension that `fixed` does not name; the others are `OTHERS` then. Without it the
    open dimensions come to each of `DEFAULT_BATCH` positions together: all alike, the leading one takes what is left
    over. fixed: sizes that hold in every setting, by name; complete: makes the sizes of all dimensions out of those of
    the free ones, where some follow from others, None where it cannot; the free ones are those that it names. A
    dimension without a name on several axes of one input comes to its size on all of them together. Raises InputError
    for sizes of what is not open.

    >>> [setting.sizes for setting in settings_at([("n", "time", 8)])]
    [{'n': 1, 'time': 1}, {'n': 4, 'time': 4}, {'n': 16, 'time': 16}]
    >>> settings_at([("n", "time", 8)], [4], {"time": 100})
    (Setting(batch=4, sizes={'n': 4, 'time': 100}),)
    """
    axes = open_dims(shapes)
    fixed = dict(fixed or {})
    if complete is None:
        require_known(axes, fixed)
        free = {name: count for name, count in axes.items() if name not in fixed}
    else:
        free = {name: axes.get(name, 1) for name in sorted(complete.free, key=[*axes, *complete.free].index)}
    lead = next(iter(axes), None)
    found: dict[tuple[int, ...], Setting] = {}
    for count in batch or DEFAULT_BATCH:
        chosen = _spread(free, count) if batch is None else _led(free, count)
        sizes = (complete.sizes(chosen) if complete else None) or dict.fromkeys(axes, 1) | fixed | chosen
        own = count if lead is None else sizes[lead]
        found.setdefault((own, *(sizes[name] for name in axes)), Setting(own, sizes))
    return tuple(found.values())


def _spread(free: Mapping[str, int], count: int) -> dict[str, int]:
    """Sizes whose product over all axes is `count`, or as few more as can be."""
    if not free:
        return {}
    first, *others = free
    each = max(1, round(count ** (1 / sum(free.values()))))
    rest = each ** (sum(free.values()) - free[first])
    return {first: _root(-(-count // rest), free[first])} | dict.fromkeys(others, each)


def _led(free: Mapping[str, int], count: int) -> dict[str, int]:
    """The batch asked for, and what stands behind it."""
    if not free:
        return {}
    first, *others = free
    wanted = {first: count} | dict.fromkeys(others, OTHERS)
    return {name: size if name != UNNAMED else _root(size, free[name]) for name, size in wanted.items()}


def _root(count: int, axes: int) -> int:
    return count if axes == 1 else max(1, round(count ** (1 / axes)))
