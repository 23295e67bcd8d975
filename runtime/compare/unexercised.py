"""Which parts of two models a comparison did not exercise, and whether they are the same in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ...ir.errors import Remedy, ScissionError, option
from ...ir.io.load import Model
from ...ir.io.tensors import inner_graphs, read
from ...ir.onnx_ir import onnx_ir as ir
from .exercise import Part, parts_of

if TYPE_CHECKING:
    from .verdict import Verdict

__all__ = ["PartReport", "judged", "part_reports"]

FAR = 10_000  # values looked at behind a condition
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """A branch or a loop's body, and how often it ran.

    place: address of its node and name of its attribute; model: 'both', or the one that has it, 'original' or
    'changed'; kind: 'branch' or 'body'; runs: of a branch in all, of a body at most one after another, in the model
    where it ran less; least: that it takes to be exercised; differs: whether the two models differ in it, or in what
    only it reads; inputs: of the model, that decide whether it runs.
    """

    place: str
    model: str
    kind: str
    runs: int
    least: int
    differs: bool
    inputs: tuple[str, ...] = ()

    @property
    def exercised(self) -> bool:
        """Whether what it does had a chance to show."""
        return self.runs >= self.least

    @property
    def sentence(self) -> str:
        """What did not happen, '' where all is well."""
        if self.exercised:
            return ""
        if self.kind == "branch":
            return f"branch {self.place} was never run"
        return f"loop body {self.place} was never run" + (" a second time" if self.runs else "")

    @property
    def decided(self) -> str:
        """What decides whether it runs, '' where that is no input."""
        return f"; {', '.join(map(repr, self.inputs))} of the inputs decides" if self.inputs else ""

    @property
    def remedy(self) -> Remedy:
        """The options that may run it."""
        python = ", ".join(f"{name!r}: …" for name in self.inputs)
        shell = " ".join(f"--value {name}=V" for name in self.inputs)
        real = option("inputs")
        if not self.inputs:
            return real
        return Remedy(f"values={{{python}}} or {real}", f"{shell} or {real.shell} FILE.npz")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "inputs": list(self.inputs), "exercised": self.exercised}


def part_reports(
    original: Model, changed: Model, before: Mapping[str, int], after: Mapping[str, int]
) -> tuple[PartReport, ...]:
    """A report for every part of the two models. before, after: how often each ran, by place."""
    one, other = ({part.place: part for part in parts_of(model.graph)} for model in (original, changed))
    sides = [_Side.of(original, one, before), _Side.of(changed, other, after)]
    found = []
    for place in dict.fromkeys((*one, *other)):
        part = one.get(place) or other[place]
        runs = [ran.get(place, 0) for ran, parts in ((before, one), (after, other)) if place in parts]
        both = place in one and place in other
        differs = not both
        if both and min(runs) < part.least:
            differs = not _Comparison(*sides).same_graph(one[place].graph, other[place].graph)
        found.append(
            PartReport(
                place=place,
                model="both" if both else "original" if place in one else "changed",
                kind=part.kind,
                runs=min(runs),
                least=part.least,
                differs=differs,
                inputs=_deciding(part.node),
            )
        )
    return tuple(found)


def judged(
    verdict: Verdict, parts: Sequence[PartReport], hidden_values: Sequence[str] = (), unread: Sequence[str] = ()
) -> Verdict:
    """A verdict of equality with what was exercised: where the models differ in what never ran, nothing is shown.

    hidden_values: sentences about what masks hid; unread: about rows of tables that differ and were never read.
    """
    missing = [part for part in parts if not part.exercised]
    hidden = [part for part in missing if part.differs]
    why = [f"{part.sentence}, and the models differ in it{part.decided}" for part in hidden] + [*unread]
    if why:
        more = f", and {len(why) - 1} more like it" if len(why) > 1 else ""
        return replace(
            verdict,
            equal=False,
            shown=False,
            parts=tuple(parts),
            masked=(*unread, *hidden_values),
            reason=f"not shown equal: {why[0]}{more}",
        )
    reason = verdict.reason
    if missing:
        more = f" and {len(missing) - 1} more like it" if len(missing) > 1 else ""
        reason += f"; {missing[0].sentence}{more}, and is the same in both models"
    if hidden_values:
        reason += f"; {hidden_values[0]}" + (f", and {len(hidden_values) - 1} more" if len(hidden_values) > 1 else "")
    return replace(verdict, parts=tuple(parts), masked=tuple(hidden_values), reason=reason)


def _deciding(node: ir.Node) -> tuple[str, ...]:
    """Inputs of the model behind the condition or the trip count of a node, the nearest first."""
    stack = [value for value in node.inputs[: 1 if node.op_type == "If" else 2] if value is not None]
    seen = dict.fromkeys(stack)
    for value in stack:
        maker = value.producer()
        for source in maker.inputs if maker is not None else ():
            if source is not None and source not in seen and len(seen) < FAR:
                seen[source] = None
                stack.append(source)
    found = [value.name for value in seen if value.name and value.is_graph_input() and value.const_value is None]
    return tuple(found[:NAMED])


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One model, and the values whose effect a comparison of its outputs sees."""

    model: Model
    live: frozenset[ir.Value]

    @classmethod
    def of(cls, model: Model, parts: Mapping[str, Part], ran: Mapping[str, int]) -> _Side:
        graphs = {part.graph: ran.get(place, 0) >= part.least for place, part in parts.items()}
        return cls(model, frozenset(_live(model.graph, graphs)))


