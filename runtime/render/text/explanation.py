"""One operator explained, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding

from ....ir.findings.explanation import Explanation, Glue, Percolation, Trial
from ....ir.findings.inspection import Inspection
from ....ir.findings.near_products import NearProduct, NearProducts, SliceRanks
from ....ir.findings.touched import Change, Touched
from ....ir.plural import and_more, counted
from ..console import Text

__all__ = ["explanation_view", "lines"]

LISTED = 8  # entries that are named
NEAR = "how near it is to a product of smaller weights: an analysis, none is exact or applied"
PARTS = 6  # parts whose shapes are named


def explanation_view(found: Explanation, everything: bool = False) -> RenderableType:
    """The sections of an explanation, each with its heading; everything: all entries between parts that are known."""
    parts: list[RenderableType] = []
    for heading, told in lines(found, everything):
        parts.append(Text(heading, style="bold"))
        parts += [Padding(Text(line), (0, 0, 0, 2), expand=False) for line in told]
    return Group(*parts, *([Text(_sum(found), style="bold")] if found.inspection is not None else []))


def _sum(found: Explanation) -> str:
    """What becomes of the operator, and why."""
    row = found.inspection
    assert row is not None
    verdict = "stays dense" if row.verdict == "dense" else f"is split by '{row.verdict}', {row.left:.1%} of it left"
    return f"{found.node} {verdict}: {row.reason}"


def lines(found: Explanation, everything: bool = False) -> Iterator[tuple[str, list[str]]]:
    """(Heading, sentences) of what there is to say."""
    where = f" in {found.scope}" if found.scope else ""
    title = f"{found.node}: {found.operator}{where}"
    if found.skipped is not None:
        entries = f"{found.skipped.parameters:,} constant entries" if found.skipped.parameters else ""
        told, reason = _before(found), found.skipped.reason
        if all(one.by.reason.cause is not reason.cause for one in found.touched):  # else that has been said
            changed = any(one.inside or found.node in one.by.nodes for one in found.touched)
            told.append(f"{'not split' if changed else 'left as it is'}: {reason}")
        told += [one.sentence for one in found.recording]
        yield title, [*told, *([entries] if entries else [])]
        if found.trials:
            yield "what was tried", [_tried(one) for one in found.trials]
        return
    row = found.inspection
    if row is None:
        return
    yield title, [*_before(found), *_likeness(row, found.rows), *(one.sentence for one in found.recording)]
    yield "what was tried", [_tried(one) for one in found.trials]
    if found.percolation is not None:
        yield "what would have to be true for it to split", _needed(row, found.percolation)
    for one in found.glue:
        yield _together(one), _entries(one, everything)
    if found.near is not None:
        yield NEAR, _near(found.near, row.parameters)


def _before(found: Explanation) -> list[str]:
    """What was done to it before anything was split."""
    return [line for one in found.touched for line in _told(one, found.node)]


def _told(one: Touched, node: str) -> Iterator[str]:
    """What a preparation made of a node, and what of it is another."""
    named = node in one.by.nodes
    if named or one.inside:
        became = one.by.became if named else "gone" if one.gone else "changed"
        yield f"{became}, before anything is split: {one.by.reason}"
        yield from map(_changed, one.changes)
    else:
        yield from (f"{_changed(change)}, before anything is split: {one.by.reason}" for change in one.changes)


def _changed(one: Change) -> str:
    if one.what == "attribute":
        return f"its attribute {one.name!r} has another value"
    own = f"its {one.what} {one.name!r}"
    if one.before is None or one.after is None:
        return f"{own} is {'new' if one.before is None else 'gone'}"
    before, after = _dims(one.before), _dims(one.after)
    return f"{own}, {before}, holds other numbers" if before == after else f"{own} is {after} instead of {before}"


def _dims(shape: Sequence[int | str | None]) -> str:
    return " x ".join("?" if dim is None else str(dim) for dim in shape) if shape else "one number"


def _likeness(row: Inspection, rows: str) -> list[str]:
    dormant = f"{counted(row.dormant_inputs, 'input')} and {counted(row.dormant_outputs, 'output')} without an edge"
    verdict = "left dense" if row.verdict == "dense" else f"split by '{row.verdict}', {row.left:.1%} of it left"
    return [
        f"weight {row.weight or 'without a name'}, {counted(row.inputs, 'input')} by "
        f"{counted(row.outputs, 'output')}, {row.type}, {counted(row.parameters, 'entry', 'entries')}",
        f"{row.nonzeros:,} edges: density {row.density:.2%}, {row.degree:,.1f} per feature",
        *([dormant] if row.dormant_inputs or row.dormant_outputs else []),
        *([f"rows: {rows}"] if rows else []),
        f"the plan: {verdict}; {row.reason}",
    ]


def _tried(one: Trial) -> str:
    gain = "" if one.gain is None else f", {one.gain:.2f}x the speed of dense is predicted"
    end = " (taken)" if one.taken else f"; not taken: {one.refused}" if one.refused else ""
    return f"{one.what}: {one.found}{gain}{end}"


def _needed(row: Inspection, found: Percolation) -> list[str]:
    told = [
        f"a random weight of this shape falls apart below a density of {found.random:.2%}, where density times "
        f"sqrt(K N) is 1; here that is {row.distance:,.3g}, and {row.degree:,.1f} edges per feature",
    ]
    if found.threshold:
        gone = min(found.gone, 0.9999) if found.components else found.gone  # not rounded up to all
        told.append(
            f"without the entries up to |w| = {found.threshold:.3g}, {gone:.2%} of the edges, no component holds half "
            f"of the features: the largest of {found.components:,} holds {found.giant:.1%}"
        )
    else:
        told.append(f"no component holds half of the features as it is: the largest holds {row.giant:.1%}")
    return told


def _together(one: Glue) -> str:
    if one.how == "cut":
        return "what holds its largest parts together: the fewest entries found between them"
    return "what holds its largest parts together by size: the entries that join the last two when small ones go first"


def _entries(one: Glue, everything: bool) -> list[str]:
    shapes = ", ".join(f"{k}x{n}" for k, n in one.parts[:PARTS])
    shown = one.entries if everything else one.entries[:LISTED]
    listed = ", ".join(f"[{k}, {n}] {value:.3g}" for k, n, value in shown)
    between = f"{one.count:,} entr{'y' if one.count == 1 else 'ies'} between them, {one.share:.2%} of the edges"
    parts = f"parts of {and_more(shapes, len(one.parts) - PARTS)} (inputs x outputs); {between}"
    return [parts, f"the largest: {and_more(listed, one.count - len(shown))}"]


def _near(found: NearProducts, parameters: int) -> list[str]:
    """A sentence for each factorisation and each product; parameters: entries of the weight."""
    return [*map(_slices, found.slices), *(_near_product(one, parameters) for one in found.products)]


def _slices(one: SliceRanks) -> str:
    ranks = f"{one.least}" if one.least == one.most else f"{one.least} to {one.most}"
    whole = one.places * one.groups
    of = f"all {whole:,}" if one.looked_at == whole else f"{one.looked_at:,} of {whole:,}"
    return f"{_shape(one)}: rank {ranks} of {one.full} in {of} slices"


def _near_product(one: NearProduct, parameters: int) -> str:
    blocks = f"{one.places:,} blocks {one.radix}x{one.groups * one.rank}, {one.groups:,} blocks"
    what = f"Monarch, rank {one.rank}: {blocks} {one.places * one.rank}x{one.outputs}"
    if one.how == "kronecker":
        what = f"Kronecker: {one.radix}x{one.groups} times {one.places}x{one.outputs}"
    gain = "" if one.gain is None else f", {one.gain:.2f}x is predicted"
    return f"{what}: {one.macs / parameters:.1%} of the multiply-adds{gain}, loses {one.error:.1%} of the weight"


def _shape(one: SliceRanks) -> str:
    apart = f"{one.groups} apart" if one.strided else "in runs"
    return f"inputs {one.radix}x{one.places}, outputs {one.groups}x{one.outputs} {apart}"
