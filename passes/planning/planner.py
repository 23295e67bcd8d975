"""Analyse every linear of a model and choose what to do with it: model -> Plan."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.axes.shared_axis import find_streams
from ...ir.graph.activations import Activations
from ...ir.graph.functions import FunctionId, callers, weight_takers
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.sizes import DEFAULT_BATCH, Setting, input_dims, open_dims, require_known, settings_at
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.graph.view import View, glance, view
from ...ir.io.load import Model, ModelError
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.axis_order import Reordering
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition, LoweringName, Plan, PlanError, States, Step
from ...ir.plan.region_split import Joint
from ...ir.plan.wanted import Wanted
from ..connectivity.device import analysis_device, described
from ..connectivity.edges import edges
from ..decompose.blocks import is_cover
from ..decompose.recurrent import states_of
from ..lowering.linear.batched import tile_of
from ..lowering.linear.cost import MARGIN, Choice, Machine, best_of, machines_for
from ..lowering.linear.lowering import absorbs, problem, suited
from ..lowering.linear.scatternd import turned
from ..lowering.linear.select import selection
from ..lowering.nodes.emitter import ORIGIN, Names
from ..lowering.nodes.weights import loses_format
from ..rewrite.reorder_axes import reorder_axes
from .analysis import Analysis, analyse, analyse_on, key_of
from .axis_orders import choose_orders
from .candidates import candidates, misfits
from .recurrent import Observe, Progress, recurrent_steps
from .regions import candidate, join_steps

if TYPE_CHECKING:
    import torch

__all__ = ["OWN", "Progress", "make_plan", "names_of", "praise", "selects_only", "turned_ends"]

NEAREST = 5  # names that are offered for one that is unknown
QUANTISED = "its weight is quantised"
WORTH_ORDER = 1.05  # sums over a stream are rounded in another order, so this must be predicted to gain that much
OWN = "already a block of a split operator"


@phase("plan")
def make_plan(
    model: Model,
    *,
    provider: str = "cpu",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    sized: Callable[[], tuple[Setting, ...]] | None = None,
    threads: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
    regions: bool = True,
    observe: Observe | None = None,
    grain: Grain | None = None,
    wanted: Wanted | None = None,
) -> Plan:
    """Find the blocks of every linear and choose a lowering for each; reads the model, changes nothing.

    provider: 'cpu' or 'cuda', whose costs are predicted; batch, sizes: of the open dimensions of the inputs, for which
    the activation rows of each linear are derived, see `settings_at`; sized: what finds such settings instead, called
    where something may be split; threads: that the products will run on; force: split whatever splits, also where that
    is slower, and each block by itself unless a grain says otherwise; progress: called with (done, total, node);
    device: that weights are analysed on, 'cpu', a device of torch, or 'auto': CUDA for large models where there is one;
    the plan is the same to the byte; regions: whether linears are split together where that gains more and streams of
    features get an order in which blocks follow one another, else each linear is taken alone; observe: called with
    (address, what its weight is like as it is stored) of each operator whose weight was read; grain: how coarse blocks
    are to be; wanted: lowerings to take whatever they cost, each linear by itself and in all its blocks. Weights are
    read one at a time, on a device a few. Raises ModelError when a weight does not fit into memory, DeviceError when
    there is no such device, PlanError when a lowering is wanted of a node that is not there, InputError for sizes of
    what is not open.
    """
    wanted = wanted or Wanted()
    grain = grain or Grain()
    if force and grain.parts is None:
        grain = replace(grain, every=True)
    shapes = input_dims(model.graph)
    if sized is None:
        require_known(open_dims(shapes), sizes or {})
        sized = functools.cache(functools.partial(settings_at, shapes, batch, sizes))
    takers, blocked = weight_takers(model.graph)
    known: dict[Any, Any] = {}
    with phase("linears"):
        seen = glance(model.graph, sorted(takers))
    settings = _Settings(
        provider,
        sized,
        threads,
        force,
        progress,
        analysis_device(device, _weight_bytes(seen.found)),
        regions and wanted.every is None,
        observe,
        grain,
        wanted,
    )
    regions = settings.regions
    with phase("weights"):
        steps, failed = _steps(seen, settings, known, model.name)
    settings = replace(settings, progress=None)  # weights are known by now
    joints: list[Joint] = []
    inlined: list[tuple[View, list[Step]]] = []  # with functions in the place of their calls, which may stay functions
    reorderings: tuple[Reordering, ...] = ()
    while seen.lacks_ranks or takers or _splits(steps, regions):
        with phase("regions"):
            seen = view(model.graph, sorted(takers))
            steps, failed = _steps(seen, settings, known, model.name)
            steps, joints = _joined(seen, steps, known, settings)
        inlined.append((seen, steps))
        needed = callers(model.graph, _functions_of(seen.found, steps, seen.origins)) & takers
        if needed == takers:
            break
        takers = needed  # a function in which nothing is split stays a function
    if regions and _splits(steps, regions):
        found_orders = choose_orders(find_streams(seen.found, seen.model), *_decompositions(seen.found, known))
        if found_orders:
            with phase("orders"):
                changed = view(reorder_axes(model.graph, found_orders, sorted(takers)))
                unseen = replace(settings, observe=None)  # these weights are the same in another order
                others, unread = _steps(changed, unseen, known, model.name)
                others, joined = _joined(changed, others, known, settings)
            if _predicted(others) < _predicted(steps) / WORTH_ORDER:
                reorderings, steps, failed, joints, seen = found_orders, others, unread, joined, changed
    found = seen.found
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    if strangers := wanted.unknown(name for one in operators for name in names_of(one)):
        raise PlanError(_stranger(model.name, strangers[0], found))
    steps = [*steps, *_in_functions(inlined, steps, takers)]
    calls = [
        Skipped("::".join(f[:2]), "function", f"its weights are arguments: {why}", 0) for f, why in blocked.items()
    ]
    told = any(step.extents for step in steps)
    return Plan(
        model=model.name,
        provider=provider,
        batch=tuple(one.batch for one in sized()) if told else tuple(batch or DEFAULT_BATCH),
        parameters=found.parameters,
        steps=tuple(steps),
        skipped=(*found.skipped, *failed, *calls),
        inline=tuple(sorted(takers)),
        reorderings=reorderings,
        joints=tuple(joints),
        grain=grain,
        wanted=wanted,
        analysed=described(settings.device),
    )


def names_of(one: Linear | Recurrent) -> tuple[str | None, ...]:
    """What an operator goes by: its address, the name of its node, and that of its weight."""
    return one.address, one.node.name, one.weight.name


def _stranger(model: str, name: str, found: Survey) -> str:
    """Why a lowering cannot be wanted of a node, and which nodes there are."""
    skipped = next((skip for skip in found.skipped if skip.node == name), None)
    if skipped is not None:
        return f"{model}: {name}: a lowering is wanted of it, but it is left alone: {skipped.reason}"
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    every = [one.address for one in operators]
    near = (difflib.get_close_matches(name, every, n=NEAREST, cutoff=0.3) or every)[:NEAREST]
    return f"{model}: a lowering is wanted of {name!r}, which no linear is called; there is {', '.join(near) or 'none'}"


def _in_functions(
    views: Sequence[tuple[View, list[Step]]], steps: Sequence[Step], taken: set[FunctionId]
) -> list[Step]:
    """What was found out about linears in functions that stay functions, since nothing in them is split.

    Their addresses are those that they have in the place of a call; a plan names them, and does nothing with them.
    """
    known = {step.node for step in steps}
    left: dict[str, Step] = {}
    for seen, found in views:
        operators: list[Linear | Recurrent] = [*seen.found.linears, *seen.found.recurrents]
        homes = {one.address: seen.origins[one.node] for one in operators if one.node in seen.origins}
        for step in found:
            if step.node not in known and step.node in homes and homes[step.node] not in taken:
                left.setdefault(step.node, step)
    return list(left.values())


def _splits(steps: Sequence[Step], regions: bool) -> bool:
    """Whether something may be split, alone or together with others, so that shapes are worth inferring."""
    several = regions and sum(step.components > 1 for step in steps) > 1
    return several or any(step.gain is not None for step in steps)


def _decompositions(
    found: Survey, known: Mapping[Any, Any]
) -> tuple[dict[str, Decomposition], dict[str, Decomposition]]:
    """The components of all linears, and the covers of those that have one, by address."""
    read = {linear.address: known[key_of(linear)] for linear in found.linears if key_of(linear) in known}
    covers = {node: one for node, own in read.items() for one in own.covers[:1] if not (one.summed or one.strays)}
    return {node: own.decomposition for node, own in read.items()}, covers


def _joined(
    seen: View, steps: Sequence[Step], known: Mapping[Any, Any], settings: _Settings
) -> tuple[list[Step], list[Joint]]:
    """The steps where linears are split together that gain more so, and their joints."""
    if not settings.regions:
        return list(steps), []
    standing = {step.node for step in steps if not step.reason.startswith((OWN, QUANTISED))}
    together = [
        one
        for linear in seen.found.linears
        if linear.address in standing
        and settings.wanted.way(*names_of(linear)) is None
        and (one := candidate(linear, known[key_of(linear)], seen.found.constants)) is not None
    ]
    if len(together) < 2:
        return list(steps), []
    addresses = {node: address for scope in scopes(seen.model) for node, address in scope.addresses.items()}
    return join_steps(
        steps,
        together,
        seen.found.constants,
        Names(seen.model),
        addresses,
        settings.machines(),
        force=settings.force,
        grain=settings.grain,
    )


def _predicted(steps: Sequence[Step]) -> float:
    """What all linears are predicted to take, in multiply-adds of dense products."""
    return sum(step.parameters / (step.gain if step.lowering != "dense" and step.gain else 1) for step in steps)


def _weight_bytes(found: Survey) -> int:
    return int(sum(math.prod(linear.shape) * linear.dtype.itemsize for linear in found.linears))


def _functions_of(found: Survey, steps: Sequence[Step], origins: dict[ir.Node, FunctionId]) -> set[FunctionId]:
    split = {step.node for step in steps if step.lowering != "dense"}
    operators: list[Linear | Recurrent] = [*found.linears, *found.recurrents]
    return {origins[one.node] for one in operators if one.address in split and one.node in origins}


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the plan is made for; see `make_plan`."""

    provider: str
    sized: Callable[[], tuple[Setting, ...]]
    threads: int
    force: bool
    progress: Progress | None
    device: torch.device | None
    regions: bool
    observe: Observe | None
    grain: Grain
    wanted: Wanted

    def machines(self) -> list[Machine]:
        return machines_for(self.provider, self.threads)


