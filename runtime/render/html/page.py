"""The page of a report: a template filled, with its styles, its script and its pictures inside."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Template

from ....ir.findings.inspection import Inspection
from ..picture.canvas import COLOURS
from ..scale import scale_of
from ..text.diff_lines import drifts, named, operators, relations, sources, totals
from ..words import megabytes
from .environment import environment_of_pages

if TYPE_CHECKING:
    from .document import Report
    from .linear_section import Portrait, StateView

__all__ = ["page"]

TEMPLATE = "page.html"
MOST_ROWS = 40  # of tables inside of details
MOST_LISTED = 200  # differences of one kind


class ReasonGroup(NamedTuple):
    """Why operators stay as they are, how many, the first few of them, and what they hold of the parameters."""

    why: str
    op: str
    nodes: tuple[str, ...]
    number: int
    parameters: int


def page(report: Report) -> str:
    """One HTML file with everything in it; it asks for nothing from anywhere."""
    return _template().render(
        report=report,
        plan=report.plan,
        colours=COLOURS,
        anchors={
            node: f"linear-{index}"
            for index, one in enumerate(report.portraits, 1)
            for node in (one.row.node, *one.like)
        },
        portrayed=sum(1 + len(one.like) for one in report.portraits),
        reasons=list(_reasons(report)),
        listed=MOST_LISTED,
    )


@cache
def _template() -> Template:
    environment = environment_of_pages()
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "share": lambda share: f"{share:.1%}",
        "size": megabytes,
        "named": named,
        "ops": operators,
        "of": sources,
        "short": _short,
        "milliseconds": lambda seconds: f"{seconds * 1e3:,.2f} ms",
        "uri": lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}",
    }
    environment.globals |= {
        "evidence_of": _evidence,
        "layers_of": _layers_of,
        "nodes_of": _nodes_of,
        "scale_of": scale_of,
        "relations_of": relations,
        "drifts_of": drifts,
        "totals_of": totals,
        "verdict_of": _verdict_of,
    }
    return environment.from_string(files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))


def _short(number: float) -> str:
    """A large count for people.

    >>> _short(1234), _short(22_700_000)
    ('1,234', '22.7 M')
    """
    return f"{number:,.0f}" if number < 1e5 else f"{number / 1e6:,.1f} M" if number < 1e9 else f"{number / 1e9:,.1f} G"


def _verdict_of(row: Inspection) -> str:
    return "left dense" if row.verdict == "dense" else row.verdict


def _reasons(report: Report) -> Iterator[ReasonGroup]:
    """Why linears and other operators stay as they are, the largest share of the parameters first."""
    kept = [(one.reason.text, one.op, one.node, one.parameters) for one in report.plan.left_alone]
    sizes: Counter[tuple[str, str]] = Counter()
    nodes: dict[tuple[str, str], list[str]] = {}
    for why, op, node, parameters in kept:
        sizes[why, op] += parameters
        nodes.setdefault((why, op), []).append(node)
    for (why, op), parameters in sizes.most_common():
        every = nodes[why, op]
        yield ReasonGroup(why, op, tuple(every[:MOST_ROWS]), len(every), parameters)


def _nodes_of(view: StateView) -> list[Any]:
    """The first rows of the node table, in the order of the permutation."""
    return list(islice(view.structure.rows(), MOST_ROWS))


def _layers_of(view: StateView) -> list[tuple[int, int, int]]:
    """(layer, SCCs, states) of the first layers."""
    found = view.structure
    states = np.bincount(found.layer, minlength=found.layers)
    firsts = np.unique(found.scc, return_index=True)[1]
    sccs = np.bincount(found.layer[firsts], minlength=found.layers)
    return [(layer, int(sccs[layer]), int(states[layer])) for layer in range(min(found.layers, MOST_ROWS))]


def _evidence(portrait: Portrait) -> list[tuple[str, str]]:
    """What a test said about a weight that is annealed, in words."""
    one = portrait.annealing
    if one is None:
        return []
    evidence = one.evidence
    found = [
        ("removed", f"{one.removed:,} entries ({one.removed / (one.shape[0] * one.shape[1]):.1%})"),
        ("test", f"{evidence.test} at level {evidence.level:g}, correction {evidence.correction}"),
        ("confirmed", f"{evidence.confirmed:.2%} of the entries"),
    ]
    if evidence.null is not None:
        how = " (estimated from the weight itself)" if evidence.null.estimated else ""
        found.append(("sigma of the null", f"{evidence.null.sigma:.4g}{how}"))
    if evidence.expected_false is not None:
        found.append(("expected false edges", f"{evidence.expected_false:.3g}"))
    if evidence.smallest is not None:
        found.append(("smallest |w| that could be confirmed", f"{evidence.smallest:.4g}"))
    if one.residual:
        found.append(("kept beside the blocks", f"{len(one.residual):,} single entries"))
    if evidence.certificate is not None:
        proof = evidence.certificate
        verdict = "accepted" if proof.accepted else "refused"
        found.append(("certificate", f"{verdict}: {proof.reason} (p of the split {proof.split:.2g}, "
                                     f"level outside {proof.ratio:.3g} of the null)"))  # fmt: skip
    found += [("power", evidence.power)] if evidence.power else []
    found += [("note", note) for note in evidence.notes]
    return [*found, ("comes back from", f"weight {one.weight}, sha256 {one.sha256}")]
