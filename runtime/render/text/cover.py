"""The groups of a weight as tables for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table

from ....ir.plan.decomposition import to_ranges
from ....passes.cocluster.low_rank import CLOSE, LowRank
from ...weights.cover_study import Covering, Form, lowered_share
from ..console import Text
from ..words import left_out
from .fitted_table import Column, FittedTable
from .table import SHOWN, make_table

__all__ = ["cover_view", "to_dict"]

LOW_RANK = "blocks and low rank"
FORMS = (
    Column(name="form", text=True),
    Column(name="groups"),
    Column(name="MACs left"),
    Column(name="bytes left", optional=1),
    Column(name="shared", optional=2),
    Column(name="residual", optional=2),
    Column(name="rank", optional=2),
    Column(name="lowering"),
    Column(name="predicted"),
    Column(name="plan"),
)
QUICK = 1 << 20  # entries in which that takes a second or two


def cover_view(found: Covering, everything: bool = False) -> RenderableType:
    """What there is in one line, the forms, the groups of the best one, and what comes of it."""
    ranks = found.low_rank if everything or found.matrix.size <= QUICK else ()
    parts: list[RenderableType] = [_line(found), Text(), _forms(found, ranks)]
    if ranks:
        parts.append(Text(f"{LOW_RANK}: an analysis only, no plan writes it", style="dim"))
    elif found.matrix.size > QUICK:
        parts.append(Text(f"{LOW_RANK}: not looked for in so large a weight; --all takes the time", style="dim"))
    groups = found.groups
    if groups:
        parts += [Text(), _groups(found, len(groups) if everything else SHOWN)]
        if len(groups) > SHOWN and not everything:
            parts.append(Text(left_out(len(groups) - SHOWN), style="dim"))
    return Lines(*parts, Text(), Text(found.sentence, style="bold"))


def _line(found: Covering) -> Text:
    K, N = found.shape
    counted = f": {K:,} inputs, {N:,} outputs, {found.dtype}, {found.edges:,} edges ({found.density:.2%}), "
    parts = f"{found.components:,} component{'' if found.components == 1 else 's'}"
    return Text.assemble((found.weight, "bold"), counted, parts)


def _forms(found: Covering, ranks: Sequence[LowRank]) -> FittedTable:
    rows = [tuple(_cells(form)) for form in found.forms]
    if ranks:
        analysed = (LOW_RANK, *_analysed(min(ranks, key=_merit), found.dtype))
        rows.append((*analysed, *("" for _ in FORMS[len(analysed) :])))
    filled = [place for place in range(len(FORMS)) if any(row[place] for row in rows)]
    columns = tuple(FORMS[place] for place in filled)
    return FittedTable(
        title="forms", columns=columns, rows=tuple(tuple(row[place] for place in filled) for row in rows)
    )


def _merit(one: LowRank) -> tuple[float, float]:
    return one.exact_share or 1.0, one.close_share or 1.0


def _analysed(one: LowRank, dtype: str) -> Iterator[str]:
    """The cells of blocks beside a product of low rank: of the exact one, else of one that is off by a thousandth."""
    share = one.close_share if one.exact is None else one.exact_share
    if share is None:
        yield from ("", "over 100%", "over 100%")
        return
    yield f"{len(one.blocks.blocks):,}"
    yield f"{share:.1%}"
    yield f"{share + lowered_share(one.blocks, 'scatter', dtype) - one.blocks.mac_share:.1%}"
    yield from ("", "", f"{one.exact:,}" if one.exact is not None else f"{one.close:,} within {CLOSE:.1%}")


def _cells(form: Form) -> Iterator[str]:
    groups = form.decomposition
    count = len(groups.blocks)
    yield form.kind
    yield "" if form.kind == "dense" else f"{count:,}" + (f" of {form.found:,}" if count < form.found else "")
    yield f"{form.mac_share:.1%}"
    yield f"{form.byte_share:.1%}"
    yield f"{groups.shared.size:,}" if groups.shared.size else ""
    yield f"{len(groups.residual):,}" if groups.residual else ""
    yield ""
    yield form.lowering
    yield f"{form.gain:.2f}x" if form.gain is not None else ""
    yield "takes it" if form.taken else ""


def _groups(found: Covering, limit: int) -> Table:
    """The groups of the best form, in the order of a picture."""
    best = found.best
    assert best is not None  # there are groups
    owned, read = ("inputs", "outputs") if best.decomposition.split_k else ("outputs", "inputs")
    table = make_table(f"groups of the form {best.kind!r}", ("group", "right"))
    for name in (owned, read, f"shared {read}", "window", "MACs", "bytes"):
        table.add_column(name, justify="right")
    for index, group in enumerate(found.groups[:limit]):
        inputs, outputs = group.block.shape
        sizes = (inputs, outputs) if best.decomposition.split_k else (outputs, inputs)
        counts = (f"{count:,}" for count in (index, *sizes, group.shared))
        table.add_row(*counts, "yes" if group.window else "no", f"{group.mac_share:.2%}", f"{group.byte_share:.2%}")
    return table


def to_dict(found: Covering) -> dict[str, Any]:
    """Everything, for JSON: the features of groups as ranges such as '0-2,5', residual entries as [input, output]."""
    return {
        "weight": found.weight,
        "shape": list(found.shape),
        "dtype": found.dtype,
        "rows": list(found.rows),
        "components": found.components,
        "edges": found.edges,
        "forms": [_form(form) for form in found.forms],
        "groups_of": found.best and found.best.kind,
        "groups": [
            {
                "inputs": to_ranges(group.block.inputs),
                "outputs": to_ranges(group.block.outputs),
                "shared": group.shared,
                "window": group.window,
                "mac_share": group.mac_share,
                "byte_share": group.byte_share,
            }
            for group in found.groups
        ],
        "blocks_and_low_rank": [
            {
                "blocks": len(one.blocks.blocks),
                "rank": one.exact,
                "mac_share": one.exact_share,
                "rank_within_a_thousandth": one.close,
                "mac_share_within_a_thousandth": one.close_share,
            }
            for one in (found.low_rank if found.matrix.size <= QUICK else ())
        ],
        "reason": found.sentence,
    }


def _form(form: Form) -> dict[str, Any]:
    return {
        "form": form.kind,
        "what": form.words,
        "groups": len(form.decomposition.blocks),
        "groups_before_merging": form.found,
        "shared": form.decomposition.shared.size,
        "residual": [list(entry) for entry in form.decomposition.residual],
        "lowering": form.lowering,
        "mac_share": form.mac_share,
        "byte_share": form.byte_share,
        "gain": form.gain,
        "taken": form.taken,
    }
