"""Peak memory of every command on models of all sizes, beside that of the files it reads.

`python tests/bench/memory.py [--largest 1GB] [--models 40] [--seconds 0.2] [--only COMMAND ...] [--again] [--save]`
makes models of planted blocks from 1 kB up to the largest, in turn layers of MatMul and Relu, a 1x1 convolution over
56x56 positions, MatMuls of sequences (N, 1500, K), and mel filter banks, runs every command on each in a process of
its own, and prints for each command the largest resident memory beyond the files of the model it reads, with the model
where that was; the target holds without any option that asks for more. What a command refuses (exit status 2 or 3) or
does not finish counts as missed. Models above 50 MB are layers or convolutions over 14x14 positions, and go through the
commands that read, write or run whole models.

Every row is kept in `.bench/memory.jsonl` as soon as it is measured, and is not measured again by the next run, unless
`--again` says so; `--only` keeps to some commands, and to what they need.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from commands import run
from figures import Figure, at_most, missed, reported, save, show
from onnx import helper, numpy_helper

from scission.models.matrices import mel
from scission.runtime.ort.memory import parse_bytes, shown_bytes

TARGET = 1024  # MiB
SMALLEST = 1000  # bytes
WIDEST = 2048  # features of one layer
BLOCKS = 4
FINE = (0, 1, 4)  # exit statuses of a command that did its work
TIMEOUT = 600
LARGE = 50_000_000  # bytes of a model that only goes through the commands to which its size matters
ROWS = Path(__file__).parents[2] / ".bench" / "memory.jsonl"
KINDS = ("layers", "convolution", "sequences", "mel")


def weight(rng: np.random.Generator, n: int) -> np.ndarray:
    """Shuffled blocks, (n, n)."""
    W = np.zeros((n, n), np.float32)
    edges = np.linspace(0, n, BLOCKS + 1).astype(int)
    for low, high in itertools.pairwise(edges):
        W[low:high, low:high] = rng.standard_normal((high - low, high - low), dtype=np.float32) / np.sqrt(n)
    return W[rng.permutation(n)][:, rng.permutation(n)]


def model(kind: str, size: int) -> onnx.ModelProto:
    """A model of about so many bytes."""
    rng = np.random.default_rng(size)
    if kind == "mel":
        bins = max(8, int(np.sqrt(size)))
        return mel.build(bins, max(4, bins // 4))
    n = max(8, min(WIDEST, int(np.sqrt(size / 4))))
    depth, side = max(1, size // (4 * n * n)), 56 if size < LARGE else 14
    around = {"layers": (["N"], []), "sequences": (["N", 1500], []), "convolution": (["N"], [side, side])}[kind]
    shape = [*around[0], n, *around[1]]
    nodes, weights, last = [], [], "x"
    for layer in range(depth):
        W = weight(rng, n)
        conv = kind == "convolution"
        weights.append(numpy_helper.from_array(W[:, :, None, None] if conv else W, f"w{layer}"))
        nodes.append(helper.make_node("Conv" if conv else "MatMul", [last, f"w{layer}"], [f"m{layer}"], f"l{layer}"))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
        last = f"r{layer}"
    x, y = (helper.make_tensor_value_info(name, 1, shape) for name in ("x", last))
    graph = helper.make_graph(nodes, kind, [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(kind: str, size: int, path: Path) -> None:
    onnx.save(model(kind, size), path)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is typed; files: how many as large as the model it reads; large: whether large models go through it as well;
    needs: the commands that make what it reads."""

    words: Sequence[str]
    files: int = 1
    large: bool = True
    needs: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One command on one model: bytes of the model, the largest resident bytes, seconds, exit status, what it said."""

    model: str
    held: int
    command: str
    files: int
    peak: int
    seconds: float
    status: int
    said: str

    @property
    def beyond(self) -> float:
        """MiB beyond the files that it reads."""
        return (self.peak - self.files * self.held) / 2**20

    @property
    def fine(self) -> bool:
        return self.status in FINE

    @property
    def name(self) -> str:
        return f"{self.model} of {shown_bytes(self.held)}"


def commands(path: Path, folder: Path, seconds: float) -> dict[str, Command]:
    """Each command by name, in an order in which everything is made before it is read."""
    plan, applied, out, forced = (str(folder / name) for name in ("plan.json", "applied.onnx", "out.onnx", "f.onnx"))
    fast, one = ["--seconds", str(seconds)], str(path)
    name = "mel" if path.stem == "mel" else "l0"
    made = ("plan", "apply")
    return {
        "inspect": Command(words=["inspect", one]),
        "explain": Command(words=["explain", one, name], large=False),
        "plan": Command(words=["plan", one, "--force", "-o", plan]),
        "plan --tune": Command(words=["plan", one, "--tune", "--no-cache", *fast], large=False),
        "apply": Command(words=["apply", one, plan, applied], needs=made[:1]),
        "optimize": Command(words=["optimize", one, out, *fast]),
        "optimize --force": Command(words=["optimize", one, forced, "--force", *fast], large=False),
        "check": Command(words=["check", one, applied], files=2, needs=made),
        "bench": Command(words=["bench", one, applied, *fast], files=2, needs=made),
        "diff": Command(words=["diff", one, applied], files=2, needs=made),
        "report": Command(words=["report", one, applied, "-o", str(folder / "page.html")], files=2, needs=made),
        "structure": Command(words=["structure", f"{one}:{name}"], large=False),
        "cover": Command(words=["cover", f"{one}:{name}"], large=False),
    }


def rows(path: Path, given: argparse.Namespace, known: dict[tuple[str, int, str], Row]) -> Iterator[Row]:
    """The rows of one model; what was measured before is only run where others need what it makes."""
    kind, size = path.stem, int(path.parent.name)
    several = {
        name: one
        for name, one in commands(path, path.parent, given.seconds).items()
        if (one.large or size < LARGE) and (not given.only or name in given.only)
    }
    missing = [name for name in several if (kind, size, name) not in known]
    every = commands(path, path.parent, given.seconds)
    needed = {need for name in missing for need in every[name].needs}
    if missing:
        made = multiprocessing.get_context("spawn").Process(target=write, args=(kind, size, path))
        made.start()  # what a process holds when it starts another one counts as the peak of that one
        made.join()
    for name, one in every.items():
        if name in needed and name not in missing:
            run(one.words, TIMEOUT)
        elif name in missing:
            found = run(one.words, TIMEOUT)
            row = Row(
                model=kind,
                held=path.stat().st_size,
                command=name,
                files=one.files,
                peak=found.peak,
                seconds=round(found.seconds, 2),
                status=found.status,
                said=found.last,
            )
            with ROWS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row) | {"size": size}) + "\n")
            yield row
        elif name in several:
            yield known[kind, size, name]


def kept() -> dict[tuple[str, int, str], Row]:
    """The rows of earlier runs, by kind, wished size and command."""
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else []
    found = {}
    for line in lines:
        one = json.loads(line)
        size = one.pop("size")
        found[one["model"], size, one["command"]] = Row(**one)
    return found


def measured(given: argparse.Namespace) -> Iterator[Row]:
    """The rows of all models, each printed as it comes."""
    ROWS.parent.mkdir(exist_ok=True)
    known = kept()
    if given.again:
        known = {key: row for key, row in known.items() if given.only and row.command not in given.only}
        ROWS.unlink(missing_ok=True)
        lines = (json.dumps(asdict(row) | {"size": key[1]}) + "\n" for key, row in known.items())
        ROWS.write_text("".join(lines), encoding="utf-8")
    sizes = enumerate(map(int, np.geomspace(SMALLEST, given.largest, given.models)))
    for place, size in reversed(list(sizes)):  # what takes too much shows first
        kind = KINDS[place % len(KINDS)] if size < LARGE else KINDS[place % 3 // 2]  # the others would take too long
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / str(size) / f"{kind}.onnx"
            path.parent.mkdir()
            for row in rows(path, given, known):
                said = "" if row.fine else row.said
                print(f"{row.name:28} {row.command:18} {row.beyond:7.0f} MiB {row.seconds:6.1f} s {said}", flush=True)
                yield row


def figures_of(found: Sequence[Row]) -> Iterator[Figure]:
    """The worst row of each command."""
    for command in dict.fromkeys(row.command for row in found):
        own = [row for row in found if row.command == command]
        worst = max(own, key=lambda row: row.beyond)
        yield at_most(command, f"MiB beyond the files, {len(own)} models, {worst.name}", worst.beyond, TARGET)
    yield at_most("all", "commands that failed", sum(not row.fine for row in found), 0)
    slowest = max(found, key=lambda row: row.seconds)
    yield reported("all", f"seconds of the slowest: {slowest.command}, {slowest.name}", slowest.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=parse_bytes, default=parse_bytes("1GB"))
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", nargs="*", default=[], help="commands; all of them else")
    parser.add_argument("--again", action="store_true", help="measure anew what is known")
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    figures = list(figures_of(list(measured(given))))
    show(figures)
    if given.save:
        save("memory", figures, "cpu")
    return int(missed(figures))


if __name__ == "__main__":
    sys.exit(main())
