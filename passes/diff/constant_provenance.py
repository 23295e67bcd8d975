"""What the constants of one model have to do with those of another: same, renamed, changed, part of, made for …"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.difference import TensorAt, TensorChange, TensorKind
from ...ir.graph.linear import Scope
from ...ir.io.load import read
from ...ir.onnx_ir import onnx_ir as ir
from .node_groups import Group
from .node_matching import Pairs
from .quantised import FEWEST, Match, codes_of, dequantised, is_quantised, match
from .submatrix_match import Lines, locate
from .tensor_identity import Contents, raw
from .value_numbering import Anatomy, constant_of, is_constant, operands
from .weight_change import drift

__all__ = ["Kinship", "kinship"]

Array = npt.NDArray[Any]

NAMED = 8  # nodes that a constant is said to be made for
MOST_SOURCES = 1000  # constants of a group that others of it may come from
HOPEFUL = 3  # constants that are tried as the whole of a part
MOST_ALIKE = 64  # constants of one size that a quantised one may come from
MOST_ENTRIES = 1 << 27  # of a constant that is searched for parts


@dataclass(frozen=True, slots=True)
class Kinship:
    """Constants that differ, those that only go by another name, and how many there are in the second model."""

    changes: tuple[TensorChange, ...]
    renamed: tuple[TensorChange, ...]
    count: int


@dataclass(slots=True, eq=False)
class _Held:
    """A constant of one model."""

    value: ir.Value
    tensor: Any
    content: int
    at: TensorAt
    stored: str
    readers: tuple[ir.Node, ...]
    _lines: Lines | None = None
    _numbers: Array | None = None

    def array(self) -> Array:
        """Its entries, mapped where they lie in a file."""
        return _array(self.tensor)

    def numbers(self) -> Array | None:
        """The numbers that its entries stand for, None where it is quantised and nothing tells its scale."""
        if not is_quantised(self.tensor):
            return self.array()
        if self._numbers is None:
            self._numbers = dequantised(self.value)
        return self._numbers

    def lines(self) -> Lines:
        """It as a matrix, extents of 1 left out."""
        if self._lines is None:
            self._lines = Lines(_matrix(self.array()))
        return self._lines


def kinship(one: Anatomy, other: Anatomy, pairs: Pairs, groups: Sequence[Group], contents: Contents) -> Kinship:
    """Relate every constant of the second model to the first; `contents` are those that both were numbered with.

    Where paired nodes read constants at one place, these are each other's; else contents decide, then names, then rows
    and columns. Contents are only looked into where they differ. A constant that nodes without a counterpart read, and
    that holds nothing of the first model, is made for the nodes that these stand for.
    """
    return _Kinship(one, other, pairs, groups, _held(one, contents), _held(other, contents)).run()


def _held(seen: Anatomy, contents: Contents) -> list[_Held]:
    found = []
    for body in seen.bodies:
        initializers: Iterable[ir.Value] = getattr(body.scope.graph, "initializers", {}).values()
        made = (node.outputs[0] for node in body.scope.graph if is_constant(node))
        for stored, values in (("initializer", initializers), ("Constant node", made)):
            for value in values:
                tensor = constant_of(value)
                if tensor is not None:
                    found.append(_hold(value, tensor, contents, stored, body.scope, seen))
    return found


def _hold(value: ir.Value, tensor: Any, contents: Contents, stored: str, scope: Scope, seen: Anatomy) -> _Held:
    if value not in seen.content:
        seen.content[value] = contents.of(tensor)
    at = TensorAt(
        name=f"{scope.path}{value.name}",
        dtype=tensor.dtype.name.lower(),
        shape=tuple(tensor.shape.numpy()),
        nbytes=tensor.nbytes,
    )
    readers = tuple(dict.fromkeys(node for node, _ in value.uses()))
    return _Held(value, tensor, seen.content[value], at, stored, readers)


@dataclass(slots=True, eq=False)
class _Kinship:
    one: Anatomy
    other: Anatomy
    pairs: Pairs
    groups: Sequence[Group]
    before: list[_Held]
    after: list[_Held]
    used: set[ir.Value] = field(default_factory=set)
    lost: list[_Held] = field(default_factory=list)
    _sized: dict[int, list[_Held]] = field(default_factory=dict)
    _index: dict[Any, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = field(default_factory=dict)
    _near: dict[int, tuple[list[_Held], list[str]]] = field(default_factory=dict)
    _known: dict[ir.Value, _Held] = field(default_factory=dict)
    _standing: dict[str, ir.Node] = field(default_factory=dict)

    def run(self) -> Kinship:
        self.lost = self._losses()
        self._sized = self._sizes()
        was = self._known = {held.value: held for held in self.before}
        self._standing = {address: node for node, address in self.one.addresses.items()}
        now = {held.value: held for held in self.after}
        places: dict[ir.Value, list[ir.Value]] = defaultdict(list)
        for u, v in dict.fromkeys(self._places()):
            if u in was and v in now and was[u].content != now[v].content:
                places[v].append(u)
        contents: dict[int, list[_Held]] = defaultdict(list)
        for held in self.before:
            contents[held.content].append(held)
        changes, renamed, searched = [], [], []
        for held in self.after:
            if held.value in places:
                changes += [self._tell(self._paired(was[u], held), held) for u in places[held.value]]
                self.used.update(places[held.value])
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
        return Kinship(tuple(changes), tuple(renamed), len(self.after))

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

    def _tell(self, change: TensorChange, held: _Held) -> TensorChange:
        return replace(change, readers=tuple(self._addresses(held.readers)))

    def _addresses(self, nodes: Iterable[ir.Node]) -> Iterator[str]:
        return (self.other.addresses[node] for node in nodes if node in self.other.addresses)

    def _change(self, kind: TensorKind, before: Sequence[_Held], held: _Held, detail: str = "") -> TensorChange:
        self.used.update(other.value for other in before)
        readers = tuple(self._addresses(held.readers))
        sources = tuple(dict.fromkeys(other.at for other in before))
        return TensorChange(kind=kind, before=sources, after=held.at, detail=detail, readers=readers)

    def _paired(self, was: _Held, held: _Held) -> TensorChange:
        """A constant that stands where another one stood."""
        if was.at.shape == held.at.shape and was.at.dtype == held.at.dtype:
            gap = drift(was.array(), held.array())
            if gap.share and held.tensor.size > 1 and _may_be_permuted(was, held):
                found = self._part(was, held)
                if found is not None and found.kind in ("permuted", "transposed"):
                    return found
            return replace(self._change("changed", [was], held), drift=gap)
        found = self._known_as(was, held) or self._quantised(held, [was])
        return found or self._merged(held) or self._changed_form(was, held)

    def _changed_form(self, was: _Held, held: _Held) -> TensorChange:
        detail = f"{_form(was.at)} -> {_form(held.at)}"
        change = self._change("changed", [was], held, detail)
        if was.at.shape != held.at.shape or not _is_number(was) or not _is_number(held):
            return change
        wide = [one.array().astype(np.float64) for one in (was, held)]
        return replace(change, drift=drift(*wide))

    def _known_as(self, was: _Held, held: _Held, thorough: bool = True) -> TensorChange | None:
        """A constant as another one in another form: cast, reshaped, or a part of it."""
        if was.at.dtype == held.at.dtype:
            if was.tensor.size == held.tensor.size and np.array_equal(raw(was.tensor), raw(held.tensor)):
                return self._change("reshaped", [was], held, f"{list(was.at.shape)} -> {list(held.at.shape)}")
            return self._part(was, held, thorough)
        if not _is_number(was) or not _is_number(held) or was.tensor.size != held.tensor.size:
            return None
        types = f"{was.at.dtype} -> {held.at.dtype}"
        mine, others = was.array(), held.array()
        with np.errstate(over="ignore", invalid="ignore"):
            for array, how in ((mine, ""), (mine.T, ", transposed")):
                if array.shape == others.shape and np.array_equal(array.astype(others.dtype), others):
                    return self._change("cast", [was], held, types + how)
        return None

    def _part(self, whole: _Held, held: _Held, thorough: bool = True) -> TensorChange | None:
        if whole.at.dtype != held.at.dtype or whole.tensor.size > MOST_ENTRIES or not _is_number(whole):
            return None
        found = locate(held.lines(), whole.lines(), thorough)
        if found is None:
            return None
        kind: TensorKind = "slice" if found.is_ordered else "permuted slice"
        if found.is_whole:
            kind = "permuted" if not found.is_ordered else "transposed" if found.transposed else "reshaped"
        return self._change(kind, [whole], held, str(found))

    def _searched(self, wanted: list[_Held]) -> list[TensorChange]:
        """What constants come from whose contents are new."""
        named = {held.at.name: held for held in self.before}
        served = self._served()
        found = []
        for held in wanted:
            sources, origin = self._sources(held, served)
            if held.at.name in named:
                sources = [named[held.at.name], *sources]
            change = self._from_one(held, sources) or self._quantised(held, self._rounded(held, sources))
            change = change or self._stacked(held, sources) or self._merged(held)
            if change is None and held.at.name in named:
                change = self._paired(named[held.at.name], held)
            elif change is None:
                change = self._change("made" if origin else "new", [], held, self._factor(held))
            found.append(replace(change, origin=tuple(origin)))
        return found

    def _factor(self, held: _Held) -> str:
        """What a scale or a zero point belongs to."""
        codes = codes_of(held.value)
        if codes is None:
            return ""
        return f"{'scale' if held.tensor.dtype.is_floating_point() else 'zero point'} of {codes.name}"

    def _served(self) -> dict[ir.Node, int]:
        """The number of the group of each node of the second model without a counterpart."""
        return {node: number for number, group in enumerate(self.groups) for node in group[1]}

    def _sources(self, held: _Held, served: Mapping[ir.Node, int]) -> tuple[list[_Held], list[str]]:
        """Constants that the nodes read which the readers of a constant stand for, and these nodes' addresses."""
        origin: dict[str, None] = {}
        found: dict[ir.Value, _Held] = {}
        for node in held.readers:
            if node in served:
                sources, names = self._of_group(served[node])
            else:
                folded = self._folded(node, held)
                sources, names = self._behind(folded), [self.one.addresses[old] for old in folded]
            origin |= dict.fromkeys(names)
            found |= {source.value: source for source in sources}
        return sorted(found.values(), key=lambda other: -other.tensor.size), list(origin)[:NAMED]

    def _of_group(self, number: int) -> tuple[list[_Held], list[str]]:
        """Constants that nodes of the first model in a group read, and the addresses of the first of these nodes."""
        if number not in self._near:
            before, _, became = self.groups[number]
            kept = (self._standing[address] for address in became.of if address in self._standing)
            names = [*(at.address for at in became.before[:NAMED]), *became.of[:NAMED]]
            self._near[number] = self._behind([*before, *kept]), names
        return self._near[number]

    def _behind(self, nodes: Iterable[ir.Node]) -> list[_Held]:
        found = dict.fromkeys(_constants_behind(nodes))
        ranked = sorted((self._known[v] for v in found if v in self._known), key=lambda other: -other.tensor.size)
        return ranked[:MOST_SOURCES]

    def _folded(self, node: ir.Node, held: _Held) -> list[ir.Node]:
        """Nodes of the first model that made what a paired node now reads as a constant."""
        twin = self.pairs.back.get(node)
        if twin is None:
            return []
        both = zip(operands(twin), operands(node), strict=False)
        makers = [u.producer() for u, v in both if v is held.value and u is not None]
        return [maker for maker in makers if maker is not None and maker not in self.pairs.forth]

    def _from_one(self, held: _Held, sources: Sequence[_Held]) -> TensorChange | None:
        if not _is_number(held) or held.tensor.size < 2:
            return None
        few = [source for source in sources if source.tensor.size >= held.tensor.size][:HOPEFUL]
        likely = self._voted(held.lines(), held) if _is_matrix(held) else []
        for source in dict.fromkeys((*likely, *few)):
            if (change := self._known_as(source, held, thorough=False)) is not None:
                return change
        near = (source for source in few if _is_matrix(held) and source.at.dtype == held.at.dtype)
        return next((change for source in near if (change := self._part(source, held, thorough=True))), None)

    def _rounded(self, held: _Held, sources: Sequence[_Held]) -> Iterator[_Held]:
        """Constants that one may be quantised from, or the other way round: those near it, of its name, of its size."""
        yield from sources[:HOPEFUL]
        alike = self._sized.get(held.tensor.size, [])[:MOST_SOURCES]
        yield from (other for other in alike if _share_name(held, other))
        yield from alike[:MOST_ALIKE] if held.tensor.size >= FEWEST else ()

    def _quantised(self, held: _Held, sources: Iterable[_Held]) -> TensorChange | None:
        """A constant that stands for the numbers of another one, rounded: of either one the entries may be codes."""
        mine = is_quantised(held.tensor)
        for source in dict.fromkeys(sources):
            theirs = is_quantised(source.tensor)
            if not (mine or theirs) or not _is_real(held) or not _is_real(source):
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

    def _match(self, codes: _Held, other: _Held) -> Match | None:
        numbers = other.numbers()
        if numbers is None:
            return None
        known = codes.numbers()
        if known is None and codes.at.nbytes < other.at.nbytes:
            return match(numbers, codes.array(), known=False)
        return None if known is None else match(numbers, known, known=True)

    def _stacked(self, held: _Held, sources: Sequence[_Held]) -> TensorChange | None:
        """A stack of matrices that lie in one constant each."""
        array = held.array() if _is_matrix(held) else np.empty(0)
        if array.ndim < 3 or array.shape[-1] * array.shape[-2] < 2:
            return None
        whole: dict[ir.Value, _Held] = {}
        for layer in array.reshape(-1, *array.shape[-2:]):
            part = Lines(layer)
            near = (*self._voted(part, held), *[s for s in sources if s.at.dtype == held.at.dtype][:HOPEFUL])
            home = next((one for one in dict.fromkeys(near) if locate(part, one.lines(), False) is not None), None)
            if home is None and layer.any():
                return None
            if home is not None:
                whole[home.value] = home
        layers = int(np.prod(array.shape[:-2]))
        return self._change("stacked", list(whole.values()), held, f"{layers} parts") if whole else None

    def _merged(self, held: _Held) -> TensorChange | None:
        """A constant that others lie in which are no more."""
        if not _is_matrix(held):
            return None
        whole = held.lines()
        near = self._owners(held.at.dtype, _both(whole), most=None)
        inside = [
            piece
            for piece in (self.lost[index] for index in np.unique(near))
            if 1 < piece.tensor.size <= 2 * held.tensor.size
            if all(locate(part, whole, False) is not None for part in _layers(piece))
        ]
        if not inside:
            return None
        covered = min(1.0, sum(piece.tensor.size for piece in inside) / held.tensor.size)
        return self._change("merged", inside, held, f"{covered:.0%} of its entries")

    def _losses(self) -> list[_Held]:
        """Constants of the first model whose contents are not in the second one as they are."""
        left = {held.content for held in self.after}
        return [held for held in self.before if held.content not in left and _is_matrix(held)]

    def _sizes(self) -> dict[int, list[_Held]]:
        """Constants of the first model whose contents are not in the second one, by how many entries they have."""
        left = {held.content for held in self.after}
        found: dict[int, list[_Held]] = defaultdict(list)
        for held in self.before:
            if held.content not in left:
                found[held.tensor.size].append(held)
        return found

    def _voted(self, lines: Lines | None, held: _Held) -> list[_Held]:
        """Constants of the first model with most of the rows and columns of a part."""
        if lines is None:
            return []
        hits = self._owners(held.at.dtype, _both(lines), HOPEFUL)
        counts = np.bincount(hits, minlength=len(self.lost))
        best = np.argsort(-counts, kind="stable")[:HOPEFUL]
        return [self.lost[index] for index in best if counts[index]]

    def _owners(self, kind: str, wanted: npt.NDArray[np.uint64], most: int | None) -> npt.NDArray[np.int64]:
        """Numbers of the constants of a type with rows or columns of some sums, those left out that `most` others have.

        All rows and columns are sorted once, so that no two constants need to be looked at together.
        """
        if kind not in self._index:
            some = [
                (number, part) for number, one in enumerate(self.lost) if one.at.dtype == kind for part in _layers(one)
            ]
            each = [_both(part) for _, part in some]
            sums = np.concatenate([np.empty(0, np.uint64), *each])
            order = np.argsort(sums, kind="stable")
            numbers = np.repeat(np.array([number for number, _ in some], np.int64), [one.size for one in each])
            self._index[kind] = sums[order], numbers[order]
        sums, numbers = self._index[kind]
        first, last = (np.searchsorted(sums, wanted, side) for side in ("left", "right"))
        found = np.flatnonzero((last > first) & (last - first <= (most or MOST_SOURCES)))
        parts = [numbers[first[index] : last[index]] for index in found]
        return np.concatenate([np.empty(0, np.int64), *parts])


