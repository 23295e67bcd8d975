"""One unit of a plan by itself: its excerpt and rewritten forms of it, checked against each other and raced."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt

from ..ir.errors import ScissionError
from ..ir.model import Model
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.store import save
from .compare import Trials, bench_sizes, make_feeds
from .deviation import compare_values
from .race import Race, race
from .session import SessionError, open_session

__all__ = ["DENSE", "SECONDS", "Raced", "Racer", "race_excerpt", "why_not"]

DENSE = "dense"
SECONDS = 0.3  # a race, at each row count
DROP = 1.5  # a form whose median is that many times the best after a few rounds is not run again
HOPELESS = 0.9  # nor at further row counts one that is so slow beside dense: it cannot win any more

Racer: TypeAlias = Callable[..., Race]
Feed: TypeAlias = "Mapping[str, npt.NDArray[Any]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """One form of an excerpt.

    speeds: median of how many times faster than dense it was in the same round, for each row count, None where it was
    no longer run; problem: why it was not run at all, empty where all is well.
    """

    speeds: tuple[float | None, ...] = ()
    problem: str = ""

    @property
    def worst(self) -> float:
        """Its lowest speed, 0 where one is missing."""
        return 0.0 if self.problem or not self.speeds else min(speed or 0.0 for speed in self.speeds)

    @property
    def lowest(self) -> tuple[float, int] | None:
        """Its lowest speed among those that were measured, and at which row count; None where none was."""
        known = [(speed, place) for place, speed in enumerate(self.speeds) if speed is not None]
        return min(known, default=None)


def race_excerpt(
    home: Model,
    dense: ir.Model,
    forms: Mapping[str, ir.Model],
    *,
    trials: Trials,
    rows: Sequence[int],
    racer: Racer = race,
    seconds: float = SECONDS,
) -> tuple[tuple[int | None, ...], dict[str, Raced]]:
    """Race rewritten forms of an excerpt with the dense one, on random inputs of each of these row counts.

    home: the model whose file holds the weights; trials: provider, threads, sizes of symbols, seed and tolerance.
    Every form is checked first: one that computes something else, or that ONNX Runtime refuses, is not run. Returns the
    row counts, None where they are fixed, and what came of each form. Raises SessionError, InputError, ModelError or
    BenchError when the excerpt itself cannot be run.
    """
    feeds = _draw(dense, trials, rows)
    counts = tuple(rows) if len(feeds) == len(rows) else (None,) * len(feeds)
    with _files(home, {DENSE: dense, **forms}) as paths:
        problems = _problems(paths, feeds, trials)
        running = {name: path for name, path in paths.items() if not problems.get(name)}
        speeds: dict[str, list[float | None]] = {name: [] for name in forms}
        for feed in feeds if len(running) > 1 else ():
            found = racer(
                running,
                feed,
                provider=trials.provider,
                threads=trials.threads,
                seconds=seconds,
                custom_ops=trials.custom_ops,
                cuda_graph=trials.cuda_graph,
                drop=DROP,
            )
            for name in forms:
                speeds[name].append(found.paired[name].median if name in running else None)
            slow = [name for name in forms if name in running and found.paired[name].median < HOPELESS]
            running = {name: path for name, path in running.items() if name not in slow}
            if len(running) == 1:
                break
    missing = len(feeds)
    return counts, {
        name: Raced(problem=problems[name])
        if problems.get(name)
        else Raced(speeds=(*speeds[name], *[None] * (missing - len(speeds[name]))))
        for name in forms
    }


def _draw(dense: ir.Model, trials: Trials, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Random inputs of the excerpt for each row count; sizes that the user gave hold where it has such a symbol."""
    symbols = {
        dim.value
        for value in dense.graph.inputs
        for dim in (value.shape if value.shape is not None else ())
        if not isinstance(dim, int)
    }
    sizes = {name: size for name, size in (trials.sizes or {}).items() if name in symbols}
    own = replace(trials, inputs=None, sizes=sizes)
    model = Model(graph=dense, name=dense.graph.name or "excerpt")
    return make_feeds(model, own, lambda spec: bench_sizes(spec, own, rows))


@contextmanager
def _files(home: Model, models: Mapping[str, ir.Model]) -> Iterator[dict[str, Path]]:
    """Models as files for as long as the context lasts; weights are read from where they lie."""
    source = Model(graph=home.graph, name=home.name, path=home.path)
    with tempfile.TemporaryDirectory(prefix="scission.") as folder:
        paths = {name: Path(folder) / f"{place}.onnx" for place, name in enumerate(models)}
        for name, model in models.items():
            save(source, model, paths[name])
        yield paths


def _problems(paths: Mapping[str, Path], feeds: Sequence[Feed], trials: Trials) -> dict[str, str]:
    """What is wrong with each form: how its outputs differ from the dense ones, or what refuses it."""
    options: dict[str, Any] = {
        "provider": trials.provider,
        "threads": trials.threads,
        "tf32": False,  # as in `equivalence.check`
        "custom_ops": trials.custom_ops,
    }
    session = open_session(paths[DENSE], name=DENSE, **options)
    expected = [session.run(feed) for feed in feeds]
    found = {}
    for name, path in paths.items():
        if name == DENSE:
            continue
        try:
            other = open_session(path, name=name, **options)
            reports = [
                report
                for feed, before in zip(feeds, expected, strict=True)
                for after in [other.run(feed)]
                for output in before
                for report in compare_values(output, before[output], after[output], trials.rtol, trials.atol)
            ]
            found[name] = next((report.reason for report in reports if not report.equal), "")
        except SessionError as error:
            found[name] = str(error)
    return found


def why_not(error: ScissionError) -> str:
    """Why a unit cannot be measured, in one line."""
    return f"cannot be measured by itself: {' '.join(str(error).split())}"
