"""The settings that a model is predicted and measured in, with what its graph says of the sizes of its inputs, and what
follows from the values that the user gives for some: `--value shape=2,8,256` fixes what is reshaped to it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ....ir.graph.sizes import InputError, Setting, open_dims, settings_at
from ....ir.io.load import Model
from ...ort.memory import halvings
from ...ort.tensor_spec import TensorSpec, number_type
from ..inputs import UNNAMED
from ..spec import spec_of
from ..wishes import Value, Wishes, filled, wished_sizes, wishes_of
from .dimensions import Dimensions
from .size_facts import Derived, derive

if TYPE_CHECKING:
    from ...ort.trials import Trials

__all__ = ["Turn", "given_sizes", "settings_of", "settled_sizes", "sized", "smaller_settings", "turns_of"]

MOST = 12  # combinations of values that are looked into
ENTRIES = 64  # of an input that a size may follow from


def settings_of(
    model: Model, batch: Sequence[int] | None = None, sizes: Mapping[str, int] | None = None
) -> Callable[[], tuple[Setting, ...]]:
    """What finds the settings of a model, once it is asked: a graph with several open dimensions is read for them.

    batch, sizes: as in `settings_at`. Raises InputError at once for sizes of what is not open.
    """
    spec = spec_of(model, given=True)
    Dimensions.of(spec, sizes)

    @functools.cache
    def found() -> tuple[Setting, ...]:
        several = len(open_dims([one.shape for one in spec])) > 1
        return sized(spec, batch, sizes, derive(model) if several else None)

    return found


def sized(
    spec: Sequence[TensorSpec],
    batch: Sequence[int] | None,
    fixed: Mapping[str, int] | None,
    derived: Derived | None = None,
) -> tuple[Setting, ...]:
    """`settings_at` over the dimensions that may be chosen; the others follow from those and from the graph."""
    known, ties = (derived.known, derived.ties) if derived else ({}, {})
    dimensions = Dimensions.of(spec, fixed, known, ties)
    return settings_at([one.shape for one in spec], batch, dimensions.known, dimensions)


def settled_sizes(model: Model, sizes: Mapping[str, int]) -> dict[str, int]:
    """The size of every open dimension of the inputs that these sizes settle, those made of others included.

    Raises InputError for sizes of what is not open, and where one would be smaller than 1, none is settled, or they
    contradict each other.
    """
    if UNNAMED in sizes:
        raise InputError(f"{model.name}: only a dimension with a name can be fixed")
    dimensions = Dimensions.of(spec_of(model, given=True), sizes)
    found = dict(dimensions.known)
    for name, expression in dimensions.formed.items():
        if name not in found and all(part in found for part in expression.names):
            size = expression.size(found)
            if not size:
                raise InputError(f"{model.name}: with these sizes dimension {name!r} has none of at least 1")
            found[name] = size
    for name, expression in dimensions.formed.items():
        parts = [part for part in expression.names if part in dimensions.names]
        unmet = name in sizes and any(part not in found for part in parts) and len(expression.names) == 1
        if unmet or (all(part in found for part in expression.names) and expression.size(found) != found[name]):
            raise InputError(
                f"{model.name}: dimension {name!r} cannot be {found[name]} together with {_told(parts, found)}"
            )
    settled = {name: int(found[name]) for name in dimensions.names if name in found}
    if not settled:
        raise InputError(f"{model.name}: {', '.join(map(repr, sizes))} alone settles the size of no dimension")
    return settled


def _told(names: Sequence[str], sizes: Mapping[str, int]) -> str:
    """Dimensions and their sizes, for people.

    >>> _told(["n", "m"], {"n": 2})
    "'n' of 2 and any 'm'"
    """
    return " and ".join(f"{name!r} of {sizes[name]}" if name in sizes else f"any {name!r}" for name in names)


def smaller_settings(model: Model, setting: Setting, fixed: Mapping[str, int] | None = None) -> Iterator[Setting]:
    """Smaller and smaller settings that the graph and the user's `fixed` sizes allow; none where sizes follow from
    others that are not there."""
    spec = spec_of(model, given=True)
    derived = derive(model)
    dimensions = Dimensions.of(spec, fixed, derived.known, derived.ties)
    lead = next(iter(open_dims([one.shape for one in spec])), None)
    if all(name in setting.sizes for name in dimensions.free):
        chosen = {name: setting.sizes[name] for name in dimensions.free}
        for sizes in filter(None, map(dimensions.sizes, halvings(chosen, dimensions.free))):
            yield Setting(setting.batch if lead is None else sizes[lead], sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One of the combinations of values that trials go through.

    given: sizes that the user gives, those of lists of values included; derived: what the graph says of sizes where
    inputs hold these values, None where those say nothing; sizes: given ones and those that follow.
    """

    given: Mapping[str, int]
    derived: Derived | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that are given or follow from the values."""
        return {**(self.derived.known if self.derived else {}), **self.given}


def turns_of(model: Model, spec: Sequence[TensorSpec], trials: Trials) -> list[Turn]:
    """One turn for each combination of the values that inputs hold, at least one.

    Raises InputError for a value that its input cannot hold.
    """
    wishes = wishes_of(trials)
    found = []
    for turn in range(wishes.ways if wishes.ways <= MOST else 1):
        chosen = wishes.at(turn)
        sizes = wished_sizes(spec, Wishes(values={name: (value,) for name, value in chosen.items()}))
        sizes |= trials.sizes or {}
        values = dict(_held(spec, chosen, sizes)) if wishes.ways <= MOST else {}
        derived = derive(model, values) if values else None
        found.append(Turn(given=sizes, derived=derived))
    return found


def given_sizes(model: Model, spec: Sequence[TensorSpec], trials: Trials) -> dict[str, int]:
    """The sizes that the user gives, those included that follow from the values of the first trial."""
    turn, names = turns_of(model, spec, trials)[0], {dim or UNNAMED for one in spec for dim in one.shape}
    return {name: size for name, size in turn.sizes.items() if name in names or name in turn.given}


def _held(
    spec: Sequence[TensorSpec], chosen: Mapping[str, Value], sizes: Mapping[str, int]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The small inputs of whole numbers whose shape and value are known."""
    for one in spec:
        shape = tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in one.shape)
        extents = [dim for dim in shape if isinstance(dim, int)]
        dtype = number_type(one)
        small = len(extents) == len(shape) and math.prod(extents) <= ENTRIES
        if small and one.name in chosen and dtype is not None and dtype.kind in "iub":
            yield one.name, filled(one, tuple(extents), chosen[one.name])
