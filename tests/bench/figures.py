"""Measured figures beside their targets: how the benches print and keep them."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scission.runtime.ort.environment import machine

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured number beside its target; `met` is None for figures that are only reported."""

    row: str
    what: str
    value: float
    target: str
    met: bool | None


def at_least(row: str, what: str, value: float, target: float) -> Figure:
    return Figure(row, what, round(value, 3), f">= {target:g}", value >= target)


def at_most(row: str, what: str, value: float, target: float) -> Figure:
    return Figure(row, what, round(value, 3), f"<= {target:g}", value <= target)


def reported(row: str, what: str, value: float) -> Figure:
    return Figure(row, what, round(value, 3), "reported", None)


def told(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, each printed as it comes."""
    seen = []
    for figure in figures:
        seen.append(figure)
        print(f"{figure.row}: {figure.what}: {figure.value:g} ({figure.target})", flush=True)
    return seen


def show(figures: Iterable[Figure]) -> None:
    table = Table("model", "figure", "measured", "target", "", box=None)
    for figure in figures:
        verdict = "" if figure.met is None else "met" if figure.met else "MISSED"
        table.add_row(figure.row, figure.what, f"{figure.value:g}", figure.target, verdict)
    Console().print(table)


def missed(figures: Iterable[Figure]) -> bool:
    return any(figure.met is False for figure in figures)


def result_file(bench: str, provider: str, suffix: str) -> Path:
    """Where a bench keeps what it measured today."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / f"{bench}-{provider}-{today()}{suffix}"


def save(bench: str, figures: Iterable[Figure], provider: str) -> None:
    """Write the figures with the date, the machine and the versions."""
    path = result_file(bench, provider, ".json")
    content = {"date": today(), "machine": machine(provider), "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")


def beside_others(bench: str, figures: Iterable[Figure], provider: str) -> list[Figure]:
    """The figures of some rows in the place of those kept last, with those of the other rows as they were kept, where
    they were measured on the same machine with the same versions."""
    last = max(RESULTS.glob(f"{bench}-{provider}-????-??-??.json"), default=None)
    content = json.loads(last.read_text()) if last is not None else {}
    same = content.get("machine") == json.loads(json.dumps(machine(provider)))
    kept = _by_row(Figure(**one) for one in content["figures"]) if same else {}
    return [figure for own in (kept | _by_row(figures)).values() for figure in own]


def _by_row(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    rows: dict[str, list[Figure]] = {}
    for figure in figures:
        rows.setdefault(figure.row, []).append(figure)
    return rows


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def bench(name: str, doc: str | None, rows: Mapping[str, Callable[[], Iterable[Figure]]]) -> int:
    """The command line of a bench whose rows need no settings, see `bench_with`."""
    return bench_with(name, doc, tuple(rows), lambda only: (figure for row in only for figure in rows[row]()))


def bench_with(
    name: str,
    doc: str | None,
    rows: Sequence[str],
    figures: Callable[..., Iterable[Figure]],
    **options: Mapping[str, Any],
) -> int:
    """The command line of a bench: measure, print, and keep what was measured with --save.

    figures: from rows, and what was given for each option by its name, to what is measured; options: as `argparse` has
    them. With --only, and with options, the figures of other rows stay as they were kept. The exit status is 1 when a
    target is missed.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*rows], help="rows; all of them else")
    for option, settings in options.items():
        parser.add_argument(f"--{option}", **settings)
    parser.add_argument("--save", action="store_true", help="keep the figures in tests/bench/results")
    given = parser.parse_args()
    found = told(figures(given.only or rows, **{option: getattr(given, option) for option in options}))
    show(found)
    if given.save:
        save(name, beside_others(name, found, "cpu") if given.only or options else found, "cpu")
    return int(missed(found))
