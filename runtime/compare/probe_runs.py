"""Probes of two models: rewritten products, each on its own activation, against their a-priori error bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...ir.io.external import left_in_place
from ..ort.library import SessionError
from ..ort.messages import lacks_value
from ..ort.session import Session
from .rounding import limits
from .verdict import EquivalenceError, Probe, ProbeReport

__all__ = ["expose", "probe_report", "run_probes"]

Array = npt.NDArray[Any]

WIDE_BYTES = 64 << 20  # of activations that are held in float64 at a time
WIDE_COPIES = 4  # of them, with the sizes beside the values
ROWS = 64  # at the least, so that the weight is not converted again and again
RUN_AT_ONCE = 32  # probed values fetched by one run: more would hold more activations at a time


def expose(model: Path | bytes, names: Sequence[str]) -> bytes:
    """The model, as bytes, with these top-level values as outputs after its own.

    External data stays where it is, and so do large weights of a path: as if they were external data in its folder.
    Nothing is parsed: in protobuf's wire format a message followed by another is the two merged, lists appended
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins). Names that do not exist are left to ONNX Runtime.
    """
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    tail: bytes = onnx.ModelProto(graph=onnx.GraphProto(output=outputs)).SerializeToString()
    return (left_in_place(model) if isinstance(model, Path) else model) + tail


def run_probes(
    load: Callable[[Sequence[str]], Session],
    own: frozenset[str],
    trials: Sequence[Mapping[str, Array]],
    probes: Sequence[Probe],
) -> list[tuple[float, int, int]]:
    """For each probe its worst |y - exact| / bound in this model, how many elements were checked, of how many."""
    if not probes:
        return []
    fed = frozenset(name for feed in trials for name in feed)
    names = dict.fromkeys(name for probe in probes for name in (probe.input, probe.output))
    try:
        session = load([name for name in names if name not in own | fed])
    except SessionError as error:
        if not lacks_value(error):
            raise
        raise EquivalenceError(
            *error.parts, "; a probed value must be in the top-level graph of both models"
        ) from error
    worst, checked, elements = [0.0] * len(probes), [0] * len(probes), [0] * len(probes)
    for feed in trials:
        for first in range(0, len(probes), RUN_AT_ONCE // 2):
            group = range(first, min(first + RUN_AT_ONCE // 2, len(probes)))
            wanted = dict.fromkeys(n for i in group for n in (probes[i].input, probes[i].output) if n not in fed)
            values = dict(feed) | (session.run(feed, list(wanted)) if wanted else {})
            for i in group:
                ratio, count = _ratio(session.name, probes[i], values)
                worst[i], checked[i] = max(worst[i], ratio), checked[i] + count
                elements[i] += values[probes[i].output].size
    return list(zip(worst, checked, elements, strict=True))


def _ratio(model: str, probe: Probe, values: Mapping[str, Array]) -> tuple[float, int]:
    x, y = values[probe.input], values[probe.output]
    if not probe.by_rows or x.ndim < 2 or x.shape[:-1] != y.shape[:-1] or not x.size or not y.size:
        return _ratio_of(model, probe, x, y)
    rows_x, rows_y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    step = max(ROWS, WIDE_BYTES // (WIDE_COPIES * np.dtype(np.float64).itemsize * (x.shape[-1] + y.shape[-1])))
    parts = [
        _ratio_of(model, probe, rows_x[start : start + step], rows_y[start : start + step])
        for start in range(0, len(rows_x), step)
    ]
    return max(ratio for ratio, _ in parts), sum(count for _, count in parts)


def _ratio_of(model: str, probe: Probe, x: Array, y: Array) -> tuple[float, int]:
    narrow = probe.narrow
    exact, bound = probe.reference(x) if narrow is None else probe.reference(x, narrow)
    if exact.shape != y.shape or bound.shape != y.shape:
        raise EquivalenceError(
            f"{model}: {probe.node}: {probe.output!r} has shape {y.shape}, its reference {exact.shape}; "
            f"the probe is for another node"
        )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # Outside the range of the type, and after a NaN or an Inf, the analysis of rounding does not hold.
        largest = limits(y.dtype if narrow is None else narrow)[2]
        valid = np.isfinite(exact) & np.isfinite(bound) & (np.abs(exact) + bound <= largest)
        error = np.abs(y.astype(np.float64) - exact)
        ratio = np.where(error == 0, 0.0, error / bound)[valid]
    return float(np.where(np.isnan(ratio), np.inf, ratio).max(initial=0.0)), int(valid.sum())


def probe_report(
    probe: Probe, original: tuple[float, int, int], changed: tuple[float, int, int], hollow: bool
) -> ProbeReport:
    """How near a product came to its bound in the two models, from what `run_probes` found in each.

    hollow: whether a product without any element is as it should be.
    """
    checked = original[1] + changed[1]
    reason = ""
    if changed[0] > 1:
        reason = f"{probe.node}: {probe.output!r} is {changed[0]:.3g} times its error bound away from the exact product"
    elif original[0] > 1:
        reason = (
            f"{probe.node}: {probe.output!r} of the original itself is {original[0]:.3g} times the error bound away; "
            f"the probe's reference is for another weight"
        )
    elif (not original[1] or not changed[1]) and not (hollow and not original[2] and not changed[2]):
        reason = f"{probe.node}: not one finite element of {probe.output!r} to check; give real inputs"
    return ProbeReport(
        node=probe.node,
        within=not reason,
        original=original[0],
        changed=changed[0],
        checked=checked,
        reason=reason,
    )
