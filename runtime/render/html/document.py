"""A report as a value: the model, its plan, what was compared and measured, and the page of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ....ir.brief import brief
from ....ir.findings.difference import Difference, Totals
from ....ir.findings.inspection import Inspected
from ....ir.findings.recording import RecordingObstacle, told_of_recording
from ....ir.plan.plan import Plan, told
from ....ir.plural import counted
from ...measure.comparison import Speed
from ..words import speeds, why_nothing
from .linear_section import Portrait
from .products import ProductRow, WrittenWeights

if TYPE_CHECKING:
    from ...compare.verdict import Verdict
    from ...measure.bench import Bench

__all__ = ["SHORT", "About", "FileFact", "Report"]

SHORT = 12  # digits of a SHA-256 that a sentence shows


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """A file that the report is about: what it is to it, its size, and the sha256 of its bytes."""

    role: str
    name: str
    bytes_: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the original model is, as its file says; values as 'name: type[shape]'."""

    name: str
    producer: str
    ir_version: int
    opsets: tuple[tuple[str, int], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """Everything that a page tells of a model.

    changed: name of the rewritten model, '' where there is none and the plan says what would be done; carried_out: the
    SHA-256 of the plan that it says it was made by, '' where it says none;
    verdict, benches, difference: of the two models, None and nothing where they were not compared; machine: that the
    report was made on; made: when, UTC; command: the line that makes it again; recording: what keeps the model that the
    plan is about from being recorded as a CUDA graph, looked for where it is planned for CUDA; untimed: why there is no
    bench though one was wanted, '' where there is one or none was; products: weights that are written as such; written:
    what all of these come to.
    """

    about: About
    changed: str
    carried_out: str
    found: Inspected
    portraits: tuple[Portrait, ...]
    verdict: Verdict | None
    benches: tuple[Bench, ...]
    difference: Difference | None
    files: tuple[FileFact, ...]
    machine: Mapping[str, Any]
    version: str
    made: str
    command: str
    untimed: str = ""
    recording: tuple[RecordingObstacle, ...] = ()
    products: tuple[ProductRow, ...] = ()
    written: WrittenWeights = WrittenWeights()

    __repr__ = brief

    @property
    def plan(self) -> Plan:
        """The plan that is told of."""
        return self.found.plan

    @property
    def lossy(self) -> bool:
        """Whether weights are removed, so that the models are not the same function and are not meant to be."""
        return bool(self.plan.annealing)

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the rewritten model: everything but a failed check of an exact rewrite."""
        return self.lossy or self.verdict is None or not self.verdict.different

    @property
    def strange(self) -> bool:
        """Whether the rewritten model was made by another plan than the one that is told of."""
        same = self.plan.sha256 if self.plan.changes else ""
        return bool(self.changed) and self.carried_out != same

    @property
    def note(self) -> str:
        """What must be known to read the page, '' where that is nothing."""
        if not self.strange:
            return ""
        by = f"another plan (SHA-256 {self.carried_out[:SHORT]})" if self.carried_out else "nothing that it names"
        return (
            f"The plan told of comes to this: {self.plan.done}; and {self.changed} was made "
            f"by {by}: give the plan that was carried out, or the options that it was made with."
        )

    @property
    def gains(self) -> bool:
        """Whether something is split, and as far as it was measured is not slower at every size."""
        faster = not self.benches or any(bench.speed is not Speed.SLOWER for bench in self.benches)
        return self.plan.changes and self.ok and faster

    @property
    def mac_share(self) -> float:
        """Multiply-adds of all linears that the plan leaves, over those of the dense ones, 0 to 1; of weights that are
        written as products those of all factors."""
        rows = [row for row in self.found.rows if row.node not in self.written.operators]
        left = sum(row.parameters * row.left for row in rows) + self.written.macs
        return left / max(sum(row.parameters for row in rows) + self.written.dense, 1)

    @property
    def byte_share(self) -> float:
        """The same of the bytes of their weights, indices included."""
        steps = [step for step in self.plan.steps if step.node not in self.written.operators]
        left = sum(step.parameters * (1 if step.lowering == "dense" else step.byte_share) for step in steps)
        return (left + self.written.entries) / max(sum(step.parameters for step in steps) + self.written.dense, 1)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        return ", ".join(_clauses(self)) + "."

    def html(self) -> str:
        """The page: one file that needs nothing else."""
        from .page import page

        return page(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without pictures."""
        return {
            "sentence": self.sentence,
            "ok": self.ok,
            "mac_share": self.mac_share,
            "byte_share": self.byte_share,
            "files": [asdict(file) for file in self.files],
            **self.found.to_dict(),
            "check": self.verdict.to_dict() if self.verdict else None,
            "bench": [bench.to_dict() for bench in self.benches],
            "untimed": self.untimed,
            "recording": [one.to_dict() for one in self.recording],
            "products": [one.to_dict() for one in self.products],
            "difference": self.difference.to_dict() if self.difference else None,
            "machine": dict(self.machine),
            "scission": self.version,
            "made": self.made,
            "command": self.command,
        }


def _clauses(report: Report) -> Iterator[str]:
    steps, rewrites = report.plan.steps, report.plan.rewrites
    if report.strange:
        yield f"{report.changed} was made by another plan than that of this page"
    elif not report.plan.changes:
        yield _capital(why_nothing(report.plan))
    else:
        yield from told(report.plan.preparations)
    if rewrites and not report.strange:
        does = "is" if len(rewrites) == 1 else "are"
        done = f"{does} split" if report.changed else "would be split"
        yield f"{len(rewrites)} of {counted(len(steps), 'operator')} {done}"
    if (rewrites or report.written.dense) and not report.strange:
        yield f"which leaves {report.mac_share:.1%} of the multiply-adds and {report.byte_share:.1%} of the bytes"
    if report.lossy:
        yield "weights are removed before, which is lossy"
    if report.verdict is not None:
        yield _judged(report.verdict, report.lossy)
    if report.benches:
        yield speeds(report.benches)
    if report.untimed:
        yield report.untimed
    if recording := told_of_recording(report.recording):
        yield recording


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _judged(verdict: Verdict, lossy: bool) -> str:
    if verdict.equal:
        return "bit-identical outputs" if verdict.identical else "outputs equal within their tolerance"
    if not verdict.shown:
        return f"no difference found, but {verdict.reason}"
    return "outputs differ from those of the original" + ("" if lossy else ", which they must not")
