"""A folder of parts beside the model that it was cut from: the same outputs on the same inputs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...ir.io.load import Source
from ...ir.io.save import files_read
from ...ir.parts.share import ManifestError
from ...ir.phase import phase
from ...ir.plural import counted
from ...ir.progress import Progress
from ..compare.feeds import Observed, bench_feeds
from ..compare.own_error import excused
from ..compare.verdict import EquivalenceError, Verdict
from ..inputs.feeds.inputs_file import with_file
from ..measure.deviation import OutputReport, compare_values, worst_of
from ..ort.opened import as_file
from ..ort.session import open_session
from ..ort.trials import Trials, trials_of
from ..validation import whole_numbers
from .folder import original_digest, read_manifest
from .local import load_parts

__all__ = ["check_folder", "check_parts"]

Feed = Mapping[str, Any]


def check_parts(
    folder: str | os.PathLike[str],
    original: Source,
    *,
    trials: Trials | None = None,
    batch: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Run the parts of a folder, put together, beside the model on the same inputs, and compare every output.

    Tolerances are those of `check`. trials: how they are run; batch: sizes of the leading open dimension instead of
    those that are chosen; progress: called with (done, total, what). Raises ManifestError where the folder is none, or
    was cut from another model, and ModelError, SessionError, InputError or OptionError as `check` does.
    """
    place, manifest = Path(folder), read_manifest(Path(folder))
    with as_file(original, "original") as (path, source):
        if isinstance(original, (str, os.PathLike)) and original_digest(files_read(source)) != manifest.original:
            raise ManifestError(f"{place}: was cut from another model than {source.name}; cut it again")
        return check_folder(place, path, trials=trials, batch=batch, progress=progress)


@phase("check")
def check_folder(
    folder: Path,
    original: Path,
    *,
    trials: Trials | None = None,
    batch: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """The same, whatever the model is called that the manifest tells of."""
    trials, batch = trials_of(trials), whole_numbers("batch", batch)
    with as_file(original, "original") as (_, source):
        trials = with_file(source, trials, batch=batch)
        if batch is None:
            options: dict[str, Any] = {"provider": trials.provider, "threads": trials.threads}
            session = open_session(original, custom_ops=trials.custom_ops, **options)
            feeds = Observed(source, trials).choose(session)
            del session
        else:
            feeds = bench_feeds((original,), source, trials, batch, timed=False)
        work = _Together(folder, original, trials, feeds, progress)
        verdict = work(optimize=(True, True))
        return verdict if verdict.equal else excused(verdict, work)


@dataclass(frozen=True, slots=True)
class _Together:
    """The model and its parts on the same feeds."""

    folder: Path
    original: Path
    trials: Trials
    feeds: Sequence[Feed]
    progress: Progress | None

    def __call__(self, *, optimize: tuple[bool, bool], itself: bool = False) -> Verdict:
        started = time.perf_counter()
        trials = self.trials
        options: dict[str, Any] = {
            "provider": trials.provider,
            "threads": trials.threads,
            "custom_ops": trials.custom_ops,
            "tf32": False,
        }
        one = open_session(self.original, optimize=optimize[0], **options)
        other: Any = (
            open_session(self.original, optimize=optimize[1], **options)
            if itself
            else load_parts(self.folder, optimize=optimize[1], **options)
        )
        reports: dict[str, OutputReport] = {}
        for trial, feed in enumerate(self.feeds):
            if self.progress:
                self.progress(trial, len(self.feeds), f"trial {trial + 1} of {len(self.feeds)}")
            before, after = one.run(feed), other.run(feed)
            for name, value in before.items():
                for report in compare_values(name, value, after[name], trials.rtol, trials.atol):
                    reason = f"{report.reason} (trial {trial + 1} of {len(self.feeds)})" if report.reason else ""
                    own = replace(report, reason=reason)
                    known = reports.get(own.name)
                    reports[own.name] = own if known is None else worst_of(known, own)
        return _verdict(tuple(reports.values()), len(self.feeds), one.provider, time.perf_counter() - started)


def _verdict(reports: tuple[OutputReport, ...], trials: int, provider: str, seconds: float) -> Verdict:
    if not any(report.finite for report in reports):
        raise EquivalenceError("nothing could be compared: every output is empty, NaN or infinite; give other inputs")
    problems = [report.reason for report in reports if not report.equal]
    identical = all(report.identical for report in reports)
    worst = max(reports, key=lambda report: report.max_rel)
    where = f"over {counted(trials, 'trial')}"
    near = f"largest error {worst.max_rel:.2g} of the largest value of output {worst.name!r} {where}"
    return Verdict(
        equal=not problems,
        identical=identical,
        outputs=reports,
        probes=(),
        trials=trials,
        provider=provider,
        seconds=seconds,
        reason="; ".join(problems) or (f"bit-identical {where}" if identical else near),
    )
