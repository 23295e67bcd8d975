"""A sweep over levels as a table for the terminal, as JSON, and in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType

from ....ir.findings.level_sweep import Jump, LevelResult, Sweep, strongest
from ...calibrate.metric.metric import Budget, MetricError
from ..console import Text
from ..words import left_out
from .fitted_table import Column, FittedTable, lines_of
from .table import SHOWN

__all__ = ["level_view", "short_name", "sweep_view", "to_dict", "verdict"]

LONGEST = 15  # letters of a metric's name as the head of a column
HINTS = {  # where every level gives the same
    None: "",
    "stated": "; a bounded initialisation has no tail: try --anneal support",
    "estimated": "; a bounded initialisation has no tail: try --anneal support with the --init that it was",
}
TAKEN = ("level", "confirmed", "kept", "components", "giant", "dormant", "split", "drop", "deviation", "cosine")


def short_name(metric: str) -> str:
    """The name of a metric without the module it is from.

    >>> short_name("argmax"), short_name("python:package.module.accuracy")
    ('argmax', 'accuracy')
    """
    return metric.rpartition(".")[2] if metric.startswith("python:") else metric


def sweep_view(sweep: Sweep, budget: Budget | None = None, everything: bool = False) -> RenderableType:
    """A row per level, the jumps and what caused them, notes, and the verdict; with `everything` each operator too."""
    parts: list[RenderableType] = [_levels(sweep, budget)]
    if everything:
        parts += [level_view(result, everything=True, title=_at(result, sweep)) for result in sweep.levels]
    parts += [Text(_jump(jump, sweep), style="yellow") for jump in sweep.jumps]
    parts += [Text(note, style="dim") for note in sweep.notes]
    samples = f" on {_count(sweep.samples, 'sample')}" if sweep.samples else ""
    tail = f"test: {sweep.test}; {_measure(sweep)}{samples}; {sweep.seconds:.1f} s"
    return Group(*parts, Text(tail, style="dim"), Text(), Text(verdict(sweep, budget), style="bold"))


def level_view(result: LevelResult, everything: bool = False, title: str = "") -> RenderableType:
    """What one level leaves of each operator, most blocks first, and below why the others are as they were."""
    columns = (
        Column(name="operator", text=True),
        Column(name="weight", optional=3),
        Column(name="confirmed", optional=1),
        Column(name="kept", optional=2),
        *(Column(name=name) for name in ("components", "giant", "dormant", "MACs left")),
    )
    ordered = sorted(result.operators, key=lambda operator: (-operator.components, -operator.entries, operator.node))
    shown = ordered if everything else ordered[:SHOWN]
    rows = [
        (
            operator.node,
            f"{operator.shape[0]}x{operator.shape[1]}",
            f"{operator.confirmed:.1%}",
            f"{operator.kept:.1%}",
            f"{operator.components:,}",
            f"{operator.giant:.1%}",
            f"{operator.dormant:,}",
            f"{operator.mac_share:.1%}",
        )
        for operator in shown
    ]
    title = title or f"level {result.level:g}"
    parts: list[RenderableType] = [FittedTable(title=title, columns=columns, rows=tuple(rows))]
    if len(shown) < len(ordered):
        parts.append(Text(left_out(len(ordered) - SHOWN), style="dim"))
    reasons = [(operator.node, str(operator.reason or "")) for operator in ordered]
    return Group(*parts, *lines_of(reasons, everything, "left as it is: "))


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
        return _joined(_course(sweep), _continuity(sweep))
    if budget.metric.name != sweep.metric_name:
        raise MetricError(f"the limit is for {budget.metric.name}, but {sweep.metric_name} was measured; use the same")
    first, limit = sweep.levels[0], f"{budget.metric.name} <= {budget.limit:g}"
    if (chosen := strongest(sweep.levels, budget.limit)) is None:
        became = "has no known drop" if first.drop is None else f"already drops by {_number(first.drop)}"
        if not sweep.leveled:
            return f"{_at(first, sweep)} does not stay within {limit}: it {became}"
        return f"no level stays within {limit}: the weakest, {first.level:g}, {became}"
    stays = "is the strongest within" if sweep.leveled else "stays within"
    found = f"{_at(chosen, sweep)} {stays} {limit}: drop {_number(chosen.drop)}, {_gain(chosen)}"
    return _joined(found, _continuity(sweep))


def _gain(result: LevelResult) -> str:
    """What a level saves."""
    macs = f"{result.mac_share:.1%} of the MACs left"
    if result.splits:
        return f"{result.splits} of {_count(len(result.operators), 'operator')} split, {macs}"
    if result.dormant:
        return f"no operator splits, without {_count(result.dormant, 'dormant feature')} {macs}"
    if result.drop is not None and result.drop < 0:
        return "no operator splits there, so nothing gets faster, but the metric is better than the original's"
    return "no operator splits there, so nothing is gained"


def _at(result: LevelResult, sweep: Sweep) -> str:
    """A level by its number, or the test where it has none."""
    return f"level {result.level:g}" if sweep.leveled else f"the test {sweep.test.partition(',')[0]}"


def _levels(sweep: Sweep, budget: Budget | None) -> FittedTable:
    """One row per level; a drop is red beyond the budget and green within."""
    measured = sweep.levels[0].metric is not None or sweep.baseline is not None
    metric = short_name(sweep.metric_name)
    if len(metric) > LONGEST or (metric in TAKEN and metric != sweep.metric_name):
        metric = "metric"
    giant = "share of the features in the largest component, at its worst over the operators"
    deviation = "largest error over the largest value of its output"
    columns = [
        Column(name="level", text=True),
        Column(name="confirmed", meaning="entries that the test confirms", optional=1),
        Column(name="kept", meaning="entries that stay", optional=4),
        Column(name="components", meaning="over all operators", optional=5),
        Column(name="giant", meaning=giant),
        Column(name="dormant", meaning="features without any edge left"),
        Column(name="split", meaning="operators with more than one component"),
        Column(name="MACs left", meaning="multiply-adds that stay"),
    ]
    if measured:
        columns += [Column(name=metric), Column(name="drop")]
    columns.append(Column(name="deviation", meaning=deviation, optional=3 if measured else 0))
    if not (measured and sweep.metric_name == "cosine"):
        columns.append(Column(name="cosine", meaning="of the outputs with those of the original", optional=2))
    if sweep.jumps:
        columns.append(Column(name=""))
    original = {"level": "original", "kept": "100.0%", "MACs left": "100.0%", metric: _number(sweep.baseline)}
    jumps = {found.level_to: found for found in sweep.jumps}
    rows: list[Mapping[str, str | Text]] = [original] if sweep.baseline is not None else []
    for result in sweep.levels:
        style = "" if budget is None else "green" if budget.allows(result.drop) else "red"
        cells: dict[str, str | Text] = {**_cells(result), "level": f"{result.level:g}" if sweep.leveled else "-"}
        cells |= {metric: _number(result.metric)} if measured else {}
        cells |= {"drop": Text(_number(result.drop), style=style)}
        cells |= {"": Text("jump", style="yellow")} if result.level in jumps else {}
        rows.append(cells)
    table = tuple(tuple(row.get(column.name, "") for column in columns) for row in rows)
    return FittedTable(title="levels", columns=tuple(columns), rows=table)


def _cells(result: LevelResult) -> dict[str, str]:
    """What a level keeps and how far its outputs are from the original, by the names of the columns."""
    return {
        "confirmed": f"{result.confirmed:.1%}",
        "kept": f"{result.kept:.1%}",
        "components": f"{result.components:,}",
        "giant": f"{result.giant:.1%}",
        "dormant": f"{result.dormant:,}",
        "split": f"{result.splits}/{len(result.operators)}",
        "MACs left": f"{result.mac_share:.1%}",
        "deviation": _number(result.deviation),
        "cosine": _number(result.cosine),
    }


def _jump(jump: Jump, sweep: Sweep) -> str:
    between = f"between the levels {jump.level_from:g} and {jump.level_to:g} the {short_name(_measure(sweep))} changes"
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
    if len(sweep.levels) == 1 or _same(sweep):
        where = (
            f"{'at' if sweep.leveled else 'by'} {_at(first, sweep)}"
            if len(sweep.levels) == 1
            else f"from level {first.level:g} to {last.level:g}"
        )
        return (
            f"{where} {short_name(_measure(sweep))} is {judged[0]}{original}, {first.splits} of "
            f"{_count(len(first.operators), 'operator')} split and {first.mac_share:.1%} of the MACs are left"
        )
    return (
        f"from level {first.level:g} to {last.level:g} "
        f"{short_name(_measure(sweep))} goes from {judged[0]} to {judged[1]}{original}, "
        f"the operators that split from {first.splits} to {last.splits} of {len(last.operators)}, "
        f"the MACs left from {first.mac_share:.1%} to {last.mac_share:.1%}"
    )


def _same(sweep: Sweep) -> bool:
    """Whether all levels, of which there are several, give what looks the same."""
    found = [{**_cells(result), "metric": _number(result.metric)} for result in sweep.levels]
    return len(found) > 1 and all(one == found[0] for one in found)


def _continuity(sweep: Sweep) -> str:
    """Whether the results change continuously with the level; nothing where there is but one."""
    if len(sweep.levels) == 1:
        return ""
    if _same(sweep):
        return f"every level gives the same result{HINTS[sweep.bounded]}"
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


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
