"""What two models differ in: nodes, constants, interface, header; a value that prints and goes to JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from ..brief import brief, brief_line
from ..notebook import as_html
from ..plural import counted

__all__ = [
    "Became",
    "Difference",
    "Drift",
    "Field",
    "NodeAt",
    "NodeChange",
    "Side",
    "TensorAt",
    "TensorChange",
    "TensorKind",
    "Totals",
]

TensorKind: TypeAlias = Literal[
    "renamed",
    "changed",
    "cast",
    "reshaped",
    "transposed",
    "permuted",
    "slice",
    "permuted slice",
    "stacked",
    "merged",
    "quantised",
    "dequantised",
    "requantised",
    "made",
    "new",
    "removed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing with a name that is one way before and another way after; None where it is not there."""

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.what} {self.after} added"
        if self.after is None:
            return f"{self.what} {self.before} removed"
        return f"{self.what} {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAt:
    """A node where it stands: its address in its model, and its operator with the domain where that is not ONNX's."""

    address: str
    op: str

    def __str__(self) -> str:
        return f"{self.op} {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node of both models: 'changed' in its attributes or operands, or 'moved' to another place of the data flow."""

    kind: Literal["changed", "moved"]
    before: NodeAt
    after: NodeAt
    fields: tuple[Field, ...]

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Became:
    """Nodes of one model alone and the nodes of the other that stand for them; one of both sides may be empty.

    by: how they were put together, 'provenance' by what the nodes say themselves, 'matching' by the data flow.
    of: nodes of both models that the nodes say they come from, where these are still there.
    """

    before: tuple[NodeAt, ...]
    after: tuple[NodeAt, ...]
    by: Literal["provenance", "matching"]
    of: tuple[str, ...] = ()

    __repr__ = brief_line

    @property
    def kind(self) -> Literal["added", "removed", "became"]:
        """'added' without nodes before, 'removed' without nodes after."""
        if not self.before:
            return "added"
        return "became" if self.after else "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far weights went: Frobenius norm of the difference over that before, largest entry, share that changed."""

    relative: float | None
    max_abs: float | None
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorAt:
    """A constant: its name, ONNX type, shape and size in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorChange:
    """A constant of the second model and what it comes from in the first; `after` is None for what was removed.

    detail: which part of it, in words. readers: nodes that read it. origin: the first nodes of the
    first model that those stand for which read it. drift: of what 'changed', between entries; of what is 'quantised',
    'dequantised' or 'requantised', between the numbers that these stand for.
    """

    kind: TensorKind
    before: tuple[TensorAt, ...]
    after: TensorAt | None
    detail: str = ""
    readers: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    drift: Drift | None = None

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What is in a model: nodes by operator, weights, bytes of all constants, multiply-adds.

    parameters: entries of floating-point constants and of quantised ones, their scales and zero points left out.
    macs: multiply-adds by product of symbolic dimensions, ('batch', 85e6) meaning 85e6 for each of the batch; '1' is
    without any. uncounted: products whose shapes are not known.
    """

    nodes: tuple[tuple[str, int], ...]
    parameters: int
    nbytes: int
    macs: tuple[tuple[str, int], ...]
    uncounted: int

    @property
    def count(self) -> int:
        """Nodes of all kinds."""
        return sum(number for _, number in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two models."""

    name: str
    producer: str
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Everything that two models differ in; `matched` nodes are in both of them.

    `renamed` constants have other names or another place, and the same contents; they are no difference. `texts` are
    doc strings, metadata and annotations that differ; `provenance` is metadata that only says where nodes come from, in
    how many places each key is on one side only, and no difference either.

    >>> totals = Totals(nodes=(("Relu", 1),), parameters=0, nbytes=0, macs=(), uncounted=0)
    >>> side = Side(name="a.onnx", producer="", totals=totals)
    >>> found = Difference(before=side, after=side, matched=1)
    >>> found.same, found.count, found.sentence
    (True, 0, 'same: 1 node, 0 constants')
    """

    before: Side
    after: Side
    matched: int
    constants: int = 0
    header: tuple[Field, ...] = ()
    interface: tuple[Field, ...] = ()
    nodes: tuple[NodeChange, ...] = ()
    groups: tuple[Became, ...] = ()
    tensors: tuple[TensorChange, ...] = ()
    renamed: tuple[TensorChange, ...] = ()
    texts: tuple[Field, ...] = ()
    provenance: tuple[Field, ...] = ()

    __repr__ = brief
    _repr_html_ = as_html(
        ("same", "count"),
        interface=("what", "before", "after"),
        groups=("kind", "before", "after"),
        nodes=("kind", "before", "after"),
        tensors=("kind", "before", "after"),
    )

    @property
    def count(self) -> int:
        """Differences of all kinds."""
        kinds = (self.header, self.interface, self.nodes, self.groups, self.tensors, self.texts)
        return sum(len(some) for some in kinds)

    @property
    def same(self) -> bool:
        """Whether the models are the same graph with the same contents, whatever things inside are called."""
        return self.count == 0

    @property
    def added(self) -> tuple[NodeAt, ...]:
        """Nodes of the second model alone."""
        return tuple(node for group in self.groups for node in group.after)

    @property
    def removed(self) -> tuple[NodeAt, ...]:
        """Nodes of the first model alone."""
        return tuple(node for group in self.groups for node in group.before)

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        if self.same:
            tail = f", {len(self.renamed)} of them renamed or stored elsewhere" if self.renamed else ""
            return f"same: {counted(self.matched, 'node')}, {counted(self.constants, 'constant')}{tail}"
        changed = sum(node.kind == "changed" for node in self.nodes)
        counts = {"added": len(self.added), "removed": len(self.removed), "changed": changed}
        told = [(f"{n:,}", what) for what, n in (counts | {"moved": len(self.nodes) - changed}).items() if n]
        parts = [f"{n} {'node ' if n == '1' else 'nodes '}{what}" for n, what in told[:1]]
        parts += [f"{n} {what}" for n, what in told[1:]]
        parts += [f"{counted(len(self.tensors), 'constant')} different"] if self.tensors else []
        parts += [f"{len(self.interface):,} in the interface"] if self.interface else []
        parts += [f"{len(self.header):,} in the header"] if self.header else []
        texts = counted(len(self.texts), "doc string or annotation", "doc strings and annotations")
        parts += [texts] if self.texts else []
        return f"different: {', '.join(parts)}; {counted(self.matched, 'node')} in both"

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        data = asdict(self)
        for group, one in zip(data["groups"], self.groups, strict=True):
            group["kind"] = one.kind
        return {"same": self.same, "sentence": self.sentence, **data}
