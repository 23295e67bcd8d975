"""A difference in rows of text, which the terminal and the page both show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ....ir.findings.difference import Became, Difference, NodeAt, TensorAt, TensorChange
from ....ir.plural import and_more
from ..words import megabytes

__all__ = [
    "drifts",
    "named",
    "operators",
    "provenance_sentence",
    "relations",
    "renamed_sentence",
    "sources",
    "totals",
]

ORDER = ("changed", "cast", "quantised", "dequantised", "requantised", "reshaped", "transposed", "permuted")
PARTS = ("slice", "permuted slice", "stacked", "merged")
LAST = ("new", "removed", "made")
Row = tuple[str, ...]


def operators(nodes: Iterable[NodeAt]) -> str:
    """How many nodes of which operators, the most frequent first: '3 MatMul, Add'."""
    counts = Counter(node.op for node in nodes)
    return ", ".join(op if number == 1 else f"{number} {op}" for op, number in counts.most_common()) or "nothing"


def sources(group: Became) -> str:
    """What a group of nodes stands for."""
    nodes = [node.address for node in group.before] or list(group.of)
    return and_more(nodes[0], len(nodes) - 1) if nodes else ""


def drifts(found: Difference) -> list[TensorChange]:
    """Constants whose entries changed, those that went farthest first."""
    changed = [one for one in found.tensors if _went(one)]
    far = {id(one): one.drift.relative if one.drift else None for one in changed}
    return sorted(changed, key=lambda one: -(float("inf") if far[id(one)] is None else far[id(one)] or 0.0))


def relations(found: Difference) -> list[TensorChange]:
    """All other constants that differ, those that come from somewhere first."""
    places = {kind: index for index, kind in enumerate((*ORDER, *PARTS, *LAST))}
    return sorted((one for one in found.tensors if not _went(one)), key=lambda one: places[one.kind])


def _went(one: TensorChange) -> bool:
    """Whether entries of a constant went somewhere: those that quantising rounded did not."""
    return one.kind == "changed" and one.drift is not None


def renamed_sentence(found: Difference) -> str:
    """How many constants are the same by another name."""
    number = len(found.renamed)
    if number == 1:
        return "1 constant only goes by another name or is stored elsewhere"
    return f"{number:,} constants only go by another name or are stored elsewhere"


def provenance_sentence(found: Difference) -> str:
    """Which metadata only says where nodes come from, and on which side."""
    sides = (
        ("in A only", [one.what for one in found.provenance if one.after is None]),
        ("in B only", [one.what for one in found.provenance if one.before is None]),
        ("other in both", [one.what for one in found.provenance if None not in (one.before, one.after)]),
    )
    told = "; ".join(f"{', '.join(keys)} {where}" for where, keys in sides if keys)
    return f"metadata that says where nodes come from, which is no difference: {told}"


def named(tensors: Iterable[TensorAt]) -> str:
    """The first of some constants and how many there are."""
    names = [tensor.name for tensor in tensors]
    return and_more(names[0], len(names) - 1) if names else ""


def totals(found: Difference) -> list[Row]:
    """(What, before, after, change) of the sums over both models; operators with the same number are left out."""
    one, other = found.before.totals, found.after.totals
    rows: list[Row] = [_row("nodes", one.count, other.count)]
    counts = dict(one.nodes), dict(other.nodes)
    kinds = sorted(counts[0].keys() | counts[1].keys(), key=lambda kind: (-abs(_gap(counts, kind)), kind))
    rows += [_row(f"  {k}", counts[0].get(k, 0), counts[1].get(k, 0)) for k in kinds if _gap(counts, k)]
    rows.append(_row("parameters", one.parameters, other.parameters))
    rows.append(("bytes", megabytes(one.nbytes), megabytes(other.nbytes), _change(one.nbytes, other.nbytes)))
    macs = dict(one.macs), dict(other.macs)
    unknown = any("?" in symbols for some in macs for symbols in some)  # which may be one of those that have a name
    for symbols in dict.fromkeys((*macs[0], *macs[1])):
        what = "MACs" if symbols == "1" else f"MACs per {_sizes(symbols)}"
        row = _row(what, macs[0].get(symbols, 0), macs[1].get(symbols, 0))
        rows.append((*row[:3], "") if unknown else row)
    if one.uncounted or other.uncounted:
        rows.append(_row("products of unknown shape", one.uncounted, other.uncounted))
    return rows


def _sizes(symbols: str) -> str:
    """A product of open dimensions, in words where some have no name.

    >>> _sizes("batch·time"), _sizes("batch·?"), _sizes("?·?")
    ('batch·time', 'batch and unnamed size', 'unnamed sizes')
    """
    named = [one for one in symbols.split("·") if one != "?"]
    unnamed = symbols.split("·").count("?")
    return " and ".join(filter(None, ["·".join(named), "unnamed size" + "s" * (unnamed > 1) if unnamed else ""]))


def _gap(counts: tuple[dict[str, int], dict[str, int]], kind: str) -> int:
    return counts[1].get(kind, 0) - counts[0].get(kind, 0)


def _row(what: str, before: int, after: int) -> Row:
    return what, f"{before:,}", f"{after:,}", _change(before, after)


def _change(before: int, after: int) -> str:
    if before == after:
        return ""
    share = f" ({(after - before) / before:+.1%})" if before else ""
    return f"{after - before:+,}{share}"
