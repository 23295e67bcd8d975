"""What people and tools wrote beside a graph: doc strings, metadata, denotations, annotations of quantisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...ir.findings.difference import Field
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.provenance import ANNEALED, DECOMPOSED, ORIGIN, PLAN, REORDERED, ROLE, SUMMARY
from .node_matching import Pairs
from .value_numbering import Anatomy, Body, constant_of, operands

__all__ = ["Annotations", "annotation_changes", "is_provenance", "shortened"]

LONGEST = 80  # characters of a text that are told
QUANTISATION = "quant_parameter_tensor_names"  # where onnx_ir keeps the annotation of a value
ENTIRE = frozenset({SUMMARY, PLAN, ANNEALED, DECOMPOSED, REORDERED, "namespace"})
BEGINNINGS = (ORIGIN, ROLE, "pkg.")  # onnxscript and torch.onnx write under "pkg."

Record = dict[str, str]
Pair = tuple[str, Record, Record]


@dataclass(frozen=True, slots=True)
class Annotations:
    """What differs of it, and, counted by key, what only says where nodes come from, which is no difference."""

    texts: tuple[Field, ...]
    provenance: tuple[Field, ...]


def is_provenance(key: str) -> bool:
    """Whether an entry of metadata says where something comes from, as exporters and this package write it.

    >>> [is_provenance(key) for key in ("scission.origin", "pkg.torch.onnx.fx_node", "vocab_size")]
    [True, True, False]
    """
    return key in ENTIRE or key.startswith(BEGINNINGS)


def annotation_changes(one: Anatomy, other: Anatomy, pairs: Pairs, twins: Iterable[tuple[Body, Body]]) -> Annotations:
    """Compare what is written beside all that both models have: interface, nodes, what these make, constants, graphs.

    twins: graphs inside nodes, and functions, each with its counterpart.
    """
    texts: list[Field] = []
    told: Counter[tuple[str, str]] = Counter()
    for what, mine, theirs in _everything(one, other, pairs, twins):
        for key in sorted(mine.keys() | theirs.keys()):
            a, b = mine.get(key), theirs.get(key)
            if a == b:
                continue
            bare = key.removeprefix("metadata ")
            if bare != key and is_provenance(bare):
                told[bare, "gone" if b is None else "new" if a is None else "other"] += 1
            else:
                texts.append(Field(what=f"{key} of {what}", before=shortened(a), after=shortened(b)))
    return Annotations(tuple(texts), tuple(_counted(told)))


def _counted(told: Counter[tuple[str, str]]) -> Iterator[Field]:
    for (key, how), number in sorted(told.items()):
        where = f"{number:,} place{'' if number == 1 else 's'}"
        before, after = {"gone": (where, None), "new": (None, where), "other": (where, f"{where}, otherwise")}[how]
        yield Field(what=key, before=before, after=after)


def shortened(text: str | None) -> str | None:
    """A text in one line, cut where it is long."""
    if text is None:
        return None
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _everything(one: Anatomy, other: Anatomy, pairs: Pairs, twins: Iterable[tuple[Body, Body]]) -> Iterator[Pair]:
    """All that both models have, as (what it is, what is written beside it in each)."""
    yield "the graph", _record(one.main.scope.graph), _record(other.main.scope.graph)
    for body, twin in twins:
        yield body.scope.path.removesuffix("/"), _record(body.scope.graph), _record(twin.scope.graph)
    ports: set[ir.Value] = set()
    for what, mine, theirs in (
        ("input", one.main.scope.graph.inputs, other.main.scope.graph.inputs),
        ("output", one.main.outputs, other.main.outputs),
    ):
        for u, v in _same(mine, theirs):
            ports |= {u, v}
            yield f"{what} {u.name}", _of_value(u), _of_value(v)
    seen: set[tuple[ir.Value, ir.Value]] = set()
    for a, b in pairs.forth.items():
        here, there = _record(a), _record(b)
        if here or there:
            yield f"node {one.addresses[a]}", here, there
        for u, v in zip(a.outputs, b.outputs, strict=False):
            if u not in ports and v not in ports and ((here := _of_value(u)) | (there := _of_value(v))):
                yield f"value {u.name}", here, there
        for held, kept in zip(operands(a), operands(b), strict=False):
            if held is None or kept is None or constant_of(held) is None or constant_of(kept) is None:
                continue
            if held not in ports and (held, kept) not in seen:
                seen.add((held, kept))
                yield f"constant {held.name}", _of_value(held), _of_value(kept)


def _same(mine: Iterable[ir.Value], theirs: Iterable[ir.Value]) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Inputs or outputs of one name, and those at one place whose names only one of both models knows."""
    known = {value.name: value for value in theirs}
    names = {value.name for value in mine}
    yield from ((value, known[value.name]) for value in mine if value.name in known)
    yield from ((u, v) for u, v in zip(mine, theirs, strict=False) if u.name not in known and v.name not in names)


def _record(thing: Any) -> Record:
    metadata, text = thing.metadata_props, thing.doc_string
    found = {f"metadata {key}": str(content) for key, content in metadata.items()} if metadata else {}
    return found | {"doc string": text} if text else found


def _of_value(value: ir.Value) -> Record:
    tensor = value.const_value
    found = _record(tensor) if tensor is not None and value.producer() is None else {}
    found |= _record(value)
    annotation: Mapping[str, str] | None = value.meta.get(QUANTISATION)
    if annotation:
        found["quantisation"] = ", ".join(f"{key} {name}" for key, name in sorted(annotation.items()))
    kind, shape = value.type, value.shape
    if kind is not None and kind.denotation:
        found["denotation"] = kind.denotation
    if shape is not None:
        each = [shape.get_denotation(index) for index in range(len(shape))]
        found |= {f"denotation of dimension {index}": text for index, text in enumerate(each) if text}
    return found