def _constants_behind(nodes: Iterable[ir.Node]) -> Iterator[ir.Value]:
    """Constants that nodes read, directly or through others that read constants only."""
    stack = [value for node in nodes for value in node.inputs if value is not None]
    seen: set[ir.Value] = set()
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        node = value.producer()
        if constant_of(value) is not None:
            yield value
        elif node is not None and len(node.inputs) == 1 and node.inputs[0] is not None:
            stack.append(node.inputs[0])


def _array(tensor: Any) -> Array:
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < 8:
        return np.asarray(read(tensor))
    array: Array = raw(tensor).view(np.dtype(tensor.dtype.numpy()))
    return array.reshape(tensor.shape.numpy())


def _matrix(array: Array) -> Array:
    kept = [extent for extent in array.shape if extent != 1]
    if len(kept) < 2:
        return array.reshape(-1, 1)
    return array.reshape(kept[0], -1)


def _layers(held: _Held) -> Iterator[Lines]:
    """A constant as a matrix, or each matrix of a stack."""
    array = held.array()
    if array.ndim < 3 or array.shape[-1] * array.shape[-2] < 2:
        yield held.lines()
    else:
        yield from (Lines(layer) for layer in array.reshape(-1, *array.shape[-2:]))


def _both(lines: Lines) -> npt.NDArray[np.uint64]:
    """The sums of all rows and columns that are not empty, each once."""
    sums: npt.NDArray[np.uint64] = np.unique(np.concatenate([lines.sums(0), lines.sums(1)]))
    filled: npt.NDArray[np.uint64] = sums[sums != 0]
    return filled


