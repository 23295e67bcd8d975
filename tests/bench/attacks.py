"""Files of strangers: models one edit away from a sound one, files damaged by a seed, and little memory.

    python tests/bench/attacks.py [--only ROW …] [--seeds 2000] [--save]

Each edited model is given to a command in a process of its own, forked from this one so that nothing is imported
again; each reader reads files damaged by so many seeds, a hundred to a process. What comes of it must be a result or an
error in words: no traceback, no crash, nothing that takes more than 10 s of a processor, and no more than 600 MB.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import onnx
from figures import Figure, at_most, bench_with
from hostile_models import EDITS, hostile
from readers import READERS, attempt, model

SECONDS, MEGABYTES = 10.0, 600  # that anything may take, of a processor: others may be at work
PATIENCE = 120.0  # seconds after which anything hangs
CHUNK = 100  # seeds of one process
COMMANDS = (
    "plan m.onnx --force",
    "inspect m.onnx",
    "diff m.onnx sound.onnx",
    "apply m.onnx plan.json o.onnx --overwrite",
)
ROOM = (150, 200, 250, 300, 350, 400)  # megabytes of address space
SCARCE = ("plan sound.onnx -q", "optimize sound.onnx o.onnx --force --seconds 0.05 --overwrite -q")


class Row(NamedTuple):
    """One attack and what came of it; wrong: what is wrong with that, empty where nothing is."""

    attack: str
    command: str
    outcome: str
    seconds: float
    megabytes: float
    wrong: str


def called(attack: str, line: str, folder: Path, begin: Callable[..., Process]) -> Row:
    """A command in a process of its own, as `Fork` or what `limited` gives begins it."""
    with (folder / "stderr").open("w+b") as errors:
        status, seconds, memory = waited(begin(line, folder, errors.fileno()), PATIENCE)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    wrong = "hangs" if status is None or seconds > SECONDS else "traceback" if "Traceback" in said else ""
    wrong = wrong or (f"status {status}" if status not in (0, 1, 2) else "" if memory <= MEGABYTES else "memory")
    return Row(attack, line, said.strip()[-200:] or f"status {status}", seconds, memory, wrong)


def limited(room: int) -> Callable[[str, Path, int], Process]:
    """Commands that import everything anew; room: megabytes of addresses that they may use."""

    def begin(line: str, folder: Path, errors: int) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "scission", *line.split()],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder,
            env=os.environ | environment(folder),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room << 20, room << 20)),
        )

    return begin


class Fork:
    """A command in a copy of this process, in which no model has run."""

    def __init__(self, line: str, folder: Path, errors: int) -> None:
        sys.stdout.flush()
        self.pid, self.returncode = os.fork(), 0
        if not self.pid:
            status = 3
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(errors, 2)
                os.chdir(folder)
                os.environ.update(environment(folder))
                status = _status(line)
            finally:
                os._exit(status)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _status(line: str) -> int:
    from scission.runtime.cli.entry import main

    sys.argv = ["scission", *line.split()]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


Process = Fork | subprocess.Popen


def environment(folder: Path) -> dict[str, str]:
    """What a command finds in its environment."""
    return {"SCISSION_IN_PROCESS": "1", "SCISSION_CACHE": str(folder)}


def waited(process: Process, allowed: float) -> tuple[int | None, float, float]:
    """(exit status, None where it had to be killed; seconds of a processor; megabytes at its highest)."""
    end = time.monotonic() + allowed
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        if time.monotonic() > end:
            process.kill()
            used = os.wait4(process.pid, 0)[2]
            process.returncode = -9
            return None, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        time.sleep(0.02)


def edits(_: int) -> Iterator[Row]:
    """Every edited model, in every command that may read it."""
    with tempfile.TemporaryDirectory(prefix="attacks.") as name:
        folder = prepared(Path(name))
        for edit in EDITS:
            (folder / "m.onnx").write_bytes(hostile(edit).SerializeToString())
            yield from (called(edit, line, folder, Fork) for line in COMMANDS)


def scarce(_: int) -> Iterator[Row]:
    """Little memory: a line and exit status 2, or a result."""
    with tempfile.TemporaryDirectory(prefix="attacks.") as name:
        folder = prepared(Path(name))
        yield from (called(f"{room} MB", line, folder, limited(room)) for room in ROOM for line in SCARCE)


def prepared(folder: Path) -> Path:
    """A folder with the sound model and its plan; what commands import is imported then."""
    import scission
    import scission.runtime.cli.app

    onnx.save(model(), folder / "sound.onnx")
    (folder / "plan.json").write_text(scission.plan(model(), force=True, provider="cpu").dumps())
    return folder


def fuzzed(reader: str) -> Callable[[int], Iterator[Row]]:
    """One reader, with files damaged by so many seeds."""

    def rows(seeds: int) -> Iterator[Row]:
        for first in range(0, seeds, CHUNK):
            start = first
            while start < min(first + CHUNK, seeds):
                start = yield from chunk(reader, start, min(first + CHUNK, seeds))

    return rows


def chunk(reader: str, first: int, end: int) -> Generator[Row, None, int]:
    """Seeds of one process, which ends where it crashes or hangs; returns the seed to go on with."""
    work = [sys.executable, __file__, "--worker", reader, str(first), str(end)]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(work, stdout=out, stderr=subprocess.DEVNULL)
        status, _, memory = waited(process, PATIENCE * 10)
        out.seek(0)
        found = [json.loads(line) for line in out if line.endswith("\n")]
    for seed, outcome, seconds, wrong in found:
        slow = "hangs" if seconds > SECONDS else ""
        yield Row(f"seed {seed}", reader, outcome, seconds, memory, wrong or slow)
    if memory > MEGABYTES:
        yield Row(f"seeds from {first}", reader, "", 0.0, memory, "memory")
    last: int = found[-1][0] if found else first - 1
    if status == 0:
        return end
    yield Row(f"seed {last + 1}", reader, f"status {status}", 0.0, memory, "hangs" if status is None else "crashes")
    return last + 2


def worker(reader: str, first: int, end: int) -> None:
    """Read damaged files, and print a line for each seed."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="attacks.") as folder:
        for seed in range(first, end):
            start, wrong = time.process_time(), ""
            try:
                outcome = attempt(reader, seed, Path(folder))
            except Exception as error:
                outcome, wrong = f"{type(error).__name__}: {error}"[:200], "traceback"
            print(json.dumps([seed, outcome, time.process_time() - start, wrong]), flush=True)


