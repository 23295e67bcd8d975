"""Files that are not what they should be: what every reader makes of a pipe, a device or a sparse file, links that are
turned around while a plan is carried out, outputs that are inputs or no files, and the modes of what is written.

    python tests/bench/hostile_files.py [--only ROW …] [--flips N] [--save]

Each command is a process of its own that has imported everything before. It must end within a minute, in less than
600 MB, with exit status 2 and one line on stderr, and leave every file as it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import Figure, at_most, bench_with, reported

sys.path.append(str(Path(__file__).parents[1] / "support"))

from read_and_written import (
    MODELS,
    OUTPUTS,
    READERS,
    contents,
    fill,
    never_over,
    never_to,
    only_regular,
)
from strange_files import FORMS

from scission.runtime.cli import app

SECONDS, PEAK = 60, 600 << 20  # of one command
FLIPS = 40  # plans that are carried out while a link is turned around
WRITERS = {  # lines that write, and what; each is typed with `--overwrite -q` where that is there already
    "plan in.onnx -o out.json": "out.json",
    "apply in.onnx plan.json out.onnx": "out.onnx",
    "apply ext.onnx ext.json out.onnx": "out.onnx out.onnx.data",
    "optimize ext.onnx out.onnx --force --no-bench": "out.onnx out.onnx.data",
    "sweep noisy.onnx --data calib.npz --levels 0.01 -o out.json --plot out.svg": "out.json out.svg",
    "report in.onnx -o out.html": "out.html",
    "diff in.onnx in.onnx --html out.html": "out.html",
    "structure w.npy --dot out.dot --picture out.png": "out.dot out.png",
    "cover w.npy --picture out.svg": "out.svg",
}


class Row(NamedTuple):
    """What was tried, what happened, and whether that is right."""

    attack: str
    happened: str
    right: bool


@dataclass
class Caller:
    """Runs command lines in a folder, each in a process of its own; keeps the most that one took."""

    folder: Path
    seconds: float = 0.0
    peak: int = 0
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = Path(tempfile.mkdtemp(prefix="said."))

    def __call__(self, line: str) -> tuple[int, str, str]:
        """(exit status, what it printed, what it said); 124 where it did not end."""
        out, errors, start = self.log / "out", self.log / "errors", time.monotonic()
        child = os.fork()
        if not child:
            self._be(line, out, errors)
        status = usage = None
        while status is None and time.monotonic() - start < SECONDS:
            pid, ended, usage = os.wait4(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(ended) if pid else None
            time.sleep(0.005)
        if status is None:
            os.kill(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            status = 124
        self.seconds = max(self.seconds, time.monotonic() - start)
        self.peak = max(self.peak, usage.ru_maxrss * 1024)
        return status, out.read_text(errors="replace"), errors.read_text(errors="replace")

    def _be(self, line: str, out: Path, errors: Path) -> None:
        """The process that the line is typed in; does not return."""
        status = 70
        try:
            os.chdir(self.folder)
            sys.path.insert(0, str(self.folder))
            os.environ["SCISSION_CACHE"] = str(self.folder / "cache")
            for path, number in ((out, 1), (errors, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.argv = ["scission", *line.split()]
            app.main()
            status = 0
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)


def judged(attack: str, wrong: str) -> Row:
    return Row(attack, wrong or "refused in one line", not wrong)


def readers(folder: Path, call: Caller) -> Iterator[Row]:
    """Every form in the place of every file that is read."""
    for what in READERS:
        for form in FORMS:
            call.peak = 0
            wrong = only_regular(folder, call, form, what)
            if not wrong and call.peak > PEAK:
                wrong = f"it took {call.peak >> 20} MiB"
            yield judged(f"{form} as {what}", wrong)


def inputs(folder: Path, call: Caller) -> Iterator[Row]:
    """Every output in the place of every input, by its name, a link, a hard link, and as the data beside a model."""
    for line, (_, victims) in OUTPUTS.items():
        for victim in victims.split():
            for way in ("itself", "link", "hard link", *(["data"] if line in MODELS else [])):
                attack = f"{line.format('OUT')}, OUT is {victim} ({way})"
                yield judged(attack, never_over(folder, call, line, victim, way))


def outputs(folder: Path, call: Caller) -> Iterator[Row]:
    """Every output in the place of what is no file."""
    for line in OUTPUTS:
        for form in (*FORMS[:4], "dangling", "loop", "a link"):
            yield judged(f"{line.format('OUT')}, OUT is {form}", never_to(folder, call, line, form))


def modes(folder: Path, call: Caller) -> Iterator[Row]:
    """What is replaced keeps its mode; what is new has that of new files."""
    for line, names in WRITERS.items():
        paths = [folder / name for name in names.split()]
        for mode in (0o600, 0o640, 0o755):
            for path in paths:
                path.write_bytes(b"")
                path.chmod(mode)
            yield _with_mode(call, f"{line} --overwrite -q", paths, mode, "replaced")
        for mask in (0o022, 0o077):
            before = os.umask(mask)
            yield _with_mode(call, f"{line} -q", paths, 0o666 & ~mask, "new")
            os.umask(before)


def _with_mode(call: Caller, line: str, paths: Sequence[Path], mode: int, what: str) -> Row:
    status, _, said = call(line)
    seen = {path.name: oct(path.stat().st_mode & 0o777) for path in paths if path.exists()}
    for path in paths:
        path.unlink(missing_ok=True)
    happened = f"status {status} {said[-200:]}" if status else str(seen)
    return Row(f"{line}: {what}, mode {mode:o}", happened, seen == {path.name: oct(mode) for path in paths})


def links(folder: Path, call: Caller, flips: int = FLIPS) -> Iterator[Row]:
    """A process turns a file of a model into a link to one outside, and back, as fast as it can while it is read."""
    for name, model, plan in (("ext.bin", "ext.onnx", "ext.json"), ("in.onnx", "in.onnx", "plan.json")):
        own = (folder / name).read_bytes()
        secret = folder.parent / "secret"
        secret.write_bytes(bytes(byte ^ 0x55 for byte in own) if name == "ext.bin" else _other(own))
        written, refused, leaked = 0, 0, 0
        with _flipping(folder / name, own, secret):
            for _ in range(flips):
                status, _, _ = call(f"apply {model} {plan} out.onnx --overwrite -q")
                made = [path for path in (folder / "out.onnx", folder / "out.onnx.data") if path.exists()]
                held = b"".join(path.read_bytes() for path in made)
                written, refused = written + (status == 0), refused + (status == 2)
                leaked += any(held.find(piece) >= 0 for piece in _pieces(secret.read_bytes(), own))
                for path in made:
                    path.unlink()
        happened = f"{written} written, {refused} refused, {leaked} with what lies outside"
        yield Row(f"{name} becomes a link while `apply` runs", happened, not leaked and written + refused == flips)


def _other(model: bytes) -> bytes:
    """The same model with other weights, of the same length."""
    import onnx

    proto = onnx.ModelProto.FromString(model)
    for tensor in proto.graph.initializer:
        tensor.raw_data = bytes(byte ^ 0x55 for byte in onnx.numpy_helper.to_array(tensor).tobytes())
    return proto.SerializeToString()


def _pieces(secret: bytes, own: bytes) -> list[bytes]:
    """Stretches of the one that are not in the other."""
    starts = np.linspace(len(secret) // 4, len(secret) - 256, 32).astype(int)
    return [piece for at in starts if (piece := secret[at : at + 32]) not in own and len(set(piece)) > 4]


@contextlib.contextmanager
def _flipping(path: Path, own: bytes, secret: Path) -> Iterator[None]:
    child = os.fork()
    if not child:
        spare = path.with_name(".next")
        while True:
            spare.symlink_to(secret)
            spare.replace(path)
            spare.write_bytes(own)
            spare.replace(path)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with contextlib.suppress(FileNotFoundError):
            path.with_name(".next").unlink()
        path.unlink(missing_ok=True)
        path.write_bytes(own)


KINDS: dict[str, Callable[..., Iterator[Row]]] = {
    "readers": readers,
    "inputs": inputs,
    "outputs": outputs,
    "modes": modes,
    "links": links,
}


def rows(only: Sequence[str] = tuple(KINDS), flips: int = FLIPS) -> Iterator[tuple[str, Row]]:
    """Everything that is tried, with the kind that it is of."""
    with tempfile.TemporaryDirectory(prefix="hostile.") as root:
        (folder := Path(root).resolve() / "home").mkdir()
        fill(folder)
        call = Caller(folder)
        before = contents(folder)
        for kind in only:
            for row in KINDS[kind](folder, call, *([flips] if kind == "links" else [])):
                yield kind, row
            after = contents(folder) if kind in ("inputs", "outputs", "modes") else before
            yield kind, Row("what was read", "is as it was" if after == before else "is another", after == before)
            before = contents(folder)


def figures(only: Sequence[str], flips: int) -> Iterator[Figure]:
    """How many were wrong, of each kind."""
    start = time.monotonic()
    for kind in only:
        seen = [row for _, row in rows([kind], flips)]
        for row in seen:
            if not row.right:
                print(f"  {row.attack}: {row.happened}", flush=True)
        yield at_most(kind, f"wrong of {len(seen)}", sum(not row.right for row in seen), 0)
    yield reported("all", "seconds", time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(bench_with("hostile_files", __doc__, tuple(KINDS), figures, flips={"type": int, "default": FLIPS}))
