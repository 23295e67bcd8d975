"""Which form of a unit wins a race: the planned one, unless another is clearly faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..measure.comparison import Comparison, Speed

__all__ = ["Beside", "Winner", "choose_winner"]

Beside: TypeAlias = Callable[[str, str], Sequence[Comparison]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """form: the name of the winner; settled: whether another measurement could hardly choose another one: every other
    form is clearly slower, or as fast within the margin."""

    form: str
    settled: bool


def choose_winner(forms: Sequence[str], planned: str, dense: str, beside: Beside, *, force: bool = False) -> Winner:
    """The form to take among those that ran at every size; `dense` and `planned` need not be among them.

    forms: best predicted first; beside: what one form was beside another, at each size, dense included. A form beats
    another that it is clearly faster than at some size and nowhere slower, or whose lowest speed beside dense lies
    clearly below its own. The planned form stays until it is beaten, by dense too, unless `force` is true; a form that
    is clearly slower than dense at any size is never taken then.

    >>> def beside(one, other):
    ...     ratio = {"a": 2.0, "b": 2.01, "c": 3.0, "dense": 1.0}
    ...     found = ratio[one] / ratio[other]
    ...     return [Comparison(ratio=found, low=found * 0.99, high=found * 1.01, pairs=40)]
    >>> choose_winner(["b", "a"], "a", "dense", beside)
    Winner(form='a', settled=True)
    >>> choose_winner(["b", "a", "c"], "a", "dense", beside)
    Winner(form='c', settled=True)
    """

    def loses(form: str) -> bool:
        return form != dense and any(one.speed is Speed.SLOWER for one in beside(form, dense))

    def beats(form: str, other: str) -> bool:
        return _dominates(beside(form, other)) or _worst(form)[0] > _worst(other)[1]

    def _worst(form: str) -> tuple[float, float]:
        if form == dense:
            return 1.0, 1.0
        found = beside(form, dense)
        return min(one.low for one in found), min(one.high for one in found)

    rivals = [form for form in forms if form != dense and (force or not loses(form))]
    if force:
        champion = planned if planned in rivals else next(iter(rivals), planned)
    else:
        champion = planned if planned in rivals and not beats(dense, planned) else dense
    for form in rivals:
        if form != champion and beats(form, champion):
            champion = form
    others = [form for form in (*forms, *(() if force else (dense,))) if form != champion]
    if champion not in (*forms, dense):  # nothing ran at every size
        return Winner(form=champion, settled=True)
    settled = all(
        all(one.decided for one in beside(form, champion)) or beats(champion, form) or loses(form) for form in others
    )
    return Winner(form=champion, settled=settled)


def _dominates(found: Sequence[Comparison]) -> bool:
    """Whether it is clearly faster somewhere, and nowhere may be slower."""
    speeds = {one.speed for one in found}
    return Speed.FASTER in speeds and speeds <= {Speed.FASTER, Speed.EQUAL}
