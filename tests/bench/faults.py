"""What goes wrong around a command: models with which ONNX Runtime dies, full disks, folders nobody may write to, two
processes that write one output, files that are cut short while they are read. Then what a second process costs.

    python tests/bench/faults.py [--only ROW …] [--times N] [--save]

Each fault must be one line on stderr and exit status 2, with every input as it was, no output or a whole one, and no
temporary folder. Disks are small file systems in memory where this user may mount them; else files may not grow, and
the folders of the row `read-only` are skipped.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from figures import Figure, at_most, bench_with, reported
from interrupted import FINE, WRITING
from workplace import FAST, Workplace

CRASHING = {  # commands that run a model
    "check": f"check in/crash.onnx in/crash.onnx {FAST}",
    "bench": f"bench in/crash.onnx in/crash.onnx {FAST}",
    "optimize": f"optimize in/crash.onnx out/o.onnx --force {FAST}",
    "tune": f"plan in/dying.onnx --tune --no-cache --rows 2 --seconds 0.05 {FAST}",
    "plan": f"plan in/dying.onnx {FAST}",
    "sweep": "sweep in/crash.onnx --data in/calib.npz --levels 0.1 -o out/s.json --provider cpu --threads 1",
    "report": f"report in/crash.onnx in/crash.onnx -o out/r.html {FAST}",
}
WRITTEN = {name: told for name, told in WRITING.items() if name != "optimize --tune"}
TEMPORARY = f"check in/m.onnx in/m.onnx --seed 1 {FAST}"


def problems(place: Workplace, line: str, expected: set[str], status: int, errors: str) -> list[str]:
    """What is wrong with how a command failed."""
    wrong = place.broken(expected)
    if status != 2:
        wrong.append(f"status {status}")
    if errors.count("\n") != 1 or not errors.startswith("error: "):
        wrong.append(f"said {errors[-300:]!r}")
    return [f"{line.partition(' -')[0]}: {one}" for one in wrong]


def counted(row: str, wrong: Sequence[str], tried: int) -> Figure:
    """The figure of a row, after what is wrong is told."""
    for one in wrong:
        print("  " + one, flush=True)
    return at_most(row, f"wrong of {tried}", len(wrong), 0)


def crashes(place: Workplace, times: int) -> Iterator[Figure]:
    """Models with which ONNX Runtime dies."""
    wrong = []
    for line in CRASHING.values():
        place.clear()
        wrong += problems(place, line, set(), *place.run(line))
    yield counted("a model that makes ONNX Runtime crash", wrong, len(CRASHING))


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory over a folder, for as long as the context lasts; whether this user may have one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    try:
        yield not done.returncode
    finally:
        if not done.returncode:
            subprocess.run(["umount", "-l", folder], check=True)


def stop_growing() -> None:
    """Let no file of this process grow beyond 2 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))


def full(place: Workplace, times: int) -> Iterator[Figure]:
    """A disk without room for the output, or for temporary folders."""
    wrong = []
    for line, expected in WRITTEN.values():
        place.clear()
        with mounted(place.root / "out", "size=4k,nr_inodes=64") as small:
            (place.root / "out" / ".room").write_bytes(b"1" * 2048 if small else b"")
            status, errors = place.run(line, None if small else stop_growing)
            (place.root / "out" / ".room").unlink()
            wrong += problems(place, line, expected, status, errors)
    yield counted("a full disk", wrong, len(WRITTEN))
    place.clear()
    with mounted(place.root / "tmp", "size=16k") as small:
        line = f"{WRITING['report'][0]} --force"
        wrong = problems(place, line, set(), *place.run(line, None if small else stop_growing))
    yield counted("no room for temporary folders", wrong, 1)


def read_only(place: Workplace, times: int) -> Iterator[Figure]:
    """A folder that nobody may write to."""
    place.clear()
    with mounted(place.root / "out", "ro,size=64k") as there:
        if not there:
            return
        wrong = []
        for line, expected in WRITTEN.values():
            wrong += problems(place, line, expected, *place.run(line))
    yield counted("a read-only folder", wrong, len(WRITTEN))


def two(place: Workplace, times: int) -> Iterator[Figure]:
    """Two processes that write one output at once, without --overwrite."""
    wrong = []
    for name in ("apply", "apply, data outside", "plan", "structure", "diff"):
        line, expected = WRITING[name]
        for _ in range(times):
            place.clear()
            both = [place.start(line) for _ in range(2)]
            ended = [(one.communicate()[1], one.returncode) for one in both]
            fine = [status for _, status in ended if status in FINE]
            lost = [(errors, status) for errors, status in ended if status not in FINE]
            problem = place.broken(expected)
            if len(fine) != 1 or any(status != 2 or "exists already" not in errors for errors, status in lost):
                problem.append(str(ended))
            if not list((place.root / "out").iterdir()):
                problem.append("nothing was written")
            wrong += [f"{name}: {one}" for one in problem]
    yield counted("two that write one output", wrong, 5 * times)


def cut(place: Workplace, times: int) -> Iterator[Figure]:
    """A file of weights that is cut short while it is read."""
    rng, wrong = np.random.default_rng(0), []
    data = place.root / "in" / "big" / "m.data"
    whole = data.read_bytes()
    lines = (WRITING["apply, data outside"], WRITING["optimize, data outside"])
    for index in range(times):
        line, expected = lines[index % len(lines)]
        place.clear()
        stop = threading.Timer(rng.uniform(0.2, 3), os.truncate, (data, int(rng.integers(0, len(whole)))))
        stop.start()
        status, errors = place.run(line)
        stop.cancel()
        stop.join()
        data.write_bytes(whole)
        if status not in FINE:
            wrong += problems(place, line, expected, status, errors)
        else:
            wrong += [f"{line}: {one}" for one in place.broken(expected)]
    yield counted("weights cut short while they are read", wrong, times)


def overhead(place: Workplace, times: int) -> Iterator[Figure]:
    """What the second process costs, in turns with and without it."""
    for line in ("--version", "inspect in/m.onnx -q --provider cpu"):
        seconds: dict[str, list[float]] = {"": [], "1": []}
        for _ in range(max(times, 5)):
            for alone, taken in seconds.items():
                start = time.monotonic()
                place.run(line, SCISSION_IN_PROCESS=alone)
                taken.append(time.monotonic() - start)
        with_two, alone = (statistics.median(taken) for taken in seconds.values())
        yield at_most("overhead", f"scission {line.split()[0]}: seconds", with_two - alone, 0.3)
        yield reported("overhead", f"scission {line.split()[0]} in one process: seconds", alone)


ROWS: dict[str, Callable[[Workplace, int], Iterator[Figure]]] = {
    "crashes": crashes,
    "full": full,
    "read-only": read_only,
    "two": two,
    "cut": cut,
    "overhead": overhead,
}


def figures(only: Sequence[str] = tuple(ROWS), times: int = 20) -> Iterator[Figure]:
    """The rows, as they come; times: how often what depends on the moment is tried."""
    with tempfile.TemporaryDirectory(prefix="faults.") as folder:
        place = Workplace(Path(folder))
        for row in only:
            yield from ROWS[row](place, times)


if __name__ == "__main__":
    sys.exit(bench_with("faults", __doc__, tuple(ROWS), figures, times={"type": int, "default": 20}))