def _steps(seen: View, settings: _Settings, known: dict[Any, Any], name: str) -> tuple[list[Step], list[Skipped]]:
    """A step for each linear, and those whose weight turned out not to be readable; `known` remembers weights."""
    found, activations = seen.found, Activations(seen.model, settings.sized)
    steps: list[Step] = []
    failed: list[Skipped] = []
    if settings.device is not None:
        _ahead(found, settings, known)
    for index, linear in enumerate(found.linears):
        if settings.progress:
            settings.progress(index, len(found.linears) + len(found.recurrents), linear.address)
        key = key_of(linear)
        try:
            if key not in known:
                known[key] = analyse(linear.canonical(found.constants), transposed=linear.transposed)
            if linear.address in found.hidden and ("states", *key) not in known:
                known["states", *key] = _states(linear, found)
            if ("selects", *key) not in known:
                known["selects", *key] = selects_only(linear, known[key], found)
        except MemoryError:
            where = f"{name}: {linear.address}"
            raise ModelError(f"{where}: not enough memory for a weight of {linear.shape}") from None
        except ModelError as error:
            failed.append(
                Skipped(linear.address, linear.op, f"the weight cannot be read: {error}", math.prod(linear.shape))
            )
            continue
        if settings.observe:
            settings.observe(linear.address, known[key])
        told = settings.observe is not None or known[key].sha256 is not None
        extents = activations.of(linear) if told else ()
        step = _step(linear, known[key], settings, known, extents, selects=known["selects", *key])
        steps.append(replace(step, states=known["states", *key]) if linear.address in found.hidden else step)
    whole, unread = recurrent_steps(
        found,
        known,
        activations,
        provider=settings.provider,
        threads=settings.threads,
        force=settings.force,
        progress=settings.progress,
        name=name,
        observe=settings.observe,
        grain=settings.grain,
        wanted=settings.wanted,
    )
    return steps + whole, failed + unread


