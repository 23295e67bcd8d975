"""Results as rich tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from ....ir.plan.plan import Plan, Step, told
from ....ir.plan.preparation import Preparation
from ....ir.plural import and_more, counted
from ....passes.decompose.blocks import is_cover
from ...measure.comparison import Speed
from ...measure.sequential import ALPHA
from ..console import Text
from ..naming import Naming
from ..words import left_out, plan_sentence
from .fitted_table import Column, FittedTable, lines_of
from .table import SHOWN, Name, ReasonRow, Reasons, make_table

if TYPE_CHECKING:
    from ...compare.unexercised import PartReport
    from ...compare.verdict import Verdict
    from ...measure.bench import Bench
    from ...pipeline.result import Result
    from ...tune.tuned import Tuned

__all__ = ["folder_view", "plan_view", "preparation_lines", "recurrences", "result_view", "timings", "verdict_view"]

REFUSED = 3  # of what is left apart that are told before the rest is summed up
STYLES = {Speed.FASTER: "bold green", Speed.SLOWER: "bold red", Speed.EQUAL: "bold", Speed.UNMEASURABLE: "yellow"}


def plan_view(plan: Plan, everything: bool = False, tuned: Tuned | None = None) -> RenderableType:
    """What a plan does, what was measured for it, why other linears stay as they are, and in a sentence its sum."""
    parts = [*_plan_parts(plan, everything, tuned), Text(plan_sentence(plan), style="bold")]
    return Group(*parts)


def _plan_parts(plan: Plan, everything: bool, tuned: Tuned | None = None) -> list[RenderableType]:
    """A plan without its sum."""
    parts: list[RenderableType] = []
    if plan.analysed and plan.steps:
        parts.append(Text(f"components found {plan.analysed}", style="dim"))
    if plan.annealing:
        from .annealing import annealing_view

        effect = plan.effect or "not measured: `scission sweep` and `scission optimize --anneal` measure it"
        parts += [annealing_view(plan.annealing, everything), Text(f"effect: {effect}", style="bold")]
    parts += preparation_lines(plan, everything)
    if plan.rewrites:
        parts.append(_rewrites(plan.rewrites if everything else plan.rewrites[:SHOWN], plan))
        if len(plan.rewrites) > SHOWN and not everything:
            parts.append(Text(left_out(len(plan.rewrites) - SHOWN), style="dim"))
        parts += _together(plan, everything)
    if tuned is not None:
        from .tuning import tuning_view

        parts.append(tuning_view(tuned.units, tuned.warnings, everything))
    parts += recurrences(plan, everything)
    if plan.left_alone:
        parts.append(_left_alone(plan, everything))
    return parts


def preparation_lines(plan: Plan, everything: bool) -> list[RenderableType]:
    """What is done before anything is split, and why; nothing where that is nothing."""
    parts: list[RenderableType] = []
    if plan.preparations:
        parts = [Text(f"{', '.join(told(plan.preparations))}, before anything is split", style="bold")]
        parts += lines_of(map(_named, plan.preparations), everything)
    return [*parts, *_refused(plan, everything)]


def _named(one: Preparation) -> tuple[str, str]:
    """The node that a preparation is said to be of, '' where its reason begins with none, and what is said of it."""
    text = str(one.reason)
    node = next((node for node in one.nodes if text.startswith(f"{node}: ")), "")
    return node, text.removeprefix(f"{node}: ")


def _refused(plan: Plan, everything: bool) -> list[RenderableType]:
    """What could have been done before anything is split and is not, the largest first."""
    if not plan.refused:
        return []
    first = sorted(plan.refused, key=lambda one: -len(one.nodes))
    shown = first if everything else first[:REFUSED]
    lines = ["left apart before anything is split", *(f"  {one.kind}: {one.reason}" for one in shown)]
    left = len(first) - len(shown)
    return [Text(line, style="dim") for line in [*lines, *([left_out(left, "of them")] if left else [])]]


def recurrences(plan: Plan, everything: bool) -> list[RenderableType]:
    """The structure of recurrent weights over their states; nothing where there are none."""
    found = [(step, step.states) for step in plan.steps if step.states is not None]
    if not found:
        return []
    table = make_table("recurrent states", ("node", "left"), ("operator", "left"))
    for name in ("states", "components", "SCCs", "layers", "giant"):
        table.add_column(name, justify="right")
    names = Naming(step.node for step, _ in found)
    for step, states in found if everything else found[:SHOWN]:
        counts = step.shape[1], states.components, states.sccs, states.layers
        table.add_row(Name(step.node, among=names), step.op, *(f"{count:,}" for count in counts), f"{states.giant:.1%}")
    more = [Text(left_out(len(found) - SHOWN), style="dim")]
    return [table, *(more if len(found) > SHOWN and not everything else [])]


def _together(plan: Plan, everything: bool) -> list[RenderableType]:
    """What is split together, and which shared axes got the order of the blocks; nothing where there is none."""
    lines = []
    for number, region in enumerate(plan.regions if everything else plan.regions[:SHOWN], 1):
        how = "each block on its own" if region.blocks_per_node == 1 else f"blocks stacked by {region.blocks_per_node}"
        first = ", features first" if region.layout == "features_first" else ""
        lines.append(f"region {number}: {region.reason}, {how}{first}")
    if len(plan.regions) > SHOWN and not everything:
        lines.append(left_out(len(plan.regions) - SHOWN, "regions"))
    if plan.reorderings:
        names = ", ".join(one.value for one in plan.reorderings[:3]) + (", …" if len(plan.reorderings) > 3 else "")
        count = len(plan.reorderings)
        lines.append(f"{count} inner {'axes' if count > 1 else 'axis'} of features in the order of the blocks: {names}")
    return [Text(line, style="dim") for line in lines]


def _rewrites(steps: Iterable[Step], plan: Plan) -> RenderableType:
    numbers = {node: number for number, region in enumerate(plan.regions, 1) for node in region.nodes}
    columns = (
        Column(name="node", text=True),
        Column(name="operator", optional=2),
        Column(name="weight"),
        Column(name="blocks"),
        Column(name="dormant", optional=1),
        Column(name="MACs left"),
        Column(name="lowering"),
        Column(name="predicted"),
    )
    rows = []
    for step in steps:
        blocks = len(step.decomposition.blocks)
        kind = " groups" if is_cover(step.decomposition) else ""
        merged = kind or ("" if blocks >= step.components else f" of {step.components}")
        row = (
            step.node,
            step.op,
            _shape(step),
            f"{blocks}{merged}",
            _dormant(step),
            f"{step.decomposition.mac_share:.1%}",
            f"region {numbers[step.node]}" if step.node in numbers else step.lowering,
            f"{step.gain:.1f}x" if step.gain else "",
        )
        rows.append(row)
    return FittedTable(title="split", columns=columns, rows=tuple(rows))


def _left_alone(plan: Plan, everything: bool) -> RenderableType:
    """Reasons with the nodes they hold for, largest share of the parameters first."""
    rows = [(one.reason.text, one.node, one.op, one.parameters) for one in plan.left_alone]
    title, names = "left as they are", Naming(node for _, node, _, _ in rows)

    def reason(node: str, rest: str, op: str, size: int, why: str) -> ReasonRow:
        return ReasonRow(Name(node, rest, names), op, _share(size, plan.parameters), why)

    if everything:
        return Reasons(title, tuple(reason(node, "", op, size, why) for why, node, op, size in rows))
    counts = Counter((why, op) for why, _, op, _ in rows)
    sizes: Counter[tuple[str, str]] = Counter()
    for why, _, op, parameters in rows:
        sizes[why, op] += parameters
    first = {(why, op): node for why, node, op, _ in reversed(rows)}
    told = [
        reason(first[why, op], and_more("", counts[why, op] - 1), op, size, why)
        for (why, op), size in sizes.most_common(SHOWN)
    ]
    if len(sizes) > SHOWN:
        told.append(ReasonRow(Name(f"… {len(sizes) - SHOWN} more"), "", "", "other reasons; --all shows them"))
    return Reasons(title, tuple(told))


def verdict_view(verdict: Verdict) -> RenderableType:
    """The comparison of two models, a row per output, and how near each split product came to its bound."""
    table = make_table("check", ("output", "left"), ("verdict", "left"), ("max error", "right"), ("relative", "right"))
    for name in ("allowed", "cosine", "same argmax"):
        table.add_column(name, justify="right")
    for report in verdict.outputs:
        table.add_row(
            Name(report.name),
            "identical" if report.identical else "equal" if report.equal else Text("DIFFERENT", style="bold red"),
            "0" if report.identical else f"{report.max_abs:.1e}",
            "0" if report.identical else f"{report.max_rel:.1e}",
            "0" if report.tolerance is None else f"{report.tolerance:.0e}",
            "" if report.cosine is None else f"{report.cosine:.7f}",
            "" if report.argmax is None else f"{report.argmax:.2%}",
        )
    parts: list[RenderableType] = [table]
    if verdict.probes:
        worst = max(verdict.probes, key=lambda probe: (not probe.within, probe.changed))
        own = "its" if len(verdict.probes) == 1 else "their"
        inside = sum(probe.within for probe in verdict.probes)
        parts.append(
            Text(
                f"{inside} of {counted(len(verdict.probes), 'split product')} within {own} a-priori error bound; "
                f"nearest: {worst.node} at {worst.changed:.1%} of it"
            )
        )
    if verdict.parts:
        done = sum(part.exercised for part in verdict.parts)
        parts.append(Text(f"branches and loop bodies: {done} exercised, {len(verdict.parts) - done} not exercised"))
        parts += [Text(f"  {_unexercised(part)}") for part in verdict.parts if not part.exercised][:SHOWN]
    parts += [Text(f"{said}; other inputs may show more") for said in verdict.masked[:SHOWN]]
    return Group(*parts)


def _unexercised(part: PartReport) -> str:
    where = "the same in both models" if not part.differs else "not the same in both models"
    return f"{part.sentence} ({where}): {part.remedy.shell} may run it"


def timings(benches: Sequence[Bench]) -> RenderableType:
    """Latency of two models side by side, a row per input size."""
    table = make_table("bench", ("batch", "right"), ("original", "right"), ("changed", "right"), ("speed-up", "right"))
    for name in ("interval", "verdict", "rows/s"):
        table.add_column(name, justify="right")
    for bench in benches:
        before, after = bench.original, bench.changed
        table.add_row(
            str(bench.rows or ""),
            f"{before.latency.median * 1e3:,.2f} ms",
            f"{after.latency.median * 1e3:,.2f} ms",
            Text(bench.comparison.figure, style=STYLES[bench.speed]),
            bench.comparison.range,
            bench.speed.value,
            f"{after.rows_per_second:,.0f}" if after.rows_per_second else "",
        )
    if not benches:
        return table
    before, after = benches[-1].original, benches[-1].changed
    threads = benches[-1].threads
    clock = "processor time" if benches[-1].clock == "cpu" else "time on the wall"
    return Group(
        table,
        Text(
            f"median of {_pairs(benches)} interleaved rounds by {clock}; the interval holds the true speed-up in "
            f"{1 - ALPHA:.1%} of all benches"
        ),
        Text(
            f"load {before.load_seconds:.2f} -> {after.load_seconds:.2f} s, "
            f"size {before.bytes_ / 1e6:,.1f} -> {after.bytes_ / 1e6:,.1f} MB, "
            f"on {benches[-1].provider}"
            + (f" with {threads} thread{'s' * (threads > 1)}" if threads else "")
            + _graphs(benches)
            + {None: "", True: ", with TF32", False: ", without TF32"}[benches[-1].tf32]
        ),
    )


def _pairs(benches: Sequence[Bench]) -> str:
    counts = [bench.pairs for bench in benches]
    return f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(counts[0])


def _graphs(benches: Sequence[Bench]) -> str:
    """Whether the models ran as CUDA graphs, and why not; nothing on the CPU, which has none."""
    if benches[-1].provider != "cuda":
        return ""
    without = [bench for bench in benches if not bench.cuda_graph]
    if not without:
        return ", as CUDA graphs"
    sizes = ", ".join(str(bench.rows) for bench in without) if len(without) < len(benches) else ""
    which = f" at batch {sizes}" if sizes else ""
    return f", without CUDA graphs{which}: {without[-1].cuda_graph_reason}"


def result_view(result: Result, everything: bool = False) -> RenderableType:
    """The plan, the check and the bench of one `optimize`, and what came of it."""
    parts: list[RenderableType] = []
    if result.selection is not None:
        from .annealing import selection_view

        nothing_done = result.outcome == "unchanged" and not result.plan.changes  # the outcome says why
        parts.append(selection_view(result.selection, everything, told=nothing_done))
    parts += _plan_parts(replace(result.plan, annealing=()), everything, result.tuned)
    if result.fallbacks:
        from .tuning import fallback_view

        parts.append(fallback_view(result.fallbacks, everything))
    if result.verdict is not None:
        parts.append(verdict_view(result.verdict))
    if result.benches:
        parts.append(timings(result.benches))
    style = {"split": "bold green", "failed": "bold red"}.get(result.outcome, "bold")
    parts += [Text(), *(Text(line, style="yellow") for line in _unproved(result))]
    parts += [Text(f"wrote {path}") for path in result.written]
    return Group(*parts, Text(f"{result.outcome}: {result.reason}", style=style))


def _unproved(result: Result) -> list[str]:
    """What nobody looked at of a model that was split, and what would."""
    if result.outcome != "split":
        return []
    lines = []
    if result.verdict is None:
        changed = [step.node for step in result.plan.rewrites]
        changed += [node for one in result.plan.preparations for node in one.nodes if node not in changed]
        named = and_more(", ".join(changed[:REFUSED]), len(changed) - REFUSED)
        same = "computes what it" if len(changed) == 1 else "compute what they"
        lines.append(f"unproved: that {named} {same} did; `scission check` compares the outputs of both")
    if not result.benches:
        lines.append("unmeasured: that it is faster; `scission bench` times both")
    return lines


def folder_view(results: Mapping[str, Result], everything: bool = False) -> RenderableType:
    """What came of each model of a folder, under its path there."""
    parts: list[RenderableType] = []
    for name, result in results.items():
        parts += [Text(name, style="bold"), result_view(result, everything), Text()]
    return Group(*parts)


def _shape(step: Step) -> str:
    return f"{step.shape[0]}x{step.shape[1]}"


def _dormant(step: Step) -> str:
    """Dormant inputs and outputs, nothing when there are none."""
    counts = step.dormant_inputs, step.dormant_outputs
    return f"{counts[0]} in {counts[1]} out" if any(counts) else "-"


def _share(parameters: int, total: int) -> str:
    return f"{parameters:,} ({parameters / max(total, 1):.1%})"
