"""A sweep over levels as a table for the terminal, as JSON, and in one sentence."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..ir.levels import Jump, LevelResult, Sweep, strongest
from .metric import Budget, MetricError
from .report import make_table

__all__ = ["level_view", "sweep_view", "to_dict", "verdict"]

SHOWN = 12  # operators of a level before the rest is summed up


def sweep_view(sweep: Sweep, budget: Budget | None = None, everything: bool = False) -> RenderableType:
    """A row per level, the jumps and what caused them, notes, and the verdict; with `everything` each operator too."""
    parts: list[RenderableType] = [_levels(sweep, budget)]
    if everything:
        parts += [level_view(result, everything=True) for result in sweep.levels]
    parts += [Text(_jump(jump, sweep), style="yellow") for jump in sweep.jumps]
    parts += [Text(note, style="dim") for note in sweep.notes]
    samples = f" on {_count(sweep.samples, 'sample')}" if sweep.samples else ""
    tail = f"test: {sweep.test}; {_measure(sweep)}{samples}; {sweep.seconds:.1f} s"
    return Group(*parts, Text(tail, style="dim"), Text(f"\n{verdict(sweep, budget)}", style="bold"))


def level_view(result: LevelResult, everything: bool = False) -> RenderableType:
    """What one level leaves of each operator, most blocks first, and why the others are as they were."""
    table = make_table(f"level {result.level:g}", ("operator", "left"))
    for name in ("weight", "confirmed", "kept", "components", "giant", "dormant", "MACs left"):
        table.add_column(name, justify="right")
    table.add_column("left as it is because")
    ordered = sorted(result.operators, key=lambda operator: (-operator.components, -operator.entries, operator.node))
    for operator in ordered if everything else ordered[:SHOWN]:
        table.add_row(
            Text(operator.node),
            f"{operator.shape[0]}x{operator.shape[1]}",
            f"{operator.confirmed:.1%}",
            f"{operator.kept:.1%}",
            f"{operator.components:,}",
            f"{operator.giant:.1%}",
            f"{operator.dormant:,}" if operator.dormant else "-",
            f"{operator.mac_share:.1%}",
            Text(operator.reason),
        )
    rest = 0 if everything else len(ordered) - SHOWN
    return Group(table, Text(f"… and {rest} more (--all shows them)", style="dim")) if rest > 0 else table


def to_dict(sweep: Sweep, budget: Budget | None = None) -> dict[str, Any]:
    """The sweep for JSON, with its verdict and, under a budget, the level that it allows (None when none is)."""
    found = {**sweep.to_dict(), "verdict": verdict(sweep, budget)}
    if budget is None:
        return found
    chosen = strongest(sweep.levels, budget.limit)
    limit = {"metric": budget.metric.name, "limit": budget.limit}
    return {**found, "budget": limit, "allowed": None if chosen is None else chosen.level}


def verdict(sweep: Sweep, budget: Budget | None = None) -> str:
    """What the sweep says, in one sentence: how far the model can be annealed within the budget, or what it costs.

    Raises MetricError when the budget is for another metric than the one that was measured.
    """
    if budget is None:
        return f"{_course(sweep)}; {_continuity(sweep)}"
    if budget.metric.name != sweep.metric_name:
        raise MetricError(f"the limit is for {budget.metric.name}, but {sweep.metric_name} was measured; use the same")
    first, limit = sweep.levels[0], f"{budget.metric.name} <= {budget.limit:g}"
    if (chosen := strongest(sweep.levels, budget.limit)) is None:
        became = "has no known drop" if first.drop is None else f"already drops by {_number(first.drop)}"
        return f"no level stays within {limit}: the weakest, {first.level:g}, {became}"
    gain = (
        f"{chosen.splits} of {_count(len(chosen.operators), 'operator')} split, {chosen.mac_share:.1%} of the MACs left"
    )
    if not chosen.splits:
        gain = "no operator splits there, so nothing is gained"
    drop = _number(chosen.drop)
    return f"level {chosen.level:g} is the strongest within {limit}: drop {drop}, {gain}; {_continuity(sweep)}"


def _levels(sweep: Sweep, budget: Budget | None) -> Table:
    """One row per level; a drop is red beyond the budget and green within."""
    table = make_table("levels", ("level", "left"))
    for name in ("confirmed", "kept", "components", "giant", "splits", "MACs left"):
        table.add_column(name, justify="right")
    metric = sweep.levels[0].metric is not None or sweep.baseline is not None
    for name in [sweep.metric_name, "drop"] * metric + ["deviation", "cosine"]:
        table.add_column(Text(name), justify="right")
    table.add_column("")
    if sweep.baseline is not None:
        table.add_row("original", "", "100.0%", "", "", "", "100.0%", _number(sweep.baseline), "", "", "", "")
    jumps = {jump.level_to: jump for jump in sweep.jumps}
    for result in sweep.levels:
        style = "" if budget is None else "green" if budget.allows(result.drop) else "red"
        jump = jumps.get(result.level)
        judged: list[RenderableType] = [_number(result.metric), Text(_number(result.drop), style=style)]
        table.add_row(
            f"{result.level:g}",
            f"{result.confirmed:.1%}",
            f"{result.kept:.1%}",
            f"{result.components:,}",
            f"{result.giant:.1%}",
            f"{result.splits}/{len(result.operators)}",
            f"{result.mac_share:.1%}",
            *judged * metric,
            _number(result.deviation),
            _number(result.cosine),
            "" if jump is None else Text(f"jump from {jump.level_from:g}", style="yellow"),
        )
    return table


def _jump(jump: Jump, sweep: Sweep) -> str:
    between = f"between the levels {jump.level_from:g} and {jump.level_to:g} the {_measure(sweep)} changes"
    change = f"by {_number(jump.change)}" if math.isfinite(jump.change) else "to or from what is no number"
    named = f"; most changed: {', '.join(jump.operators)}" if jump.operators else ""
    return f"jump: {between} {change} (expected at most {_number(jump.threshold)}){named}"


def _measure(sweep: Sweep) -> str:
    """What the course of a sweep is judged by."""
    known = all(result.metric is not None for result in sweep.levels)
    return sweep.metric_name if known else "deviation"


def _course(sweep: Sweep) -> str:
    """From the weakest to the strongest level: the metric, the splits and the MACs."""
    first, last = sweep.levels[0], sweep.levels[-1]
    judged = [_number(r.metric if _measure(sweep) == sweep.metric_name else r.deviation) for r in (first, last)]
    original = "" if sweep.baseline is None else f" (original {_number(sweep.baseline)})"
    if len(sweep.levels) == 1:
        return (
            f"at level {first.level:g} {_measure(sweep)} is {judged[0]}{original}, {first.splits} of "
            f"{_count(len(first.operators), 'operator')} split and {first.mac_share:.1%} of the MACs are left"
        )
    return (
        f"from level {first.level:g} to {last.level:g} "
        f"{_measure(sweep)} goes from {judged[0]} to {judged[1]}{original}, "
        f"the operators that split from {first.splits} to {last.splits} of {len(last.operators)}, "
        f"the MACs left from {first.mac_share:.1%} to {last.mac_share:.1%}"
    )


def _continuity(sweep: Sweep) -> str:
    if len(sweep.levels) < 3:
        return "too few levels to tell whether the results change continuously"
    if not sweep.jumps:
        return "the results change continuously with the level"
    where = ", ".join(f"from {jump.level_from:g} to {jump.level_to:g}" for jump in sweep.jumps)
    return f"the results jump {where}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.4g}"
    return "0" if text == "-0" else text


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
