"""Calibration: what really enters and leaves the linears of a model when ONNX Runtime runs it on given inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ...ir.graph.linear import Linear
from ...ir.graph.skipped import Skipped
from ...ir.io.load import Model
from ...ir.io.tensors import read
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.reason import Cause, Reason
from ...passes.anneal.activity.activity import Activity
from ...passes.anneal.activity.recorder import InputRecorder, Recorder
from ..compare.probe_runs import expose
from ..inputs.rows import CalibrationError, rows_in, rows_out, window
from ..ort.library import Choice
from ..ort.opened import written
from ..ort.session import ModelSource, Session, open_session

__all__ = ["CalibrationError", "activations", "behind", "observable", "observe"]

Array = npt.NDArray[Any]
Feeds = Iterable[Mapping[str, Array]]

AT_ONCE = 32  # values fetched by one run: more would hold more activations at a time
GATES = frozenset({"Relu", "ThresholdedRelu", "Clip"})  # where they return 0, no error passes back through them


def observable(model: Model, linears: Iterable[Linear]) -> tuple[tuple[Linear, ...], tuple[Skipped, ...]]:
    """The linears whose activation can be read by running the model, and the others with the reason."""
    kept: list[Linear] = []
    skipped: list[Skipped] = []
    names = _names(model)
    inner = {node for graph in model.graph.graph.subgraphs() for node in graph} - set(model.graph.graph)
    for linear in linears:
        if why := _obstacle(linear, names, inner):
            skipped.append(Skipped(linear.address, linear.op, why, linear.shape[0] * linear.shape[1]))
        else:
            kept.append(linear)
    return tuple(kept), tuple(skipped)


def _names(model: Model) -> frozenset[str]:
    """The names of all values of the main graph."""
    graph = model.graph.graph
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    return frozenset(value.name for value in values if value.name)


def _obstacle(linear: Linear, names: frozenset[str], inner: set[ir.Node]) -> Reason | None:
    if linear.in_function:
        return Reason(Cause.IN_FUNCTION, "it stands in a function, whose values cannot be read")
    if linear.node in inner:
        return Reason(Cause.OUT_OF_REACH, "it stands in a subgraph, whose values cannot be read")
    if linear.slices:
        return Reason(Cause.UNTESTED, "its weight is several matrices, so that its activation is no row of inputs")
    if not linear.activation.name:
        return Reason(Cause.OUT_OF_REACH, "its activation has no name")
    if linear.activation.name not in names or linear.node.outputs[0].name not in names:
        return Reason(Cause.OUT_OF_REACH, "its values are not in the main graph of the model")
    return None


def behind(linear: Linear) -> ir.Value:
    """What a linear hands on: its output, or that of the Relu, ThresholdedRelu or Clip which alone reads it.

    Where such a function returns zero it passes no error signal back, so its zeros are what `exposure` looks for.
    """
    value = linear.output
    readers = [node for node, _ in value.uses()]
    if value.is_graph_output() or len(readers) != 1:
        return value
    node = readers[0]
    alone = node.op_type in GATES and node.domain in ("", "ai.onnx") and node.inputs[0] is value
    return node.outputs[0] if alone and node.graph is linear.node.graph and node.outputs[0].name else value


def activations(
    model: Model,
    linears: Iterable[Linear],
    feeds: Feeds,
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    at_once: int = AT_ONCE,
    outputs: bool = True,
    custom_ops: Sequence[Path] = (),
) -> Iterator[tuple[Linear, Array, Array | None]]:
    """For each feed and each observable linear: (linear, x (M, K), y (M, N)), features last, in the model's types.

    x is what enters it, one row per product; y what it hands on (`behind`), None when that has no name or `outputs` is
    False. The model runs once per feed and per `at_once` values, which are all that is held at a time.
    A model without a path is written to a temporary file; one with a path runs as the file is, without later changes.
    Raises SessionError when ONNX Runtime refuses the model or a feed, CalibrationError when a shape does not fit.
    """
    if at_once < 1:
        raise CalibrationError(f"{model.name}: at least one value has to be fetched at once, not {at_once}")
    kept, _ = observable(model, linears)
    if not kept:
        return
    known = _names(model)
    exits = {linear: _exit(linear, known) if outputs else None for linear in kept}
    groups = _groups(kept, exits, at_once)
    defaults = {value.name: value for value in model.graph.graph.inputs if value.const_value is not None}
    own = {value.name for value in (*model.graph.graph.inputs, *model.graph.graph.outputs)}
    names = dict.fromkeys(name for _, wanted in groups for name in wanted)
    with _file(model) as path:
        exposed = expose(path, [name for name in names if name not in own])
        source = ModelSource(exposed, model.name, path.absolute().parent)
        session = open_session(source, provider=provider, threads=threads, tf32=False, custom_ops=custom_ops)
        for feed in feeds:
            given = {name: read(value.const_value) for name, value in defaults.items() if name in names} | dict(feed)
            for group, wanted in groups:
                values = _fetch(session, feed, given, wanted)
                for linear in group:
                    x = rows_in(linear, values[linear.activation.name or ""], model.name)
                    y = exits[linear]
                    yield linear, x, None if y is None else rows_out(linear, values[y], len(x), model.name)


def observe(
    model: Model,
    linears: Iterable[Linear],
    feeds: Feeds,
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    at_once: int = AT_ONCE,
    outputs: bool = True,
    custom_ops: Sequence[Path] = (),
    **options: Any,
) -> dict[str, Activity]:
    """The activity of each observable linear over all feeds, by address; nothing else is kept of the activations.

    Linears that read the same value share what is recorded of it. options: of `InputRecorder`. Every row counts,
    those of padding too. Raises CalibrationError when there was no feed, ActivityError when all samples of a linear are
    NaN or infinite, and what `activations` raises.
    """
    kept, _ = observable(model, linears)
    leaders: dict[Any, Linear] = {}
    for linear in kept:
        leaders.setdefault(_entrance(linear), linear)
    shared = {key: InputRecorder(leader.shape[0], **options) for key, leader in leaders.items()}
    recorders = {linear: Recorder(linear.shape, shared[_entrance(linear)]) for linear in kept}
    batches = 0
    for linear, x, y in activations(
        model,
        kept,
        feeds,
        provider=provider,
        threads=threads,
        at_once=at_once,
        outputs=outputs,
        custom_ops=custom_ops,
    ):
        batches += 1
        if leaders[_entrance(linear)] is linear:
            shared[_entrance(linear)].update(x)
        recorders[linear].update(x, y)
    if kept and not batches:
        raise CalibrationError(f"{model.name}: there are no inputs to calibrate on; give at least one feed")
    return {linear.address: recorder.activity() for linear, recorder in recorders.items()}


def _entrance(linear: Linear) -> tuple[Any, ...]:
    """Linears with the same entrance read the same rows."""
    layout = linear.layout
    steps = tuple(window(linear)) if layout.kind == "conv" else ()
    return linear.activation, layout.kind, layout.enter, linear.shape[0], steps


def _exit(linear: Linear, names: frozenset[str]) -> str | None:
    """The name of what a linear hands on, if the model has a value of that name."""
    return next((v.name for v in (behind(linear), linear.output) if v.name in names), None)


def _groups(
    linears: Sequence[Linear], exits: Mapping[Linear, str | None], at_once: int
) -> list[tuple[list[Linear], list[str]]]:
    """Runs of linears with the names of the values that they need, at most `at_once` of them or those of one linear."""
    groups: list[tuple[list[Linear], list[str]]] = []
    for linear in linears:
        needed = [name for name in dict.fromkeys((linear.activation.name, exits[linear])) if name]
        new = [name for name in needed if not groups or name not in groups[-1][1]]
        if groups and len(groups[-1][1]) + len(new) <= at_once:
            groups[-1][0].append(linear)
            groups[-1][1].extend(new)
        else:
            groups.append(([linear], needed))
    return groups


def _fetch(
    session: Session, feed: Mapping[str, Array], given: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """The wanted values: those that were given, and the others from one run."""
    names = [name for name in wanted if name not in given]
    return {name: given[name] for name in wanted if name in given} | (session.run(feed, names) if names else {})


@contextmanager
def _file(model: Model) -> Iterator[Path]:
    """A model as a file that ONNX Runtime can open."""
    if model.path is not None:
        yield model.path
        return
    with written(model, model.graph.clone()) as path:
        yield path
