"""The structure of a weight as tables for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from ....ir.findings.structure import Labels, Structure
from ....passes.connectivity.bipartite import components
from ....passes.connectivity.edges import relate
from ....passes.factor.diagonals import Butterfly
from ...weights.source import Weight
from ...weights.states import StateGraph, check_threshold
from ..console import Text
from ..words import left_out

__all__ = [
    "Summary",
    "oversized_dict",
    "oversized_view",
    "structure_view",
    "summarize",
    "summarize_operator",
    "summary_view",
    "to_dict",
]

NODES = 40  # rows of the node table before the rest is left to --all
MEMBERS, WITH_SIZES = "members", "which, with their sizes"  # titles of columns
LISTS = frozenset({MEMBERS, WITH_SIZES})
SHOWN = 12  # rows of the other tables
NAMED = 8  # members of a list that are named before the rest is counted
MOST_COUPLINGS = 1 << 22  # edges of the condensation that JSON lists one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The structure of a weight in numbers; isolated counts states, giant is the share of the largest component."""

    states: int
    edges: int
    sccs: int
    components: int
    layers: int
    isolated: int
    giant: float
    engine: str


def summarize(structure: Structure, states: StateGraph) -> Summary:
    """The numbers of a structure."""
    return Summary(
        states=structure.size,
        edges=states.adjacency.count,
        sccs=structure.sccs,
        components=structure.components,
        layers=structure.layers,
        isolated=int(structure.isolated.sum()),
        giant=structure.giant,
        engine=structure.engine,
    )


def summarize_operator(weight: Weight, threshold: float = 0.0) -> Summary:
    """The same for the bipartite graph of a weight, where every state is an SCC, from its components alone."""
    found = components(relate(weight.matrix, check_threshold(threshold)))
    states = found.inputs.size + found.outputs.size
    return Summary(
        states=states,
        edges=found.nonzeros,
        sccs=states,
        components=found.count + found.dormant,
        layers=2 if found.nonzeros else 1,
        isolated=found.dormant,
        giant=max(found.giant, 1 / states),
        engine="components",
    )


def oversized_dict(summary: Summary, weight: str) -> dict[str, Any]:
    """For JSON, what can be said of a weight with too many inputs and outputs to tell of each."""
    return {"weight": weight, "scope": "operator", "summary": asdict(summary)}


def oversized_view(summary: Summary, weight: str) -> RenderableType:
    """The same for the terminal."""
    note = f"no table: {summary.states:,} inputs and outputs are too many to tell of each"
    return Group(summary_view(summary, weight), Text(note, style="dim"))


def summary_view(summary: Summary, name: str) -> RenderableType:
    """The numbers in two lines."""
    counted = [_count(summary.states, "state"), _count(summary.edges, "edge"), _count(summary.sccs, "SCC")]
    counted += [_count(summary.components, "component"), _count(summary.layers, "layer")]
    giant = f"largest component: {summary.giant:.1%} of the states; found by the engine {summary.engine!r}"
    return Group(
        Text.assemble((name, "bold"), ": ", ", ".join(counted), f", {summary.isolated:,} isolated"),
        Text(giant, style="dim"),
    )


def structure_view(
    structure: Structure,
    states: StateGraph,
    first: int = 0,
    everything: bool = False,
    factors: Butterfly | None = None,
) -> RenderableType:
    """Summary, node table in the order of the new indices, layers and components; all counted from `first`."""
    parts: list[RenderableType] = [summary_view(summarize(structure, states), states.name)]
    parts += [Text(_factored(factors), style="dim")] if factors is not None else []
    parts.append(Text())
    parts.append(_nodes(structure, states, first, structure.size if everything else NODES))
    if not everything:
        parts += _rest(structure.size - NODES)
    limit = max(structure.size, 1) if everything else SHOWN
    parts += [Text(), *_layers(structure, first, limit), Text(), *_components(structure, states, first, limit)]
    return Group(*parts)


def _nodes(structure: Structure, states: StateGraph, first: int, limit: int) -> Table:
    table = _table("nodes", "new", "node", "SCC", "component", "layer", "isolated")
    for row in _first(structure, limit):
        node, scc, component, layer, isolated, new = row
        numbers = [str(number + first) for number in (scc, component, layer)]
        table.add_row(str(new + first), states.label(node, first), *numbers, str(int(isolated)))
    return table


