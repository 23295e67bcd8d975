"""The examination of a model that does not decompose: what holds it together, and what could have been seen."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.ffn import Ffn, find_ffns
from ...ir.errors import ModelError
from ...ir.evidence.evidence import Evidence
from ...ir.evidence.null import Null
from ...ir.findings.decomposability import MatrixReport, ModelReport, Sensitivity
from ...ir.graph.linear import Linear
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.load import Model
from ...ir.phase import phase
from ...ir.plan.annealing import Annealing
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ..connectivity.bipartite import components
from ..connectivity.edges import relate
from ..connectivity.percolation import distance, half_giant
from .annealed import Annealed, annealing_of
from .attention import queries_and_keys
from .blocks.partition_mass import LARGEST, masses
from .blocks.search import smallest_block_signal
from .edges.anneal import confirm, smallest_signal
from .edges.anneal_sequences import confirm_sequences
from .edges.neyman import above
from .edges.schemes import SchemeError, estimate
from .edges.sequences import edge_sequences
from .next_step import deviation, next_step
from .obstacle import obstacle
from .settings import Anneal

__all__ = ["FACTORS", "at_half", "examine"]

Array = npt.NDArray[Any]

FACTORS = (0.9, 1.0, 1.1)  # of sigma


@phase("examine")
def examine(
    model: Model, settings: Anneal, *, annealed: Annealed | None = None, progress: Progress | None = None
) -> ModelReport:
    """What holds every linear of a model together, what it would take to break it, and what its tests could have seen.

    settings: as for `anneal_model`, of which the null, its level, initial weights, tolerance and seed are used; the
    spread of an initial weight is its null, and the sensitivity is under Bonferroni's correction always. annealed: what
    that decided, whose reasons are then repeated. progress: called with (done, total, node). Changes nothing. What
    cannot be annealed is listed as skipped.
    """
    start = time.perf_counter()
    seen = view(model.graph).found
    networks = {way.address: ffn for ffn in find_ffns(seen.linears, seen.constants) for way in ffn.linears}
    heads = queries_and_keys(seen.linears)
    reasons = {one.node: one.reason.text for one in annealed.found if one.reason} if annealed else {}
    powers: dict[Ffn, list[tuple[str, str]]] = {}
    found: list[MatrixReport] = []
    skipped: list[Skipped] = []
    for index, linear in enumerate(seen.linears):
        if progress:
            progress(index, len(seen.linears), linear.address)
        if reason := obstacle(linear):
            skipped.append(Skipped(linear.address, linear.op, reason, math.prod(linear.shape)))
            continue
        network = networks.get(linear.address)
        try:
            if network is not None and network not in powers:
                powers[network] = _sequence_powers(network, seen, settings)
            use = "channels" if network is not None else "heads" if linear.address in heads else "other"
            power = powers[network] if network is not None else []
            found.append(_matrix(linear, seen, settings, use, power, reasons.get(linear.address, "")))
        except MemoryError:
            size = math.prod(linear.shape)
            why = Reason(Cause.UNREADABLE, "not enough memory to examine its weight")
            skipped.append(Skipped(linear.address, linear.op, why, size))
        except ModelError as error:
            why = Reason(Cause.UNREADABLE, f"the weight cannot be read: {error}")
            skipped.append(Skipped(linear.address, linear.op, why, 0))
    notes = []
    if any(math.prod(one.shape) > LARGEST for one in found):
        notes.append(f"the mass of a weight of more than {LARGEST:,} entries is that of a random part of it")
    if any(one.null is not None and one.null.estimated for one in found):
        notes.append("sigma was estimated from the trained weights themselves: what their test confirms is circular")
    return ModelReport(
        model=model.name,
        matrices=tuple(found),
        level=settings.level,
        skipped=tuple(skipped),
        notes=tuple(notes),
        seconds=time.perf_counter() - start,
    )


def at_half(model: Model, report: ModelReport) -> tuple[Annealing, ...]:
    """Annealings that keep only what is larger than the half threshold of each weight: what is left of the model?

    No test stands behind them. Weights without a giant are left as they are, and so are those so small that nothing
    would be kept. Raises ModelError when a weight cannot be read.
    """
    seen = view(model.graph).found
    linears = {linear.address: linear for linear in seen.linears}
    made = []
    for one in report.matrices:
        if not (one.whole and one.half_kept):
            continue
        linear = linears[one.node]
        weight = linear.canonical(seen.constants)
        mask = above(weight, one.half)
        evidence = Evidence(
            test="half giant",
            level=0.0,
            correction="none",
            confirmed=float(mask.mean()),
            smallest=one.half,
            power="no test: the largest entries, as many as leave no component with half of the features",
        )
        removed = int(np.count_nonzero(weight)) - int(np.count_nonzero(mask))
        made.append(annealing_of(linear, seen, evidence, removed, None, mask))
    return tuple(made)


def _matrix(
    linear: Linear, seen: Survey, settings: Anneal, use: str, powers: list[tuple[str, str]], tried: str
) -> MatrixReport:
    """The report on one weight; use: 'channels' in a feed-forward network, 'heads' for queries and keys, 'other'."""
    weight = linear.canonical(seen.constants)
    K, N = weight.shape
    graph = components(weight)
    half = half_giant(weight)
    null = _null(linear, weight, settings)
    tests = max(weight.size, 1)
    edge: float | None = None
    sensitivity: tuple[Sensitivity, ...] = ()
    power: list[tuple[str, str]] = []
    if null is not None:
        threshold = null.threshold(settings.level / tests)
        edge = smallest_signal(weight.shape, null, threshold)
        sensitivity = tuple(_at(weight, threshold, factor) for factor in FACTORS)
        power.append(("neyman", f"an edge is seen from |w| > {threshold:.3g}, {threshold / null.sigma:.1f} sigma"))
    walk = confirm(weight, "walk", null=null, level=settings.level, source=settings.axis).evidence
    power.append(("walk", f"{walk.power}; here {walk.confirmed:.0%}"))
    power += powers
    family = "normal" if null is None or null.estimated else null.family
    signals = [(count, smallest_block_signal((K, N), count, family)) for count in (2, 8)]
    shown = [f"{count} equal blocks from a signal of {s:.2f} sigma" for count, s in signals if math.isfinite(s)]
    power.append(("blocks", "; ".join(shown) or "the weight is too small for any block to be told from noise"))
    if linear.address in settings.initial:
        power.append(_update(linear, weight, settings))
    mass = masses(weight, settings.seed)
    step, reason, suggestion = next_step(weight, graph, null, sensitivity, use, linear.address in settings.initial)
    return MatrixReport(
        node=linear.address,
        shape=(K, N),
        density=graph.nonzeros / tests,
        components=graph.count,
        giant=graph.giant,
        dormant=graph.dormant,
        distance=distance(graph.nonzeros, K, N),
        half=half.threshold,
        half_kept=half.kept,
        half_giant=half.giant,
        half_components=half.components,
        mass=mass[0] if mass else None,
        mass_shuffled=mass[1] if mass else None,
        null=null,
        smallest_edge=edge,
        smallest_block=signals[0][1],
        sensitivity=sensitivity,
        power=tuple(power),
        reason=f"{reason}; annealing: {tried}" if tried else reason,
        step=step,
        suggestion=suggestion,
    )


def _null(linear: Linear, weight: Array, settings: Anneal) -> Null | None:
    """The null of a linear: the spread of its initial weight, the one given, or a robust estimate; None without any.

    Where the initial weight is known nothing is estimated from the trained one, which would be circular.
    """
    given = settings.null(linear) if settings.null else None
    if linear.address in settings.initial:
        sigma = deviation(settings.initial[linear.address])
        if not sigma > 0:
            return given
        return Null(family="normal", scale=sigma, source="the initial checkpoint")
    try:
        return given or estimate(weight)
    except SchemeError:
        return None


def _at(weight: Array, threshold: float, factor: float) -> Sensitivity:
    """What is above the threshold when sigma is that many times as large."""
    left = components(relate(weight, threshold * factor))
    return Sensitivity(
        factor=factor,
        confirmed=left.nonzeros / max(weight.size, 1),
        components=left.count,
        giant=left.giant,
        dormant=left.dormant,
        distance=distance(left.nonzeros, *weight.shape),
    )


def _update(linear: Linear, weight: Array, settings: Anneal) -> tuple[str, str]:
    """What is known from the initial checkpoint."""
    found = settings.updated(linear, weight)
    parts = components(found.confirmed)
    joined = f"{parts.count:,} component{'s' * (parts.count != 1)}"
    return "update", f"{found.evidence.power}; here {found.evidence.confirmed:.1%} in {joined}"


def _sequence_powers(network: Ffn, seen: Survey, settings: Anneal) -> list[tuple[str, str]]:
    """What the tests on sequences could see in a feed-forward network; nothing where it has no channels."""
    if network.channels is None or network.shape[0] == 0 or any(map(obstacle, network.linears)):
        return []
    gates = [network.gate] if network.gate else []
    sides = [[way.canonical(seen.constants) for way in side] for side in (network.ups, network.downs, gates)]
    theta = edge_sequences(sides[0], sides[1], network.channels, sides[2])
    d, order = network.shape[0], [(way, way.shape[1]) for way in (*network.ups, *gates)]
    order += [(way, way.shape[0]) for way in network.downs]
    nulls = [(_null(way, way.canonical(seen.constants), settings), hidden // d) for way, hidden in order]
    known = [null for null, count in nulls if null is not None for _ in range(count)]
    found = []
    if len(known) == len(theta) and len({null.family for null in known}) == 1:
        norm = confirm_sequences(theta, "norm", nulls=known, level=settings.level).evidence
        found.append(("norm", f"{norm.power}; here {norm.confirmed:.1%}, were hidden units in the order of the states"))
    consistency = confirm_sequences(theta, "consistency", level=settings.level, source=settings.axis).evidence
    return [*found, ("consistency", consistency.power)]
