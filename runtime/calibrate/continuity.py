"""Whether the results of a sweep change continuously with the level, and which operators break that (paper 4.5.1)."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence

from ...ir.findings.level_sweep import Jump, LevelResult, OperatorLevel

__all__ = ["FLOOR", "NAMED", "TYPICAL", "Effect", "effect", "jumps"]

FLOOR = 0.01  # of the metric's span: a smaller change is no jump, however even the others are
TYPICAL = 5.0  # times the median of the other changes
NAMED = 3  # operators that are named as the cause

Effect = Callable[[OperatorLevel, OperatorLevel], float]


def effect(before: OperatorLevel, after: OperatorLevel) -> float:
    """How much of an operator one step of the level removed or gave back: |change of the kept share| · K · N."""
    return abs(after.kept - before.kept) * after.entries


def jumps(
    levels: Sequence[LevelResult], *, span: float | None = 1.0, operator_effect: Effect = effect
) -> tuple[Jump, ...]:
    """The neighbouring levels between which the metric changes by far more than between the others.

    levels: from the weakest to the strongest. The metric is looked at where every level has one, else the deviation.
    A change is a jump when it exceeds both FLOOR of the span and TYPICAL times the median of the other changes, so
    that the median of a short sweep does not contain what it is to judge; between two levels alone nothing is typical.
    A change to or from NaN or infinity always is one. span: the range of the metric, None for its largest value here.
    The operators named are those of greatest `operator_effect`, then of greatest change in components.
    """
    measured = [result.metric for result in levels]
    numbers = [value for value in measured if value is not None]
    values, span = (numbers, span) if len(numbers) == len(levels) else ([r.deviation for r in levels], 1.0)
    if span is None:
        span = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    changes = [_change(one, other) for one, other in itertools.pairwise(values)]
    found = []
    for place, change in enumerate(changes):
        others = [other for at, other in enumerate(changes) if at != place and math.isfinite(other)]
        threshold = max(FLOOR * span, TYPICAL * statistics.median(others)) if others else FLOOR * span
        if change > threshold and (others or math.isinf(change)):
            before, after = levels[place], levels[place + 1]
            found.append(
                Jump(
                    level_from=before.level,
                    level_to=after.level,
                    change=change,
                    threshold=threshold,
                    operators=_causes(before, after, operator_effect),
                )
            )
    return tuple(found)


def _change(one: float, other: float) -> float:
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    return abs(other - one) if math.isfinite(one) and math.isfinite(other) else math.inf


def _causes(before: LevelResult, after: LevelResult, operator_effect: Effect) -> tuple[str, ...]:
    """The nodes that changed most, ties by name so that the order of the operators does not matter."""
    old = {operator.node: operator for operator in before.operators}
    changed = [
        (-operator_effect(old[new.node], new), -abs(new.components - old[new.node].components), new.node)
        for new in after.operators
        if new.node in old
    ]
    return tuple(node for size, components, node in sorted(changed)[:NAMED] if size or components)