def _live(model: ir.Model, exercised: Mapping[ir.Graph, bool]) -> set[ir.Value]:
    """The values that reach an output of the model other than through parts that were not exercised."""
    live: set[ir.Value] = set()
    stack = list(model.graph.outputs)
    while stack:
        value = stack.pop()
        if value in live:
            continue
        live.add(value)
        node = value.producer()
        if node is None:
            continue
        stack += [source for source in node.inputs if source is not None]
        for graph in inner_graphs(node):
            if exercised.get(graph, True):
                stack.extend(graph.outputs)
    return live


class _Comparison:
    """Whether values of two models are computed alike; what was compared is remembered, as chains share their parts."""

    def __init__(self, one: _Side, other: _Side) -> None:
        self.one, self.other = one, other
        self.known: dict[tuple[ir.Value, ir.Value], bool] = {}

    def same_graph(self, one: ir.Graph | ir.Function, other: ir.Graph | ir.Function) -> bool:
        """Whether two inner graphs compute the same from the same, and what only they read is the same as well."""
        if len(one.inputs) != len(other.inputs) or len(one.outputs) != len(other.outputs):
            return False
        self.known |= dict.fromkeys(zip(one.inputs, other.inputs, strict=True), True)
        return all(self._same(*pair) for pair in zip(one.outputs, other.outputs, strict=True))

    def _same(self, one: ir.Value, other: ir.Value) -> bool:
        # An explicit stack: chains can be deeper than Python's recursion limit.
        stack = [(one, other)]
        while stack:
            pair = stack.pop()
            if pair in self.known:
                if not self.known[pair]:
                    return False
                continue
            self.known[pair] = True
            a, b = pair
            first, second = a.producer(), b.producer()
            if a.name == b.name and first and second and a in self.one.live and b in self.other.live:
                continue  # what it is shows elsewhere
            if (first is None) != (second is None):
                self.known[pair] = False
                return False
            if first is None or second is None:
                if not self._same_leaf(a, b):
                    self.known[pair] = False
                    return False
                continue
            if not self._same_node(first, second) or first.outputs.index(a) != second.outputs.index(b):
                self.known[pair] = False
                return False
            for x, y in zip(first.inputs, second.inputs, strict=True):
                if (x is None) != (y is None):
                    return False
                if x is not None and y is not None:
                    stack.append((x, y))
        return True

    def _same_leaf(self, a: ir.Value, b: ir.Value) -> bool:
        """An initializer with the same numbers, or an input of the same name."""
        if (a.const_value is None) != (b.const_value is None):
            return False
        if a.const_value is None or b.const_value is None:
            return a.name == b.name
        return _same_tensor(a.const_value, b.const_value)

    def _same_node(self, one: ir.Node, other: ir.Node) -> bool:
        if (one.op_type, one.domain, len(one.inputs)) != (other.op_type, other.domain, len(other.inputs)):
            return False
        if one.attributes.keys() != other.attributes.keys() or not self._same_function(one, other):
            return False
        return all(self._same_attribute(one.attributes[name], other.attributes[name]) for name in one.attributes)

    def _same_function(self, one: ir.Node, other: ir.Node) -> bool:
        first = self.one.model.graph.functions.get(one.op_identifier())
        second = self.other.model.graph.functions.get(other.op_identifier())
        return first is second if first is None or second is None else self.same_graph(first, second)

    def _same_attribute(self, one: Any, other: Any) -> bool:
        if one.type != other.type or one.is_ref() != other.is_ref():
            return False
        if one.is_ref():
            return bool(one.ref_attr_name == other.ref_attr_name)
        if one.type == ir.AttributeType.TENSOR:
            return _same_tensor(one.value, other.value)
        if one.type == ir.AttributeType.GRAPH:
            return self.same_graph(one.value, other.value)
        if one.type == ir.AttributeType.GRAPHS:
            return len(one.value) == len(other.value) and all(map(self.same_graph, one.value, other.value))
        if one.type == ir.AttributeType.TENSORS:
            return len(one.value) == len(other.value) and all(map(_same_tensor, one.value, other.value))
        return bool(one.value == other.value)


def _same_tensor(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or tuple(one.shape) != tuple(other.shape):
        return False
    if one.dtype == ir.DataType.STRING:
        return list(one.string_data()) == list(other.string_data())
    try:
        return read(one).tobytes() == read(other).tobytes()
    except ScissionError:
        return False
