"""Everything that needs a GPU, in order of importance, within some minutes: `python tests/bench/gpu.py [--minutes N]`.

Each part runs in a process of its own that is ended when its time is over; every figure is appended to the file of rows
as soon as it is measured (`--rows`, by default `.bench/gpu.jsonl`), and a part that ended is not run again by the next
call with the same file, so that a trip that was cut short goes on where it stopped. `--dry` runs all parts at tiny
sizes on whatever is there, a CPU too, to show that they run; `--only PART ...` picks some; `--save` keeps the figures
in `tests/bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures import Figure, missed, save, show, told

ORDER = (
    "networks",
    "bias",
    "closure",
    "dense",
    "stream",
    "kinds",
    "transformers",
    "forests",
    "ensembles",
    "tiles",
    "tests",
)
MOST = 4.0  # minutes of a part, so that one that hangs leaves time to the others
LEAST = 5.0  # seconds with which it is worth starting one
ROWS = Path(".bench") / "gpu.jsonl"


def lines(rows: Path) -> list[dict[str, Any]]:
    """What a file of rows holds; a last line that was cut off is left out."""
    found = []
    for line in rows.read_text().splitlines() if rows.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def add(rows: Path, content: dict[str, Any]) -> None:
    """Append one line, on disk when this returns."""
    rows.parent.mkdir(parents=True, exist_ok=True)
    with rows.open("a+b") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        begun = size and file.read(1) != b"\n"  # a line that was cut off
        file.write(b"\n" * bool(begun) + json.dumps(content).encode() + b"\n")


def measured(rows: Path, dry: bool) -> list[Figure]:
    """The figures in a file of rows, of each part those of its last run."""
    begun: dict[str, list[Figure]] = {}
    for line in lines(rows):
        if line["dry"] != dry:
            continue
        if line["kind"] == "begun":
            begun[line["part"]] = []
        elif line["kind"] == "figure":
            begun.setdefault(line["part"], []).append(Figure(**line["figure"]))
    return [figure for figures in begun.values() for figure in figures]


def left(rows: Path, parts: Sequence[str], dry: bool) -> list[str]:
    """The parts that have not ended yet."""
    ended = {line["part"] for line in lines(rows) if line["kind"] == "ended" and line["dry"] == dry}
    return [part for part in parts if part not in ended]


def run(part: str, rows: Path, dry: bool) -> None:
    """Run one part here, writing each figure as it comes."""
    from gpu_rows import PARTS, Scale

    for figure in PARTS[part](Scale(dry)):
        told([figure])
        add(rows, {"kind": "figure", "part": part, "dry": dry, "figure": asdict(figure)})


def apart(part: str, rows: Path, dry: bool, seconds: float) -> str:
    """Run one part in a process of its own: 'ended', 'failed' or 'out of time'."""
    command = [sys.executable, __file__, "--part", part, "--rows", str(rows), *["--dry"] * dry]
    try:
        done = subprocess.run(command, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "out of time"
    return "failed" if done.returncode else "ended"


def trip(parts: Sequence[str], rows: Path, dry: bool, minutes: float) -> Iterator[tuple[str, str]]:
    """(part, how it went) of what is left, as far as time reaches."""
    stop = time.monotonic() + 60 * minutes
    for part in left(rows, parts, dry):
        seconds = min(60 * MOST, stop - time.monotonic())
        if seconds < LEAST:
            yield part, "not begun"
            continue
        start = time.monotonic()
        add(rows, {"kind": "begun", "part": part, "dry": dry})
        how = apart(part, rows, dry, seconds)
        add(rows, {"kind": how, "part": part, "dry": dry, "seconds": round(time.monotonic() - start, 1)})
        yield part, how


def main() -> int:
    """Run what is left and print all that is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=14.0)
    parser.add_argument("--dry", action="store_true", help="tiny sizes, on the CPU where there is no device")
    parser.add_argument("--only", nargs="*", choices=ORDER, default=ORDER)
    parser.add_argument("--rows", type=Path, default=ROWS, help="the file that rows are appended to")
    parser.add_argument("--fresh", action="store_true", help="begin that file anew")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--part", choices=ORDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run(options.part, options.rows, options.dry)
        return 0
    if not options.dry:
        from scission.runtime.ort.library import cuda_problem

        if problem := cuda_problem():
            sys.exit(f"no CUDA here: {problem}; --dry shows that everything runs")
    if options.fresh:
        options.rows.unlink(missing_ok=True)
    went = []
    for part, how in trip(options.only, options.rows, options.dry, options.minutes):
        print(f"{part}: {how}", flush=True)
        went.append(how)
    figures = measured(options.rows, options.dry)
    show(figures)
    if options.save:
        save("gpu", figures, "cuda")
    return int(any(how != "ended" for how in went) or (not options.dry and missed(figures)))


if __name__ == "__main__":
    sys.exit(main())
