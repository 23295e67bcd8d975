"""Commands that are ended at random moments: by SIGINT and SIGTERM, and by `kill -9` before a run that goes well.

    python tests/bench/interrupted.py [--only ROW …] [--moments N] [--commands NAME …] [--seed N] [--save]

signals: from when the command hears them until it is done, an endless Loop in ONNX Runtime included; python: from the
first instruction of the interpreter, which has handlers of its own until the command has (reported). killed: the
waiting process, the one that works, or both; what stays is looked through after the same command has run to its end.
Moments are those of each command: by default 100 for signals and 200 for `kill -9`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from figures import Figure, at_most, bench_with, reported
from workplace import FAST, Workplace

WRITING = {  # by the names of what each writes
    "optimize": (f"optimize in/m.onnx out/o.onnx --force --seconds 0.05 {FAST}", {"o.onnx"}),
    "optimize, data outside": (
        f"optimize in/big/m.onnx out/o.onnx --force --no-bench {FAST}",
        {"o.onnx", "o.onnx.data"},
    ),
    "optimize --tune": (f"optimize in/m.onnx out/o.onnx --tune --rows 4 --seconds 0.05 {FAST}", {"o.onnx"}),
    "apply": ("apply in/m.onnx in/plan.json out/o.onnx", {"o.onnx"}),
    "apply, data outside": ("apply in/big/m.onnx in/big/plan.json out/o.onnx", {"o.onnx", "o.onnx.data"}),
    "plan": (f"plan in/m.onnx -o out/p.json {FAST}", {"p.json"}),
    "report": (f"report in/m.onnx -o out/r.html --check --bench --seconds 0.05 --rows 4 {FAST}", {"r.html"}),
    "diff": ("diff in/m.onnx in/big/m.onnx --html out/d.html", {"d.html"}),
    "structure": ("structure in/m.onnx:w --dot out/g.dot --picture out/g.svg", {"g.dot", "g.svg"}),
    "cover": ("cover in/m.onnx:w --picture out/c.svg --picture out/d.svg --threads 1", {"c.svg", "d.svg"}),
    "sweep": (
        "sweep in/m.onnx --data in/calib.npz --levels 0.1,0.01 -o out/s.json --plot out/s.svg --provider cpu "
        "--threads 1",
        {"s.json", "s.svg"},
    ),
}
ENDLESS = ("check", "bench", "report -o out/r.html --check --bench")
ROWS = ("signals", "python", "killed")
FINE = (0, 1, 4)  # exit statuses of commands that ran to their end


def seconds_of(place: Workplace, line: str) -> float:
    """What a command takes; it must run to its end."""
    place.clear()
    start = time.monotonic()
    status, errors = place.run(line)
    assert status in FINE, (line, status, errors)
    return time.monotonic() - start


def hears(process: subprocess.Popen) -> bool:
    """Whether a process has a handler for SIGTERM, which the interpreter alone has not."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return True
    caught = next((int(line.split()[1], 16) for line in text.splitlines() if line.startswith("SigCgt")), 0)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def signalled(place: Workplace, line: str, number: int, moment: float, from_start: bool) -> tuple[float, list[str]]:
    """Seconds from a signal to the end of a command, and what is wrong with that."""
    place.clear()
    process = place.start(line)
    while not from_start and not hears(process):
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(number)
    start = time.monotonic()
    try:
        out, errors = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        return 30.0, [f"{signal.Signals(number).name} is ignored"]
    seconds = time.monotonic() - start
    wrong = []
    if process.returncode != 128 + number and not (process.returncode in FINE and out):
        wrong.append(f"status {process.returncode}")
    if process.returncode == 128 + number and errors:
        wrong.append(f"said {errors.strip().splitlines()[-1]!r}")
    wrong += [f"left {path}" for path in place.left()]
    return seconds, wrong


def signals(place: Workplace, moments: int, rng: np.random.Generator, from_start: bool) -> Iterator[Figure]:
    """SIGINT and SIGTERM at moments of a command that takes long, of one that does not end, and of short ones."""
    line = WRITING["report"][0]
    lines = {"report": (line, seconds_of(place, line))}
    lines |= {f"endless {words.split()[0]}": (_endless(words), 6.0) for words in ENDLESS}
    row = "signals from the first instruction" if from_start else "signals"
    taken, wrong = [], []
    for index in range(moments):
        name = list(lines)[index % len(lines)]
        line, whole = lines[name]
        number = (signal.SIGINT, signal.SIGTERM)[index // len(lines) % 2]
        moment = rng.uniform(0, 0.3 if from_start or rng.random() < 0.5 else whole)
        seconds, problems = signalled(place, line, number, moment, from_start)
        taken.append(seconds)
        wrong += [f"{name}, {signal.Signals(number).name} after {moment:.3f} s: {one}" for one in problems]
    for one in wrong:
        print("  " + one, flush=True)
    for what, value, target in ((f"wrong of {moments}", len(wrong), 0), ("longest to the end, seconds", max(taken), 1)):
        yield reported(row, what, value) if from_start else at_most(row, what, value, target)
    yield reported(row, "median time to the end, seconds", float(np.median(taken)))


def _endless(words: str) -> str:
    command, _, rest = words.partition(" ")
    return f"{command} in/loop.onnx in/loop.onnx {rest} {FAST}"


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found


def kill(process: subprocess.Popen, whom: str) -> None:
    """SIGKILL for the waiting process, the one that works, or both."""
    pids = {"waiting": [process.pid], "working": children(process.pid)}
    for pid in pids.get(whom) or [process.pid, *children(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def killed(place: Workplace, moments: int, rng: np.random.Generator, names: Sequence[str]) -> Iterator[Figure]:
    """`kill -9` at moments of every writing command, then the same command to its end."""
    for name in names:
        line, expected = WRITING[name]
        whole = seconds_of(place, line)
        wrong: list[str] = []
        for index in range(moments):
            place.clear()
            whom = ("waiting", "working", "both")[index % 3]
            process = place.start(line)
            moment = rng.uniform(0, whole)
            time.sleep(moment)
            kill(process, whom)
            names_now = {path.name for path in (place.root / "out").glob("[!.]*")}
            again = f"{line} --overwrite" if names_now >= expected else line
            status, errors = place.run(again)
            problems = place.broken(expected)
            if status not in FINE:
                problems.append(f"then status {status}: {errors.strip().splitlines()[-1:]}")
            wrong += [f"{name}, {whom} killed after {moment:.3f} s: {one}" for one in problems]
        for one in wrong:
            print("  " + one, flush=True)
        yield at_most(f"kill -9: {name}", f"wrong of {moments}", len(wrong), 0)


def figures(
    only: Sequence[str] = ROWS,
    moments: int | None = None,
    commands: Sequence[str] = tuple(WRITING),
    seed: int = 0,
) -> Iterator[Figure]:
    """The rows, as they come."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="interrupted.") as folder:
        place = Workplace(Path(folder))
        if "signals" in only:
            yield from signals(place, moments or 100, rng, from_start=False)
        if "python" in only:
            yield from signals(place, moments or 100, rng, from_start=True)
        if "killed" in only:
            yield from killed(place, moments or 200, rng, commands)


if __name__ == "__main__":
    sys.exit(
        bench_with(
            "interrupted",
            __doc__,
            ROWS,
            figures,
            moments={"type": int},
            commands={"nargs": "+", "choices": tuple(WRITING), "default": tuple(WRITING)},
            seed={"type": int, "default": 0},
        )
    )
