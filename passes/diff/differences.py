"""Everything that two models differ in."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.findings.difference import Became, Difference, Side
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from .annotations import annotation_changes
from .changes import Changes, header_changes, inner_ends, interface_changes
from .constant_provenance import provenance_of
from .node_groups import group_nodes
from .node_matching import pair_nodes
from .tensor_identity import Contents
from .totals import census
from .value_numbering import (
    Numbers,
    anatomy,
)

__all__ = ["differences"]


def differences(before: Model, after: Model) -> Difference:
    """Compare two models by what their nodes compute; what things inside are called and their order do not count.

    Raises ModelError when a constant cannot be read.

    >>> import onnx
    >>> from scission.ir.io.load import load
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> def of(op): return load(onnx.helper.make_model(onnx.helper.make_graph([op], "g", [x], [y])))
    >>> found = differences(*(of(onnx.helper.make_node("Elu", ["x"], ["y"], alpha=alpha)) for alpha in (1.0, 0.5)))
    >>> found.sentence, str(found.nodes[0].fields[0])
    ('different: 1 node changed; 1 node in both', 'alpha 1.0 (default) -> 0.5')
    """
    contents, numbers = Contents(), Numbers()
    one = anatomy(before.graph, numbers, contents)
    other = anatomy(after.graph, numbers, contents, _aliases(before.graph, after.graph))
    pairs = pair_nodes(one, other)
    groups = group_nodes(one, other, pairs)
    constants = provenance_of(one, other, pairs, groups, contents)
    beside = annotation_changes(one, other, pairs, Changes(one, other, pairs, None).twins())
    return Difference(
        before=_side(before),
        after=_side(after),
        matched=len(pairs.forth),
        constants=constants.count,
        header=tuple(header_changes(before, after)),
        interface=(*interface_changes(one, other, pairs), *inner_ends(one, other, pairs)),
        nodes=tuple(Changes(one, other, pairs, contents).run()),
        groups=_ordered(group[2] for group in groups),
        tensors=constants.changes,
        renamed=constants.renamed,
        texts=beside.texts,
        provenance=beside.provenance,
    )


def _ordered(groups: Iterator[Became]) -> tuple[Became, ...]:
    """What became something first, then what was removed, then what was added."""
    return tuple(sorted(groups, key=lambda group: (not group.before, not group.after)))


def _side(model: Model) -> Side:
    graph = model.graph
    producer = " ".join(text for text in (graph.producer_name, graph.producer_version) if text)
    return Side(name=model.name, producer=producer, totals=census(graph))


def _aliases(one: ir.Model, other: ir.Model) -> dict[str | None, str | None]:
    """What inputs and outputs of the second model are called in the first, where only the name is another."""
    found: dict[str | None, str | None] = {}
    for mine, theirs in ((one.graph.inputs, other.graph.inputs), (one.graph.outputs, other.graph.outputs)):
        names = [{value.name for value in values} for values in (mine, theirs)]
        for a, b in zip(mine, theirs, strict=False):
            if len(mine) == len(theirs) and b.name not in names[0] and a.name not in names[1]:
                found[b.name] = a.name
    return found