def _ahead(found: Survey, settings: _Settings, known: dict[Any, Any]) -> None:
    """Analyse the weights that are not known yet on the device, many in flight."""
    assert settings.device is not None
    distinct = {key_of(linear): linear for linear in reversed(found.linears)}  # of equal ones the first
    wanted = [linear for key, linear in reversed(distinct.items()) if key not in known]
    for index, (key, linear, analysis) in enumerate(analyse_on(settings.device, wanted, found.constants)):
        known[key] = analysis
        if settings.progress:
            settings.progress(index, len(wanted), linear.address)


def _states(linear: Linear, found: Survey) -> States:
    """The structure of a weight that maps states to themselves; row h of the adjacency lists the in-edges of h."""
    return states_of(edges(linear.canonical(found.constants)).T)


def selects_only(linear: Linear, analysis: Analysis, found: Survey) -> bool:
    """Whether a weight only picks features; it is read again only where every output has one edge."""
    single = analysis.components.nonzeros == linear.shape[1] and not analysis.decomposition.dormant_outputs.size
    return single and analysis.sha256 is not None and selection(linear.canonical(found.constants)) is not None


def _step(
    linear: Linear,
    analysis: Analysis,
    settings: _Settings,
    known: dict[Any, Any],
    extents: tuple[tuple[int, ...], ...],
    *,
    selects: bool,
) -> Step:
    K, N = linear.shape
    counts = list(dict.fromkeys(map(math.prod, extents)))
    itemsize = np.dtype(linear.dtype.numpy()).itemsize
    asked = settings.wanted.way(*names_of(linear))
    if asked is None or asked == "dense":
        ways = suited(linear) or ("scatter",)  # predicted all the same; why it is left alone is said below
        ways = ("select",) if selects and "select" in ways else tuple(way for way in ways if way != "select")
    else:
        ways = (asked,)
    tile = tile_of(settings.provider, linear.dtype)
    circumstances = (tuple(counts), itemsize, turned_ends(linear), ways, tile, absorbs(linear), asked)
    key = ("choice", *key_of(linear), *circumstances)  # the graph may be looked at several times
    if key not in known:
        known[key] = _chosen(linear, analysis, settings, counts, ways, asked)
    choice: Choice | None = known[key][0]
    reason = _refusal(linear, analysis, choice, counts, settings.force, asked, known[key][1], selects=selects)
    taken = choice if reason is None and choice else None
    lowering: LoweringName = taken.lowering if taken else "dense"
    decomposition = choice.decomposition if choice else Decomposition((K, N), ())
    return Step(
        node=linear.address,
        op=linear.op,
        weight=linear.weight.name or "",
        dtype=linear.dtype.name.lower(),
        shape=(K, N),
        lowering=lowering,
        decomposition=decomposition,
        components=analysis.components.count,
        giant=analysis.components.giant,
        nonzeros=analysis.components.nonzeros,
        dormant_inputs=analysis.decomposition.dormant_inputs.size,
        dormant_outputs=analysis.decomposition.dormant_outputs.size,
        gain=round(choice.gain, 3) if choice else None,
        reason=reason or praise(analysis, decomposition, selects=lowering == "select"),
        sha256=analysis.sha256 if choice else None,
        extents=extents,
    )