def _first(structure: Structure, limit: int) -> Iterator[Any]:
    return (row for row, _ in zip(structure.rows(), range(limit), strict=False))


def _rest(count: int) -> list[RenderableType]:
    return [Text(left_out(count), style="dim")] if count > 0 else []


def _layers(structure: Structure, first: int, limit: int) -> list[RenderableType]:
    """The SCCs of each layer, with the number of their states where that is not one."""
    table = _table("layers", "layer", "SCCs", "states", WITH_SIZES)
    sizes = np.bincount(structure.scc, minlength=structure.sccs)
    of_scc = np.empty(structure.sccs, np.int64)
    of_scc[structure.scc] = structure.layer
    by_layer = np.split(np.argsort(of_scc, kind="stable"), np.cumsum(np.bincount(of_scc))[:-1])
    for layer, sccs in list(enumerate(by_layer))[: limit if structure.size else 0]:
        named = [f"{scc + first}" + (f" ({sizes[scc]:,})" if sizes[scc] > 1 else "") for scc in sccs[:NAMED].tolist()]
        table.add_row(str(layer + first), f"{sccs.size:,}", f"{sizes[sccs].sum():,}", _abridged(named, sccs.size))
    return [table, *_rest(structure.layers - limit)]


def _components(structure: Structure, states: StateGraph, first: int, limit: int) -> list[RenderableType]:
    """The components that hold an edge; those of one isolated state are summed up."""
    table = _table("components", "component", "states", "SCCs", "layers", MEMBERS)
    bounds = np.cumsum(np.bincount(structure.component, minlength=structure.components))[:-1]
    by_component = np.split(np.argsort(structure.component, kind="stable"), bounds) if structure.size else []
    linked = [(index, members) for index, members in enumerate(by_component) if not structure.isolated[members[0]]]
    for index, members in linked[:limit]:
        sccs, layers = np.unique(structure.scc[members]).size, int(structure.layer[members].max()) + 1
        named = [states.label(member, first) for member in members[:NAMED].tolist()]
        counts = (f"{number:,}" for number in (members.size, sccs, layers))
        table.add_row(str(index + first), *counts, _abridged(named, members.size))
    alone = np.flatnonzero(structure.isolated)
    if alone.size:
        named = [states.label(node, first) for node in alone[:NAMED].tolist()]
        table.add_row("isolated", *(f"{alone.size:,}",) * 2, "1", _abridged(named, alone.size))
    return [table, *_rest(len(linked) - limit)]


def _abridged(named: Sequence[str], count: int) -> Text:
    return Text(", ".join(named) + (f" … {count - len(named):,} more" if count > len(named) else ""))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in LISTS else "right")
    return table


def _factored(factors: Butterfly) -> str:
    """The factors of a weight in words: 'a product of 32 blocks 16x16 and 16 blocks 32x32: 24,576 multiply-adds'."""
    told = " and ".join(f"{_count(one.count, 'block')} {one.shape[0]}x{one.shape[1]}" for one in factors.diagonals)
    return f"a product of {told}: {factors.macs:,} multiply-adds"


def to_dict(
    structure: Structure, states: StateGraph, first: int = 0, factors: Butterfly | None = None
) -> dict[str, Any]:
    """Everything, for JSON: indices counted from `first`, couplings as [from SCC, to SCC].

    The labels and `new` have an entry for each state, `order` the state at each new index. `couplings` is null where
    there are millions of them; `factors` where the weight is no product of block-diagonal ones.
    """
    coupled = structure.condensation.count
    return {
        "weight": states.name,
        "scope": "state" if states.inputs is None else "operator",
        "inputs": states.inputs,
        "numbered_from": first,
        "summary": asdict(summarize(structure, states)),
        "order": _numbers(structure.order, first),
        "new": _numbers(structure.new, first),
        "scc": _numbers(structure.scc, first),
        "component": _numbers(structure.component, first),
        "layer": _numbers(structure.layer, first),
        "isolated": structure.isolated.tolist(),
        "factors": factors
        and [{"blocks": one.count, "inputs": one.shape[0], "outputs": one.shape[1]} for one in factors.diagonals],
        "couplings": None if coupled > MOST_COUPLINGS else _numbers(structure.couplings()[:, ::-1], first),
    }


def _numbers(labels: Labels, first: int) -> list[Any]:
    return (labels + first).tolist()  # type: ignore[no-any-return]
