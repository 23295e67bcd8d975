"""Random inputs for a model, trial by trial: what the user, its graph and its signature say of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ....ir.io.load import Model
from ...ort.tensor_spec import TensorSpec
from ..drawing import STYLES, draw_feed
from ..inputs import index_bounds
from ..lengths import length_bounds
from ..meaning import Meaning, meanings
from ..sizes.settings import Turn, turns_of
from ..wishes import Wishes, wishes_of
from .profiles import profile_of

if TYPE_CHECKING:
    from ...ort.trials import Trials

__all__ = ["drawn"]

Feed: TypeAlias = "dict[str, Any]"


def drawn(
    model: Model,
    spec: Sequence[TensorSpec],
    trials: Trials,
    sizes: Iterable[Mapping[str, int]],
    *,
    first: int = 0,
    styles: Sequence[str] = STYLES[:1],
    profiled: bool = True,
) -> Iterator[Feed]:
    """A random feed for each of the sizes. first: number of the first of these trials; styles: of floats, in turn;
    profiled: whether inputs that nothing else tells of hold what their signature says.

    Raises InputError for what cannot be drawn, and for wishes that no input can fulfil.
    """
    wishes = wishes_of(trials)
    wishes.require(spec)
    rng = np.random.default_rng([trials.seed, first] if first else trials.seed)
    bounds, meant = index_bounds(model.graph), meanings(model.graph)
    turns = turns_of(model, spec, trials)
    if profiled:
        wishes = wishes.over(_signed(spec, meant, bounds))
    for number, chosen in enumerate(sizes, first):
        yield draw_feed(
            spec,
            rng,
            chosen,
            trial=number + _ahead(turns, number, chosen),
            bounds=bounds | length_bounds(model.graph, chosen),
            meant=meant,
            wishes=wishes,
            style=styles[(number - first) % len(styles)],
        )


def _signed(spec: Sequence[TensorSpec], meant: Mapping[str, Meaning], bounds: Mapping[str, tuple[int, int]]) -> Wishes:
    """What the signature says of inputs whose readers say less; positions follow one another in a table as well."""
    profile = profile_of(spec)
    if profile is None:
        return Wishes()
    told = {name for name, one in meant.items() if one.kind != "mask"} | bounds.keys()
    return profile.wishes.without({name for name in told if profile.wishes.likes.get(name) != "positions"})


def _ahead(turns: Sequence[Turn], number: int, sizes: Mapping[str, int]) -> int:
    """How many turns further the next one lies whose values go with these sizes; of those, one that asks for them."""
    suited = [step for step in range(len(turns)) if _suits(turns[(number + step) % len(turns)], sizes)]
    asking = [step for step in suited if _asks_for(turns[(number + step) % len(turns)], sizes)]
    return next(iter(asking or suited), 0)


def _asks_for(turn: Turn, sizes: Mapping[str, int]) -> bool:
    """Whether the values of a turn regroup dimensions of just these sizes."""
    groupings = turn.derived.groupings if turn.derived is not None else ()
    return any(all(sizes.get(name) == size for name, size in one.items()) for one in groupings)


def _suits(turn: Turn, sizes: Mapping[str, int]) -> bool:
    """Whether the values of a turn go with these sizes."""
    return all(sizes.get(name, size) == size for name, size in turn.sizes.items())