def _chosen(
    linear: Linear,
    analysis: Analysis,
    settings: _Settings,
    rows: Sequence[int],
    ways: Sequence[LoweringName],
    asked: LoweringName | None,
) -> tuple[Choice | None, str]:
    """What gains most at its worst, of blocks and covers, and what is against the lowering that was asked for."""
    machines = [(count, machine) for count in rows for machine in settings.machines()]
    tile = tile_of(settings.provider, linear.dtype)
    forced = asked is not None and asked != "dense"
    found = list(candidates(linear, analysis, ways, settings.grain, machines, tile, asked=forced))
    choice = best_of(found, machines, int(linear.dtype.numpy().itemsize), turned_ends(linear, ways[0]), tile)
    return choice, misfits(found, ways, tile).get(ways[0], "") if forced and choice is None else ""


def turned_ends(linear: Linear, way: LoweringName = "scatter") -> int:
    """How many ends of a linear have to be brought to features-first layout and back."""
    layout = turned(linear) if way == "scatternd" else linear.layout
    if layout.kind == "conv":
        return 0
    return 2 if layout.kind == "rows" else (layout.enter is not None) + (layout.exit is not None)


def _refusal(
    linear: Linear,
    analysis: Analysis,
    choice: Choice | None,
    rows: Sequence[int],
    force: bool,
    asked: LoweringName | None,
    against: str,
    *,
    selects: bool,
) -> str | None:
    """Why a linear stays dense; None when it is split. against: why the blocks cannot have the lowering that was asked
    for, else empty."""
    parts = analysis.components
    if ORIGIN in linear.node.metadata_props:
        return OWN
    if parts.count == 0:
        return "every entry is zero: there is nothing to multiply"
    if asked == "dense":
        return "dense, as asked"
    if against:
        return against
    if choice is None:
        K, N = linear.shape
        degree = 2 * parts.nonzeros / (K + N)
        rest = f" but {parts.dormant:,}" if parts.dormant else ""
        return (
            f"one component holds every feature{rest}: {parts.nonzeros / (K * N):.1%} of the entries are edges, "
            f"{degree:,.1f} per feature, and a random weight falls apart below about 1"
        )
    if reason := problem(linear) or (problem(linear, asked) if asked else None):
        return reason
    if reason := loses_format(linear):
        return f"{QUANTISED} {reason}"
    if asked == "select" and not selects:
        return "'select' needs a weight with a single 1 for every output; use 'scatter'"
    if asked:
        return None
    if _dequantised(linear) and not force:
        return f"{QUANTISED}: ONNX Runtime multiplies it in an 8-bit kernel, which blocks would not get"
    if choice.gain < MARGIN and not force:
        what = f"{parts.count} blocks" if parts.count > 1 else "one block beside dormant features"
        if absorbs(linear) and (dead := analysis.decomposition.dormant_outputs.size):
            it = "it is" if dead == 1 else "they are"
            what += f" ({dead} of the outputs {'has' if dead == 1 else 'have'} no edge, but {it} computed all the same)"
        if choice.decomposition.layers:
            what = "a hidden block-triangular form"
        elif is_cover(choice.decomposition):
            what = f"{len(choice.decomposition.blocks)} groups of {choice.decomposition.mac_share:.0%} of the entries"
        at = ", ".join(map(str, rows))
        return f"{what}, but {choice.gain:.2f}x the speed of dense is predicted (rows {at}); --force splits it anyway"
    return None


