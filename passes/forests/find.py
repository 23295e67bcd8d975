"""Which forests of a model are worth another form on the machine that it will run on: model -> what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...ir.graph.constants import Constants
from ...ir.graph.linear import scopes
from ...ir.graph.shapes import infer_shapes, shape_of
from ...ir.graph.sizes import UNNAMED, Setting, extent
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_forest import ForestForm, RewrittenForest
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .choose import Standing, is_ensemble, lowered, standing
from .compiled.recognise import Compiled, NoForest, compiled_forests, may_hold_forests
from .prices import compiled_seconds, ensemble_seconds
from .trees.to_ensemble import version, why_no_ensemble

__all__ = ["find", "seen", "standing_forests", "why_it_stays"]


def find(model: ir.Model, target: Target, sized: Callable[[], tuple[Setting, ...]]) -> list[RewrittenForest]:
    """The forests that are predicted to be faster in another form; reads and changes nothing.

    On a processor those compiled to other operators become one, which walks trees; on a device, which has no such
    operator, those that are one may become others.
    """
    return [one for _, one in _decided(model, target, sized) if isinstance(one, RewrittenForest)]


def why_it_stays(model: ir.Model, node: str, target: Target, sized: Callable[[], tuple[Setting, ...]]) -> Reason | None:
    """Why the forest that an operator is part of keeps its form; None for any other operator, and one that does not.

    node: its address.
    """
    decided = _decided(model, target, sized)
    return next((one for nodes, one in decided if isinstance(one, Reason) and node in nodes), None)


def _decided(
    model: ir.Model, target: Target, sized: Callable[[], tuple[Setting, ...]]
) -> list[tuple[tuple[str, ...], RewrittenForest | Reason]]:
    """Of each forest the addresses of its nodes, and what is done with it or why nothing is."""
    cuda = target.provider == "cuda"
    if not (any(map(is_ensemble, model.graph)) if cuda else may_hold_forests(model)):
        return []
    model, found = seen(model)
    addresses = {node: text for scope in scopes(model) for node, text in scope.addresses.items()}
    if cuda:
        ensembles = [node for node in model.graph if is_ensemble(node)]
        pairs = zip(ensembles, standing_forests(model), strict=True)
        return [((addresses[node],), _lowered(one, addresses, target, sized())) for node, one in pairs]
    constants, number = Constants(model), version(model)
    decided: list[tuple[tuple[str, ...], RewrittenForest | Reason]] = []
    for each in found:
        told: RewrittenForest | Reason | None = each.reason if isinstance(each, NoForest) else None
        if isinstance(each, Compiled):
            told = why_no_ensemble(each.forest, number) or _raised(each, addresses, constants, target, sized())
        assert told is not None
        decided.append((tuple(addresses[node] for node in each.nodes), told))
    return decided


def seen(model: ir.Model) -> tuple[ir.Model, list[Compiled | NoForest]]:
    """A copy of a model with its shapes inferred, and the compiled forests in it."""
    copy = model.clone()
    infer_shapes(copy)
    return copy, compiled_forests(copy, Constants(copy)) if may_hold_forests(copy) else []


def standing_forests(model: ir.Model) -> list[Standing | Reason]:
    """Each operator of the main graph that walks trees, or why it stays."""
    opset = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))
    return [standing(node, opset) for node in model.graph if is_ensemble(node)]


def _lowered(
    found: Standing | Reason, addresses: Mapping[ir.Node, str], target: Target, settings: Sequence[Setting]
) -> RewrittenForest | Reason:
    if isinstance(found, Reason):
        return found
    return lowered(found, addresses, target, [_rows(found.rows, setting) for setting in settings])


def _raised(
    found: Compiled, addresses: Mapping[ir.Node, str], constants: Constants, target: Target, settings: Sequence[Setting]
) -> RewrittenForest | Reason:
    """A compiled forest as one operator, or why it stays as it is."""
    forest = found.forest
    depth = int(forest.depths.max(initial=0))
    what = f"{counted(forest.roots.size, 'tree')} of depth {depth} at most"
    gain = min(
        compiled_seconds(found, constants, rows, prices) / ensemble_seconds(forest, rows, prices, threads)
        for prices, threads in zip(target.prices, (1, target.threads), strict=False)
        for rows in (_rows(found.rows, setting) for setting in settings)
    )
    if gain < MARGIN:
        return Reason(
            Cause.NO_GAIN, f"a forest of {what}, for which one operator is predicted to be {gain:.2g}x as fast"
        )
    how = "gathers" if found.gathers else "matrix products"
    names = "" if found.ended.label is None else " and names the class"
    return RewrittenForest(
        nodes=tuple(addresses[node] for node in found.nodes),
        gain=gain,
        reason=Reason(
            Cause.FOREST, f"a forest of {what}, compiled to {how}: one operator walks its trees instead{names}"
        ),
        form=ForestForm.ENSEMBLE,
        trees=int(forest.roots.size),
        depth=depth,
        sha256=found.sha256,
    )


def _rows(value: ir.Value, setting: Setting) -> int:
    """How many rows there are in a setting."""
    shape = shape_of(value)
    first = extent(shape[0]) if shape is not None else None
    return first if isinstance(first, int) else setting.sizes.get(first or UNNAMED, setting.batch)
