"""Two models on ONNX's reference implementation, for types and operators that ONNX Runtime has no kernel for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...ir.io.external import embedded
from ...ir.supervision.board import Act
from ...ir.supervision.telling import running
from ..measure.deviation import OutputReport, compare_values, worst_of
from .verdict import EquivalenceError, Verdict

__all__ = ["REFERENCE", "UnprovableError", "check_on_reference"]

REFERENCE = "onnx.reference"  # what a verdict calls the provider


class UnprovableError(EquivalenceError):
    """Models that neither ONNX Runtime nor the reference implementation can run."""


def check_on_reference(
    original: Path,
    changed: Path,
    *,
    feeds: Sequence[Mapping[str, Any]],
    tolerance: tuple[float | None, float | None, float],
    why: str,
) -> Verdict:
    """Run both models on `onnx.reference` and compare every output; products are not held against bounds.

    tolerance: rtol, atol and least of `compare_values`; why: what ONNX Runtime said. Raises UnprovableError where the
    reference cannot run one of them either.
    """
    start = time.perf_counter()
    if not feeds:
        raise EquivalenceError("there is nothing to compare on: no inputs were given")
    first, second = ((path, _evaluator(path, why)) for path in (original, changed))
    before = first[1]
    reports: dict[str, OutputReport] = {}
    for trial, feed in enumerate(feeds, 1):
        pairs = zip(before.output_names, *(_run(*one, feed, why) for one in (first, second)), strict=True)
        for name, one, other in pairs:
            for report in compare_values(name, one, other, *tolerance):
                reason = f"{report.reason} (trial {trial} of {len(feeds)})" if report.reason else ""
                report = dataclasses.replace(report, reason=reason)
                known = reports.get(report.name)
                reports[report.name] = report if known is None else worst_of(known, report)
    problems = [report.reason for report in reports.values() if not report.equal]
    sizes = [dim for kind in before.input_types for dim in kind.tensor_type.shape.dim]
    hollow = any(dim.HasField("dim_value") and not dim.dim_value for dim in sizes)
    empty = not any(report.elements for report in reports.values())
    if not any(report.finite for report in reports.values()) and not (empty and hollow):
        raise EquivalenceError("nothing could be compared: every output is empty, NaN or infinite")
    worst = max(report.max_rel for report in reports.values())
    proved = (
        "every output is empty" if empty else f"largest error {worst:.2g} of the largest value over {len(feeds)} trials"
    )
    return Verdict(
        equal=not problems,
        identical=all(report.identical for report in reports.values()),
        outputs=tuple(reports.values()),
        probes=(),
        trials=len(feeds),
        provider=REFERENCE,
        seconds=time.perf_counter() - start,
        reason="; ".join(problems) or f"{proved}, on {REFERENCE}: {why}",
    )


def _evaluator(path: Path, why: str) -> Any:
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):
        """onnx's own takes at most 64 features, or one column of them."""

        def _run(self, data: Any, indices: Any, axis: int = 0) -> tuple[Any]:
            return (np.take_along_axis(data, indices, axis),)

    try:
        return ReferenceEvaluator(embedded(path), new_ops=[GatherElements])
    except Exception as error:  # it raises whatever an operator's code raises
        raise _neither(why, error) from error


def _run(path: Path, evaluator: Any, feed: Mapping[str, Any], why: str) -> list[Any]:
    try:
        with running(REFERENCE, Act.RUN, str(path)), np.errstate(all="ignore"):
            outputs: list[Any] = evaluator.run(None, dict(feed))
    except Exception as error:
        raise _neither(why, error) from error
    return outputs


def _neither(why: str, error: Exception) -> UnprovableError:
    said = (str(error) or type(error).__name__).splitlines()[0]
    return UnprovableError(f"{why}; {REFERENCE} cannot run it either ({said}), so nothing can be compared")
