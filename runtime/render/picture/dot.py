"""The structure of a weight as a graph in the language of graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ....ir.errors import Remedy, ScissionError
from ....ir.findings.structure import Structure
from ....ir.printable import printable
from ...weights.states import StateGraph

__all__ = ["DotError", "dot"]

FEW = 60  # states that are drawn one by one; with more of them, a node is an SCC
MOST = 20_000  # nodes and edges of a graph that anything can still lay out
NAMED = 12  # members of an SCC that its label names
INNER, COUPLING = "#0072B2", "#E69F00"  # told apart by the colour-blind and in grey


class DotError(ScissionError):
    """A graph that is too large to be drawn."""


def dot(structure: Structure, states: StateGraph, first: int = 0) -> str:
    """A cluster for each component, a rank for each layer, a node for each SCC, or for each state when they are few.

    Isolated states share one cluster. Edges point from source to target; those between SCCs are the couplings. Indices
    are counted from `first`. Raises DotError where there is too much to draw.
    """
    coupled = structure.condensation.count
    if structure.sccs + coupled > MOST and structure.size > FEW:
        raise DotError(
            f"{states.name}: {structure.sccs:,} SCCs and {coupled:,} couplings are too many to draw as a graph; ",
            Remedy(
                "`to_dict` of it lists them and `picture` shows the matrix",
                "--json lists them and --picture shows the matrix",
            ),
        )
    single = structure.size <= FEW
    body = _states(structure, states, first) if single else _sccs(structure, states, first)
    head = [
        f"digraph {_quoted(states.name)} {{",
        '  graph [newrank=true, rankdir=TB, fontname="Helvetica", style=rounded, color="#999999"];',
        f'  node [shape={"circle" if single else "box"}, style=filled, fillcolor="#EAF2F8", fontname="Helvetica"];',
        f'  edge [color="{COUPLING}", penwidth=1.5];',
    ]
    return "\n".join([*head, *body, "}", ""])


def _states(structure: Structure, states: StateGraph, first: int) -> Iterator[str]:
    """A node for each state, framed by its SCC where that has others; inner edges do not move anything to a rank."""
    linked = np.where(structure.isolated, structure.components, structure.component)  # those alone share one frame
    for component in np.unique(linked).tolist():
        yield from _open(component, first, structure)
        for scc in np.unique(structure.scc[linked == component]).tolist():
            nodes = [f"n{node} [label={_quoted(states.label(node, first))}];" for node in structure.members[scc]]
            if len(nodes) == 1:
                yield f"    {nodes[0]}"
                continue
            label = _quoted(f"SCC {scc + first}")
            yield f'    subgraph cluster_s{scc} {{ label={label}; style="rounded,filled"; fillcolor="#CFE3F2";'
            yield from (f"      {node}" for node in nodes)
            yield "    }"
        yield "  }"
    yield from _ranks("n", structure.layer.tolist())
    for target, source in np.argwhere(states.adjacency.dense()).tolist():
        inner = structure.scc[target] == structure.scc[source]
        yield f"  n{source} -> n{target}" + (f' [color="{INNER}", constraint=false];' if inner else ";")


def _sccs(structure: Structure, states: StateGraph, first: int) -> Iterator[str]:
    """A node for each SCC, named with its members, and the edges of the condensation."""
    heads = np.array([members[0] for members in structure.members], np.int64)
    layer = structure.layer[heads]
    component = np.where(structure.isolated, structure.components, structure.component)[heads]
    for index in np.unique(component).tolist():
        yield from _open(index, first, structure)
        for scc in np.flatnonzero(component == index).tolist():
            members = structure.members[scc]
            named = ", ".join(states.label(node, first) for node in members[:NAMED].tolist())
            more = f" … {members.size - NAMED:,} more" if members.size > NAMED else ""
            yield f"    n{scc} [label={_quoted(f'SCC {scc + first}: {named}{more}')}];"
        yield "  }"
    yield from _ranks("n", layer.tolist())
    yield from (f"  n{source} -> n{target};" for target, source in structure.couplings().tolist())


def _open(component: int, first: int, structure: Structure) -> Iterator[str]:
    yield f"  subgraph cluster_c{component} {{"
    yield f"    label={_quoted('isolated' if component == structure.components else f'component {component + first}')};"


def _ranks(prefix: str, layers: Iterable[int]) -> Iterator[str]:
    """All nodes of a layer side by side."""
    rows: dict[int, list[str]] = {}
    for index, layer in enumerate(layers):
        rows.setdefault(layer, []).append(f"{prefix}{index};")
    yield from (f"  {{ rank=same; {' '.join(rows[layer])} }}" for layer in sorted(rows))


def _quoted(text: str) -> str:
    """A string of the dot language, which knows one escape besides its own of labels: a quote."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