def _may_be_permuted(was: _Held, held: _Held) -> bool:
    """Whether the entries of two constants of one form add up to the same, as integers: in any order they would."""
    kind = held.tensor.dtype
    if kind == ir.DataType.STRING or kind.bitwidth not in (8, 16, 32, 64):
        return False
    words = f"u{kind.bitwidth // 8}"
    sums = [int(raw(one.tensor).view(words).sum(dtype=np.uint64)) for one in (was, held)]
    return sums[0] == sums[1]


def _is_number(held: _Held) -> bool:
    return held.tensor.dtype not in (ir.DataType.STRING, ir.DataType.BOOL) and held.tensor.dtype.bitwidth >= 8


def _is_real(held: _Held) -> bool:
    """Whether entries are numbers that may stand for a weight, quantised or not."""
    kind = held.tensor.dtype
    return held.tensor.size > 1 and (kind.is_floating_point() or is_quantised(held.tensor))


def _share_name(one: _Held, other: _Held) -> bool:
    """Whether the name of one begins with that of the other: tools that quantise append to it."""
    return one.at.name.startswith(other.at.name) or other.at.name.startswith(one.at.name)


def _is_matrix(held: _Held) -> bool:
    """Whether rows and columns of a constant may tell where it comes from."""
    kind = held.tensor.dtype
    return kind.is_floating_point() and kind.bitwidth in (16, 32, 64) and 1 < held.tensor.size <= MOST_ENTRIES


def _form(at: TensorAt) -> str:
    return f"{at.dtype} {list(at.shape)}"