def _dequantised(linear: Linear) -> bool:
    maker = linear.weight.producer()
    return maker is not None and maker.op_type == "DequantizeLinear"


def praise(analysis: Analysis, chosen: Decomposition, *, selects: bool) -> str:
    """What is split, in a few words."""
    dormant: Any = analysis.decomposition.dormant_inputs.size + analysis.decomposition.dormant_outputs.size
    if selects:
        return f"every output is one input: {chosen.shape[1]:,} picked from {chosen.shape[0]:,}"
    merged = f" merged into {len(chosen.blocks)}" if len(chosen.blocks) < analysis.components.count else ""
    spare = f", {dormant} dormant features" if dormant else ""
    if chosen.layers:
        layers = 1 + max(last for _, last in chosen.layers)
        return f"block-triangular: {layers:,} layers in {len(chosen.blocks)} row groups{spare}"
    if is_cover(chosen):
        return f"{_cover_in_words(chosen)}{spare}"
    return f"{analysis.components.count} independent blocks{merged}{spare}"


def _cover_in_words(chosen: Decomposition) -> str:
    """What groups of a cover share, in a few words."""
    owned, shared = ("inputs", "outputs") if chosen.summed else ("outputs", "inputs")
    count = len(chosen.blocks)
    beside = f", {len(chosen.strays):,} entries apart" if chosen.strays else ""
    if not chosen.shared.size:
        return f"{count} groups of {owned} that share nothing{beside}"
    return f"{count} groups of {owned} that share {chosen.shared.size:,} {shared}{beside}"
