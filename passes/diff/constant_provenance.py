"""What the constants of one model have to do with those of another: same, renamed, changed, part of, made for …"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from ...ir.findings.difference import TensorChange, TensorKind
from ...ir.onnx_ir import onnx_ir as ir
from .constant_sources import MOST_SOURCES, Sources
from .line_index import LineIndex
from .model_constants import (
    Held,
    constants_of,
    form_of,
    is_matrix,
    is_number,
    is_real,
    layers_of,
    line_sums,
    may_be_permuted,
    share_name,
)
from .node_groups import Group
from .node_matching import Pairs
from .quantised import FEWEST, Match, codes_of, is_quantised, match
from .submatrix_match import Lines, locate
from .tensor_identity import Contents, raw
from .value_numbering import Anatomy, operands
from .weight_change import drift

__all__ = ["Provenance", "provenance_of"]

HOPEFUL = 3  # constants that are tried as the whole of a part
MOST_ALIKE = 64  # constants of one size that a quantised one may come from
MOST_ENTRIES = 1 << 27  # of a constant that is searched for parts


@dataclass(frozen=True, slots=True)
class Provenance:
    """Constants that differ, those that only go by another name, and how many there are in the second model."""

    changes: tuple[TensorChange, ...]
    renamed: tuple[TensorChange, ...]
    count: int


def provenance_of(
    one: Anatomy, other: Anatomy, pairs: Pairs, groups: Sequence[Group], contents: Contents
) -> Provenance:
    """Relate every constant of the second model to the first; `contents` are those that both were numbered with.

    Where paired nodes read constants at one place, these are each other's; else contents decide, then names, then rows
    and columns. Contents are only looked into where they differ. A constant that nodes without a counterpart read, and
    that holds nothing of the first model, is made for the nodes that these stand for.
    """
    return _Tracer(one, other, pairs, groups, constants_of(one, contents), constants_of(other, contents)).run()


@dataclass(slots=True, eq=False)
class _Tracer:
    one: Anatomy
    other: Anatomy
    pairs: Pairs
    groups: Sequence[Group]
    before: list[Held]
    after: list[Held]
    used: set[ir.Value] = field(default_factory=set)
    lost: LineIndex = field(init=False)  # matrices whose contents are not in the second model
    _sized: dict[int, list[Held]] = field(default_factory=dict)
    _named: dict[str, Held] = field(default_factory=dict)

    def run(self) -> Provenance:
        self.lost = LineIndex(self._losses())
        self._named = {held.at.name: held for held in self.before}
        self._sized = self._sizes()
        was = {held.value: held for held in self.before}
        now = {held.value: held for held in self.after}
        # Where nodes are paired, what they read at one place is one constant that changed, whatever it holds now.
        places: dict[ir.Value, list[ir.Value]] = defaultdict(list)
        for u, v in dict.fromkeys(self._places()):
            if u in was and v in now and was[u].content != now[v].content:
                places[v].append(u)
        contents: dict[int, list[Held]] = defaultdict(list)
        for held in self.before:
            contents[held.content].append(held)
        changes, renamed, searched = [], [], []
        for held in self.after:
            if held.value in places:
                changes += [self._tell(self._paired(was[u], held), held) for u in places[held.value]]
                self.used.update(places[held.value])
            # Equal contents need no search; of several it is that of the same name.
            elif held.content in contents:
                alike = contents[held.content]
                twin = next((other for other in alike if other.at.name == held.at.name), alike[0])
                if twin.at.name != held.at.name or twin.stored != held.stored:
                    detail = "" if twin.stored == held.stored else f"{twin.stored} -> {held.stored}"
                    renamed.append(self._change("renamed", [twin], held, detail))
            else:
                searched.append(held)
        changes += self._searched(searched)
        left = {held.content for held in self.after}
        for held in self.before:
            if held.content not in left and held.value not in self.used:
                readers = tuple(self.one.addresses[node] for node in held.readers if node in self.one.addresses)
                changes.append(TensorChange(kind="removed", before=(held.at,), after=None, readers=readers))
        return Provenance(tuple(changes), tuple(renamed), len(self.after))

    def _places(self) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Values that paired nodes read at one place, that are outputs of one name, or defaults of one input."""
        for a, b in self.pairs.forth.items():
            for u, v in zip(operands(a), operands(b), strict=False):
                if u is not None and v is not None:
                    yield u, v
        for one, other in (
            (self.one.main.scope.graph.inputs, self.other.main.scope.graph.inputs),
            (self.one.main.outputs, self.other.main.outputs),
        ):
            named = {value.name: value for value in other}
            yield from ((value, named[value.name]) for value in one if value.name in named)

    def _tell(self, change: TensorChange, held: Held) -> TensorChange:
        return replace(change, readers=tuple(self._addresses(held.readers)))

    def _addresses(self, nodes: Iterable[ir.Node]) -> Iterator[str]:
        return (self.other.addresses[node] for node in nodes if node in self.other.addresses)

    def _change(self, kind: TensorKind, before: Sequence[Held], held: Held, detail: str = "") -> TensorChange:
        self.used.update(other.value for other in before)
        readers = tuple(self._addresses(held.readers))
        sources = tuple(dict.fromkeys(other.at for other in before))
        return TensorChange(kind=kind, before=sources, after=held.at, detail=detail, readers=readers)

    def _paired(self, was: Held, held: Held) -> TensorChange:
        """A constant that stands where another one stood."""
        if was.at.shape == held.at.shape and was.at.dtype == held.at.dtype:
            gap = drift(was.array(), held.array())
            # Entries that add up to the same may be the same in another order, which says more than how far they went.
            if gap.share and held.size > 1 and may_be_permuted(was, held):
                found = self._part(was, held)
                if found is not None and found.kind in ("permuted", "transposed"):
                    return found
            return replace(self._change("changed", [was], held), drift=gap)
        found = self._known_as(was, held) or self._quantised(held, [was])
        return found or self._merged(held) or self._changed_form(was, held)

    def _changed_form(self, was: Held, held: Held) -> TensorChange:
        detail = f"{form_of(was.at)} -> {form_of(held.at)}"
        change = self._change("changed", [was], held, detail)
        if was.at.shape != held.at.shape or not is_number(was) or not is_number(held):
            return change
        wide = [one.array().astype(np.float64) for one in (was, held)]
        return replace(change, drift=drift(*wide))

    def _known_as(self, was: Held, held: Held, thorough: bool = True) -> TensorChange | None:
        """A constant as another one in another form: cast, reshaped, or a part of it."""
        # Bytes first, which costs a pass over them; rows and columns only where these differ.
        if was.at.dtype == held.at.dtype:
            if was.size == held.size and np.array_equal(raw(was.tensor), raw(held.tensor)):
                return self._change("reshaped", [was], held, f"{list(was.at.shape)} -> {list(held.at.shape)}")
            return self._part(was, held, thorough)
        if not is_number(was) or not is_number(held) or was.size != held.size:
            return None
        types = f"{was.at.dtype} -> {held.at.dtype}"
        mine, others = was.array(), held.array()
        with np.errstate(over="ignore", invalid="ignore"):
            # Exporters transpose weights while they cast them.
            for array, how in ((mine, ""), (mine.T, ", transposed")):
                if array.shape == others.shape and np.array_equal(array.astype(others.dtype), others):
                    return self._change("cast", [was], held, types + how)
        return None

    def _part(self, whole: Held, held: Held, thorough: bool = True) -> TensorChange | None:
        empty = not whole.size or not held.size
        if empty or whole.at.dtype != held.at.dtype or whole.size > MOST_ENTRIES or not is_number(whole):
            return None
        found = locate(held.lines(), whole.lines(), thorough)
        if found is None:
            return None
        kind: TensorKind = "slice" if found.is_ordered else "permuted slice"
        if found.is_whole:
            kind = "permuted" if not found.is_ordered else "transposed" if found.transposed else "reshaped"
        return self._change(kind, [whole], held, str(found))

    def _searched(self, wanted: list[Held]) -> list[TensorChange]:
        """What constants come from whose contents are new."""
        sources_of = Sources(self.one, self.pairs, self.groups, {held.value: held for held in self.before})
        found = []
        for held in wanted:
            sources, origin = sources_of(held)
            if held.at.name in self._named:
                sources = [self._named[held.at.name], *sources]
            told = (change for matcher in MATCHERS if (change := matcher(self, held, sources)) is not None)
            change = next(told, None) or self._change("made" if origin else "new", [], held, self._factor(held))
            found.append(replace(change, origin=tuple(origin)))
        return found

    def _by_name(self, held: Held, _: Sequence[Held]) -> TensorChange | None:
        """A constant that goes by the name of another one, however it changed."""
        return self._paired(self._named[held.at.name], held) if held.at.name in self._named else None

    def _factor(self, held: Held) -> str:
        """What a scale or a zero point belongs to."""
        codes = codes_of(held.value)
        if codes is None:
            return ""
        return f"{'scale' if held.tensor.dtype.is_floating_point() else 'zero point'} of {codes.name}"

    def _from_one(self, held: Held, sources: Sequence[Held]) -> TensorChange | None:
        if not is_number(held) or held.size < 2:
            return None
        # A part comes from something that is at least as large; the largest few are tried in earnest.
        few = list(islice((source for source in sources if source.size >= held.size), HOPEFUL))
        likely = self.lost.voted(held.at.dtype, line_sums(held.lines()), HOPEFUL) if is_matrix(held) else []
        for source in dict.fromkeys((*likely, *few)):
            if (change := self._known_as(source, held, thorough=False)) is not None:
                return change
        near = (source for source in few if is_matrix(held) and source.at.dtype == held.at.dtype)
        return next((change for source in near if (change := self._part(source, held, thorough=True))), None)

    def _rounded(self, held: Held, sources: Sequence[Held]) -> Iterator[Held]:
        """Constants that one may be quantised from, or the other way round: those near it, of its name, of its size."""
        yield from sources[:HOPEFUL]
        alike = self._sized.get(held.size, [])[:MOST_SOURCES]
        yield from (other for other in alike if share_name(held, other))
        yield from alike[:MOST_ALIKE] if held.size >= FEWEST else ()

    def _quantised(self, held: Held, sources: Iterable[Held]) -> TensorChange | None:
        """A constant that stands for the numbers of another one, rounded: of either one the entries may be codes."""
        mine = is_quantised(held.tensor)
        for source in dict.fromkeys(sources):
            theirs = is_quantised(source.tensor)
            if not (mine or theirs) or not is_real(held) or not is_real(source):
                continue
            kind: TensorKind = "requantised" if mine and theirs else "quantised" if mine else "dequantised"
            codes = [held, source] if mine else [source, held]
            found = self._match(codes[0], codes[1])
            if found is None:
                continue
            assert found.drift.relative is not None
            off = f"off by {found.drift.relative:.2%}{' at best' if found.fitted else ''}"
            how = ", transposed" if found.transposed else ""
            types = f"{source.at.dtype} -> {held.at.dtype}"
            return replace(self._change(kind, [source], held, f"{types}{how}, {off}"), drift=found.drift)
        return None

    def _match(self, codes: Held, other: Held) -> Match | None:
        numbers = other.numbers()
        if numbers is None:
            return None
        known = codes.numbers()
        if known is None and codes.at.nbytes < other.at.nbytes:
            return match(numbers, codes.array(), known=False)
        return None if known is None else match(numbers, known, known=True)

    def _from_codes(self, held: Held, sources: Sequence[Held]) -> TensorChange | None:
        """A constant that is another one quantised, or the other way round."""
        return self._quantised(held, self._rounded(held, sources))

    def _stacked(self, held: Held, sources: Sequence[Held]) -> TensorChange | None:
        """A stack of matrices that lie in one constant each."""
        array = held.array() if is_matrix(held) else np.empty(0)
        if array.ndim < 3 or array.shape[-1] * array.shape[-2] < 2:
            return None
        whole: dict[ir.Value, Held] = {}
        alike = list(islice((source for source in sources if source.at.dtype == held.at.dtype), HOPEFUL))
        # Every layer of the stack needs a home of its own; zeros are padding and need none.
        for layer in array.reshape(-1, *array.shape[-2:]):
            part = Lines(layer)
            likely = self.lost.voted(held.at.dtype, line_sums(part), HOPEFUL)
            home = next(
                (one for one in dict.fromkeys((*likely, *alike)) if locate(part, one.lines(), False) is not None), None
            )
            if home is None and layer.any():
                return None
            if home is not None:
                whole[home.value] = home
        layers = int(np.prod(array.shape[:-2]))
        return self._change("stacked", list(whole.values()), held, f"{layers} parts") if whole else None

    def _merged(self, held: Held, _: Sequence[Held] = ()) -> TensorChange | None:
        """A constant that others lie in which are no more."""
        if not is_matrix(held):
            return None
        whole = held.lines()
        near = self.lost.owners(held.at.dtype, line_sums(whole), MOST_SOURCES)
        # Pieces that are hardly smaller than the whole may lie in it with rows left out, hence twice.
        inside = [
            piece
            for piece in (self.lost.constants[index] for index in np.unique(near))
            if 1 < piece.size <= 2 * held.size
            if all(locate(part, whole, False) is not None for part in layers_of(piece))
        ]
        if not inside:
            return None
        covered = min(1.0, sum(piece.size for piece in inside) / held.size)
        return self._change("merged", inside, held, f"{covered:.0%} of its entries")

    def _losses(self) -> list[Held]:
        """Constants of the first model whose contents are not in the second one as they are."""
        left = {held.content for held in self.after}
        return [held for held in self.before if held.content not in left and is_matrix(held)]

    def _sizes(self) -> dict[int, list[Held]]:
        """Constants of the first model whose contents are not in the second one, by how many entries they have."""
        left = {held.content for held in self.after}
        found: dict[int, list[Held]] = defaultdict(list)
        for held in self.before:
            if held.content not in left:
                found[held.size].append(held)
        return found


# How a constant whose contents are new is related, from the surest to the vaguest; the first that tells anything
# decides.
#
#     first model                       second model                      told as
#     W (64, 64)                        W[rows][:, columns]               slice, permuted, transposed, reshaped, cast
#     W float32                         W int8 and a scale                quantised, dequantised, requantised
#     W0 (64, 64), W1 (64, 64)          [W0, W1] (2, 64, 64)              stacked
#     Q (64, 64), K (64, 64)            Q | K (64, 128)                   merged
#     W, trained                        W, trained on                     changed, by name, with how far it went
#
# What none of them knows is `made` for the nodes that its readers stand for, or `new` where these stand for none.
MATCHERS: tuple[Callable[[_Tracer, Held, Sequence[Held]], TensorChange | None], ...] = (
    _Tracer._from_one,
    _Tracer._from_codes,
    _Tracer._stacked,
    _Tracer._merged,
    _Tracer._by_name,
)
