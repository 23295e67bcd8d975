"""Analyse every linear of a model and choose what to do with it: model -> Plan."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...ir.axes.shared_axis import find_shared_axes
from ...ir.graph.activations import Activations
from ...ir.graph.functions import FunctionId, callers, weight_takers
from ...ir.graph.linear import Linear
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.sizes import DEFAULT_BATCH, Setting, input_dims, open_dims, require_known, settings_at
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.graph.view import View, glance, view
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.axis_order import Reordering
from ...ir.plan.plan import Decomposition, Plan, PlanError, Step
from ...ir.plan.region_split import RegionSplit
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ..connectivity.device import analysis_device, described
from ..rewrite.reorder_axes import reorder_axes
from .analysis import Analysis, Key, key_of
from .axis_orders import choose_orders
from .linear import linear_steps, names_of
from .preparations import prepare
from .recurrent import recurrent_steps
from .regions import candidate, join_steps
from .search import Search, weight_bytes
from .settings import Observe, Planning, PlanSettings
from .wording import describe_stranger

__all__ = ["make_plan"]

STANDING = frozenset({Cause.ALREADY_SPLIT, Cause.QUANTISED})  # causes for which a linear stays out of regions too
WORTH_ORDER = 1.05  # sums over a shared axis are rounded in another order, so this must be predicted to gain that much


@dataclass(frozen=True, slots=True)
class _Draft:
    """A plan in the making: what was decided about a model that is seen in one way."""

    view: View
    inline: frozenset[FunctionId]  # functions whose bodies stand in the place of their calls
    steps: Sequence[Step]
    failed: Sequence[Skipped]  # operators whose weights turned out not to be readable
    regions: Sequence[RegionSplit] = ()
    reorderings: Sequence[Reordering] = ()


@phase("plan")
def make_plan(
    model: Model,
    settings: PlanSettings | None = None,
    *,
    sized: Callable[[], tuple[Setting, ...]] | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Plan:
    """Find the blocks of every linear and choose a lowering for each; reads the model, changes nothing.

    sized: finds the sizes for which the activation rows of each linear are derived, called where something may be
    split; without it they follow from the settings, see `settings_at`; progress: called with (done, total, node);
    observe: called with (address, what its weight is like as it is stored) of each operator whose weight was read.
    Weights are read one at a time, on a device a few. Raises ModelError when a weight does not fit into memory,
    DeviceError when there is no such device, PlanError when a lowering is wanted of a node that is not there,
    InputError for sizes of what is not open.
    """
    settings = (settings or PlanSettings()).resolved()
    sized = sized or _sizes_of(model, settings)
    search = Search(settings, sized)
    prepared, preparations, refused = prepare(model.graph, search)
    model = replace(model, graph=prepared)
    takers, blocked = weight_takers(model.graph)
    with phase("linears"):
        seen = (None if takers else search.look.known(model.graph)) or glance(model.graph, sorted(takers))
    device = analysis_device(settings.device, weight_bytes(seen.found))
    planning = Planning(model.name, settings, sized, device, search.memo, search.look, progress, observe)
    with phase("weights"):
        draft = _Draft(seen, frozenset(takers), *_steps(seen, planning))
    planning = replace(planning, progress=None)  # weights are known by now
    draft, drafts = _in_context(model, draft, planning)
    draft = _in_better_order(model, draft, planning)
    _check_names(draft.view.found, planning)
    steps = (*draft.steps, *_left_in_functions(drafts, draft))
    return Plan(
        model=model.name,
        provider=settings.provider,
        tf32=settings.tf32 if settings.provider == "cuda" else None,
        batch=_batch(steps, planning),
        parameters=draft.view.found.parameters,
        repeated=draft.view.found.repeated,
        steps=steps,
        skipped=(*draft.view.found.skipped, *draft.failed, *_calls(blocked)),
        inline=tuple(sorted(draft.inline)),
        preparations=preparations,
        refused=refused,
        reorderings=tuple(draft.reorderings),
        regions=tuple(draft.regions),
        grain=settings.grain,
        wanted=settings.wanted,
        analysed=described(device),
    )


def _sizes_of(model: Model, settings: PlanSettings) -> Callable[[], tuple[Setting, ...]]:
    """What finds the sizes that activations are predicted for; raises InputError for sizes of what is not open."""
    shapes = input_dims(model.graph)
    require_known(open_dims(shapes), settings.sizes or {})
    return functools.cache(functools.partial(settings_at, shapes, settings.batch, settings.sizes))


def _steps(seen: View, planning: Planning) -> tuple[list[Step], list[Skipped]]:
    """A step for each operator taken by itself, and those whose weights turned out not to be readable."""
    activations = Activations(seen.model, planning.sized)
    steps, failed = linear_steps(seen.found, activations, planning)
    recurrent, unread = recurrent_steps(seen.found, activations, planning)
    return steps + recurrent, failed + unread


def _in_context(model: Model, first: _Draft, planning: Planning) -> tuple[_Draft, list[_Draft]]:
    """The draft with shapes known and linears joined, and all that were made on the way.

    Shapes are inferred only where something may be split. A function in which nothing is split stays a function, and
    without its body in the place of its calls others may split differently: so until nothing changes.
    """
    draft, drafts = first, list[_Draft]()
    takers = set(first.inline)
    while draft.view.lacks_ranks or takers or _splits(draft.steps, planning.settings.regions):
        with phase("regions"):
            seen = view(model.graph, sorted(takers)) if takers else planning.look(model.graph)
            steps, failed = _steps(seen, planning)
            steps, regions = _joined(seen, steps, planning)
        draft = _Draft(seen, frozenset(takers), steps, failed, regions)
        drafts.append(draft)
        needed = callers(model.graph, _functions_of(seen.found, steps, seen.origins)) & takers
        if needed == takers:
            break
        takers = needed
    return replace(draft, inline=frozenset(takers)), drafts


def _in_better_order(model: Model, draft: _Draft, planning: Planning) -> _Draft:
    """The draft with shared axes in an order in which blocks follow one another, where that is predicted to gain."""
    if not (planning.settings.regions and _splits(draft.steps, True)):
        return draft
    seen = draft.view
    orders = choose_orders(
        find_shared_axes(seen.found, seen.model), *_decompositions(seen.found, planning.memo.analyses)
    )
    if not orders:
        return draft
    unseen = replace(planning, observe=None)  # these weights are the same in another order
    with phase("orders"):
        changed = view(reorder_axes(model.graph, orders, sorted(draft.inline)))
        steps, failed = _steps(changed, unseen)
        steps, regions = _joined(changed, steps, unseen)
    if _predicted(steps) >= _predicted(draft.steps) / WORTH_ORDER:
        return draft
    return _Draft(changed, draft.inline, steps, failed, regions, orders)


def _check_names(found: Survey, planning: Planning) -> None:
    """Raises PlanError when a lowering is wanted of a node that is not there."""
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    if strangers := planning.settings.wanted.unknown(name for one in operators for name in names_of(one)):
        raise PlanError(describe_stranger(planning.model, strangers[0], found))


def _batch(steps: Sequence[Step], planning: Planning) -> tuple[int, ...]:
    """The batches that the steps were predicted for; where there was nothing to predict, those that were asked for."""
    if any(step.extents for step in steps):
        return tuple(setting.batch for setting in planning.sized())
    return tuple(planning.settings.batch or DEFAULT_BATCH)


def _calls(blocked: Mapping[FunctionId, Reason]) -> Iterator[Skipped]:
    """Functions whose weights are arguments and whose calls have to stay, each with the reason."""
    for function, why in blocked.items():
        yield Skipped("::".join(function[:2]), "function", why.told(f"its weights are arguments: {why}"), 0)


def _splits(steps: Sequence[Step], regions: bool) -> bool:
    """Whether something may be split, alone or together with others, so that shapes are worth inferring."""
    several = regions and sum(step.components > 1 for step in steps) > 1
    return several or any(step.gain is not None for step in steps)


def _joined(seen: View, steps: Sequence[Step], planning: Planning) -> tuple[list[Step], list[RegionSplit]]:
    """The steps where linears are split together that gain more so, and their regions."""
    settings = planning.settings
    if not settings.regions:
        return list(steps), []
    standing = {step.node for step in steps if step.reason.cause not in STANDING}
    together = [
        one
        for linear in seen.found.linears
        if linear.address in standing
        and settings.wanted.way(*names_of(linear)) is None
        and (one := candidate(linear, planning.memo.analyses[key_of(linear)], seen.found.constants)) is not None
    ]
    if len(together) < 2:
        return list(steps), []
    return join_steps(
        steps,
        together,
        seen.found.constants,
        settings.target,
        force=settings.force,
        grain=settings.grain,
    )


def _decompositions(
    found: Survey, known: Mapping[Key, Analysis]
) -> tuple[dict[str, Decomposition], dict[str, Decomposition]]:
    """The components of all linears, and the covers of those that have one, by address."""
    read = {linear.address: known[key_of(linear)] for linear in found.linears if key_of(linear) in known}
    covers = {node: one for node, own in read.items() for one in own.covers[:1] if not (one.split_k or one.residual)}
    return {node: own.decomposition for node, own in read.items()}, covers


def _predicted(steps: Sequence[Step]) -> float:
    """What all linears are predicted to take, in multiply-adds of dense products."""
    return sum(step.parameters / (step.gain if step.lowering != "dense" and step.gain else 1) for step in steps)


def _functions_of(found: Survey, steps: Sequence[Step], origins: dict[ir.Node, FunctionId]) -> set[FunctionId]:
    split = {step.node for step in steps if step.lowering != "dense"}
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    return {origins[one.node] for one in operators if one.address in split and one.node in origins}


def _left_in_functions(drafts: Iterable[_Draft], chosen: _Draft) -> Iterator[Step]:
    """What was found out about operators in functions that stay functions, since nothing in them is split.

    Their addresses are those that they have in the place of a call; a plan names them, and does nothing with them.
    """
    told = {step.node for step in chosen.steps}
    for draft in drafts:
        seen = draft.view
        operators: list[Linear | Recurrent] = [*seen.found.linears, *seen.found.recurrents]
        homes = {one.address: seen.origins[one.node] for one in operators if one.node in seen.origins}
        for step in draft.steps:
            if step.node not in told and step.node in homes and homes[step.node] not in chosen.inline:
                told.add(step.node)
                yield step