KINDS: dict[str, Callable[[int], Iterator[Row]]] = {
    "edited models": edits,
    "little memory": scarce,
    **{f"damaged {reader}": fuzzed(reader) for reader in READERS},
}


def rows(only: Sequence[str] = tuple(KINDS), seeds: int = 2000) -> Iterator[tuple[str, Row]]:
    """Every attack of some kinds, as it comes."""
    return ((kind, row) for kind in only for row in KINDS[kind](seeds))


def figures(only: Sequence[str], seeds: int) -> Iterator[Figure]:
    """How many came out wrong, of each kind, and what they took at most."""
    for kind in only:
        found = [row for _, row in rows([kind], seeds)]
        for row in found:
            if row.wrong:
                print(f"  {row.attack} | {row.command} | {row.wrong} | {row.outcome}", flush=True)
        yield at_most(kind, f"wrong of {len(found)}", sum(bool(row.wrong) for row in found), 0)
        yield at_most(kind, "seconds of the slowest", max(row.seconds for row in found), SECONDS)
        yield at_most(kind, "MB at most", max(row.megabytes for row in found), MEGABYTES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:  # that reads what some seeds damage, see `chunk`
        worker(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
        sys.exit()
    sys.exit(bench_with("attacks", __doc__, tuple(KINDS), figures, seeds={"type": int, "default": 2000}))
