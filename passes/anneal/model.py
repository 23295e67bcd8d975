"""Annealing of a whole model: for every linear, which weights its test would remove, and on what evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.ffn import Ffn, find_ffns
from ...ir.errors import ModelError, Remedy
from ...ir.evidence.evidence import Evidence
from ...ir.evidence.null import Null
from ...ir.graph.functions import weight_takers
from ...ir.graph.linear import Linear
from ...ir.graph.skipped import Skipped
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.load import Model
from ...ir.phase import phase
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ..connectivity.bipartite import components
from ..connectivity.chunked import to_host
from ..decompose.blocks import decompose
from .annealed import Annealed, Found, decided, keeping, untouched
from .blocks.search import anneal_blocks
from .edges.anneal import AnnealError, Decision, EdgeTest, confirm
from .edges.anneal_sequences import SequenceTest, confirm_sequences
from .edges.methods import METHODS, Method
from .edges.schemes import SchemeError, estimate
from .edges.sequences import edge_sequences, spread
from .obstacle import obstacle
from .settings import Anneal

if TYPE_CHECKING:
    pass

__all__ = ["METHODS", "Method", "anneal_model"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
RECURRENT = Reason(Cause.UNTESTED, "recurrent operators are not annealed")
ARGUMENTS = Reason(Cause.IN_FUNCTION, "its weights are arguments of a function, which are not annealed")


@phase("anneal")
def anneal_model(model: Model, settings: Anneal, progress: Progress | None = None) -> Annealed:
    """Test every linear of a model and decide which of its weights would be removed; changes nothing.

    progress: called with (done, total, node). Raises AnnealError when the method lacks what it needs for every linear,
    NullError, ModelError when a weight does not fit into memory.
    """
    seen = view(model.graph).found
    networks = _networks(seen, settings)
    done: dict[str, Found] = {}
    skipped = list(seen.skipped)
    skipped += [Skipped(way.address, way.op, RECURRENT, math.prod(way.shape)) for way in seen.recurrents]
    takers, _ = weight_takers(model.graph)
    skipped += [Skipped("::".join(one[:2]), "function", ARGUMENTS, 0) for one in sorted(takers)]
    refused: tuple[str | Remedy, ...] = ()  # what the test had against a weight, if anything
    for index, linear in enumerate(seen.linears):
        if linear.address in done:
            continue
        if progress:
            progress(index, len(seen.linears), linear.address)
        if reason := obstacle(linear):
            skipped.append(Skipped(linear.address, linear.op, reason, math.prod(linear.shape)))
            continue
        try:
            network = networks.get(linear.address)
            if network is not None:
                done.update(_network(network, seen, settings))
            else:
                done[linear.address] = _linear(linear, seen, settings)
        except MemoryError:
            where = f"{model.name}: {linear.address}"
            raise ModelError(f"{where}: not enough memory to anneal a weight of {linear.shape}") from None
        except ModelError as error:
            why = Reason(Cause.UNREADABLE, f"the weight cannot be read: {error}")
            skipped.append(Skipped(linear.address, linear.op, why, 0))
        except (AnnealError, SchemeError) as error:  # of this weight; the others are no worse for it
            why = Reason(Cause.UNTESTED, str(error))
            skipped.append(Skipped(linear.address, linear.op, why, math.prod(linear.shape)))
            refused = error.parts
    if not done and seen.linears:
        raise AnnealError(f"{model.name}: no weight can be annealed: ", *(refused or (skipped[-1].reason.text,)))
    return Annealed(tuple(done[way.address] for way in seen.linears if way.address in done), tuple(skipped))


def _networks(seen: Survey, settings: Anneal) -> dict[str, Ffn]:
    """The feed-forward networks of several channels that are tested as sequences, by the address of each linear."""
    if settings.method not in ("norm", "consistency", "sequences", "paper"):
        return {}
    found = [f for f in find_ffns(seen.linears, seen.constants) if f.channels and not any(map(obstacle, f.linears))]
    return {linear.address: network for network in found for linear in network.linears}


def _linear(linear: Linear, seen: Survey, settings: Anneal) -> Found:
    weight = linear.canonical(seen.constants)
    method = _method(linear, settings)
    if method in ("norm", "consistency", "sequences"):
        why = "it is in no feed-forward network of several channels, so its edges have no sequences"
        return untouched(linear, weight, Reason(Cause.UNTESTED, why))
    if method == "update" and linear.address not in settings.initial:
        return untouched(linear, weight, Reason(Cause.UNTESTED, "the initial checkpoint has no weight for it"))
    null = _null(linear, weight, settings, method)
    if method == "blocks":
        return _blocks(linear, weight, null, seen, settings)
    decision = _decision(linear, weight, null, settings, method)
    confirmed, evidence = _of_exposed(linear, to_host(decision.confirmed), decision.evidence, settings)
    return decided(linear, weight, confirmed, evidence, seen, settings)


def _decision(linear: Linear, weight: Array, null: Null | None, settings: Anneal, method: str) -> Decision:
    """What a test of single edges says of a weight."""
    moved = _moved(weight, settings)
    if method == "update":
        return settings.updated(linear, weight, on=moved)
    test: EdgeTest = "edges" if method == "paper" else method  # type: ignore[assignment]
    return confirm(moved, test, null=null, level=settings.level, correction=settings.correction, source=settings.axis)


def _of_exposed(linear: Linear, confirmed: Mask, evidence: Evidence, settings: Anneal) -> tuple[Mask, Evidence]:
    """What is confirmed and was exposed: a weight whose ends never were active together received no update."""
    exposed = settings.exposed(linear) if settings.exposed else None
    if exposed is None:
        return confirmed, evidence
    both = confirmed & exposed
    less = int(confirmed.sum()) - int(both.sum())
    note = f"{less:,} confirmed weights were never exposed by the calibration data and count as not confirmed"
    return both, replace(evidence, confirmed=float(both.mean()), notes=(*evidence.notes, *([note] if less else [])))


def _method(linear: Linear, settings: Anneal) -> Method:
    if settings.method != "auto":
        return settings.method
    if linear.address in settings.initial:
        return "update"
    null = settings.null(linear) if settings.null else None
    return "support" if null is not None and null.family == "uniform" and not null.estimated else "blocks"


def _null(linear: Linear, weight: Array, settings: Anneal, method: Method) -> Null | None:
    """The null of a linear; a robust estimate where nothing is known and the test needs one."""
    null = settings.null(linear) if settings.null else None
    if null is None and method in ("neyman", "edges", "paper", "support"):
        return estimate(weight)
    if null is None and method == "walk":
        return _estimated(weight)
    return null


def _estimated(weight: Array) -> Null | None:
    """A robust estimate of the null; None where there are too few entries, which the tests of equal influence bear."""
    try:
        return estimate(weight)
    except SchemeError:
        return None


def _moved(weight: Array, settings: Anneal) -> Any:
    """The weight where it is tested, in the type it is stored in: what a test tolerates as rounding depends on that."""
    if settings.device is None:
        return weight
    import torch

    native = np.array(weight, weight.dtype.newbyteorder("="), order="C")
    if native.dtype.name == "bfloat16":  # torch does not know that of numpy
        return torch.from_numpy(native.view(np.int16)).view(torch.bfloat16).to(settings.device)
    return torch.from_numpy(native).to(settings.device)


def _blocks(linear: Linear, weight: Array, null: Null | None, seen: Survey, settings: Anneal) -> Found:
    decision = anneal_blocks(weight, null, seed=settings.seed, allowed=settings.residual)
    if decision.decomposition is None:
        assert decision.evidence.certificate is not None
        why = Reason(Cause.UNCERTIFIED, decision.evidence.certificate.reason)
        return untouched(linear, weight, why, decision.evidence)
    keep = not settings.drop_residual and decision.residual.size > 0
    if keep and (reason := obstacle(linear, residual=True)):
        return untouched(linear, weight, Reason(Cause.UNWRITABLE, reason.text), decision.evidence)
    residual = tuple((int(k), int(n)) for k, n in decision.residual)
    evidence = decision.evidence
    if residual and not keep:
        largest = max(abs(float(weight[entry])) for entry in residual)
        sigma = f", up to {largest / evidence.null.sigma:.1f} sigma" if evidence.null else ""
        note = f"{len(residual)} residual weights outside the blocks are removed as well{sigma}"
        evidence = replace(evidence, notes=(*evidence.notes, note))
    return keeping(linear, weight, decision.decomposition, None, evidence, seen, residual if keep else ())


def _network(network: Ffn, seen: Survey, settings: Anneal) -> dict[str, Found]:
    """One decision on the edges between states, written back to all weights of a feed-forward network."""
    weights = {linear.address: linear.canonical(seen.constants) for linear in network.linears}
    channels = network.channels
    assert channels is not None
    gates = [network.gate] if network.gate else []
    groups = [[weights[way.address] for way in side] for side in (network.ups, network.downs, gates)]
    theta = edge_sequences(groups[0], groups[1], channels, groups[2])
    test: SequenceTest = "sequences" if settings.method == "paper" else settings.method  # type: ignore[assignment]
    nulls = _sequence_nulls(network, weights, settings, len(theta), needed=test != "consistency")
    decision = confirm_sequences(
        [_moved(part, settings) for part in theta],
        test,
        nulls=nulls,
        level=settings.level,
        correction=settings.correction,
        source=settings.axis,
    )
    edges = to_host(decision.confirmed)
    if settings.fill:
        edges = decompose(components(edges)).inside()
    up, down = spread(edges, channels)
    found, at = {}, 0
    for way in network.ups:
        found[way.address] = decided(
            way, weights[way.address], up[:, at : at + way.shape[1]], decision.evidence, seen, settings
        )
        at += way.shape[1]
    for way in gates:
        found[way.address] = decided(
            way, weights[way.address], up[:, : way.shape[1]], decision.evidence, seen, settings
        )
    at = 0
    for way in network.downs:
        found[way.address] = decided(
            way, weights[way.address], down[at : at + way.shape[0]], decision.evidence, seen, settings
        )
        at += way.shape[0]
    return found


def _sequence_nulls(
    network: Ffn, weights: Mapping[str, Array], settings: Anneal, count: int, *, needed: bool
) -> list[Null]:
    """The null of each component of a sequence: that of the matrix it is cut from; none at all where one cannot be
    estimated and the test does without."""
    d = network.shape[0]
    order = [(way, way.shape[1] // d) for way in (*network.ups, *([network.gate] if network.gate else []))]
    order += [(way, way.shape[0] // d) for way in network.downs]
    nulls = []
    for way, repeats in order:
        null = settings.null(way) if settings.null else None
        if null is None:
            null = estimate(weights[way.address]) if needed else _estimated(weights[way.address])
        if null is None:
            return []
        nulls += [null] * repeats
    assert len(nulls) == count
    if len({null.family for null in nulls}) > 1:  # only estimates differ in that: one law for all of a sequence
        nulls = [replace(null, family="normal", scale=null.sigma) for null in nulls]
    return nulls
