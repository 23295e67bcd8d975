"""What a report costs: bytes of the page, seconds to make it, seconds until a browser has it open.

`python tests/bench/report.py [--only ROW ...] [--save]` prints each figure beside its target; `--save` also writes them
to `tests/bench/results/`. Everything runs on the CPU, on as many cores as there are. Seconds to make a page are those
of the whole command, start of Python included, the median of three; those to open it are what a headless Chromium
takes from asking for the file to its `load` event, the median of five, and are left out where there is none. Models are
built once into `.bench/`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_most, bench, reported
from raced import FOLDER, made

sys.path.append(str(Path(__file__).parents[1] / "support"))

from browser import CHROMIUM, chromium

import scission
from scission.models.networks import autoregressive
from scission.models.networks import transformer as planted_transformer
from scission.models.sketch import Sketch
from scission.models.trained import minilm
from scission.passes.connectivity.edges import relate
from scission.runtime.render.html.thumbnail import as_stored, grouped

LARGE = 16384


def language() -> Iterator[Figure]:
    """MiniLM, where every weight is dense: what is in it, and why nothing splits."""
    yield from written("MiniLM", made("minilm.onnx", minilm.export), None, (5, 30, 2))


def transformer() -> Iterator[Figure]:
    """A transformer of two layers with planted blocks, beside its rewrite; the two are compared, not timed."""
    path = made("report-bert.onnx", lambda p: planted_transformer.bert(p, rng(), width=256, heads=8, hidden=1024))
    yield from written("planted transformer", path, split(path), (5, 30, 2))


def autoencoder() -> Iterator[Figure]:
    """A masked autoencoder beside its rewrite."""
    path = made("made-True.onnx", lambda p: onnx.save(autoregressive.build(rng(), shuffle=True)[0], p))
    yield from written("MADE 784-2000-784, shuffled", path, split(path), (5, 30, 2))


def many() -> Iterator[Figure]:
    """A thousand small linears, of which most are told without a picture."""
    yield from written("1000 linears", made("report-many.onnx", chain), None, (5, 30, 2))


def patterns() -> Iterator[Figure]:
    """One picture of a large weight, as stored and in 16 groups."""
    row = f"{LARGE}x{LARGE}, 1 % of it edges"
    random = rng()
    matrix = random.random((LARGE, LARGE), np.float32) < 0.01
    parts = [np.sort(part) for part in np.split(random.permutation(LARGE), 16)]
    form = scission.Decomposition((LARGE, LARGE), tuple(scission.Block(part, part) for part in parts))
    started = time.perf_counter()
    relation = relate(matrix)
    yield reported(row, "relation: s", time.perf_counter() - started)
    for what, draw in (("as stored", lambda: as_stored(relation)), ("in groups", lambda: grouped(relation, form))):
        started = time.perf_counter()
        picture = draw()
        yield at_most(row, f"picture {what}: s", time.perf_counter() - started, 3)
        yield at_most(row, f"picture {what}: kB", len(picture.png) / 1e3, 200)


def written(row: str, model: Path, changed: Path | None, targets: tuple[float, float, float]) -> Iterator[Figure]:
    """Size and seconds of a page; targets: MB, seconds to make it, seconds to open it."""
    page = FOLDER / "report.html"
    line = [sys.executable, "-m", "scission", "report", str(model), *([str(changed)] if changed else [])]
    line += ["-o", str(page), "--overwrite", "--no-bench", "--quiet", "--provider", "cpu"]
    taken = statistics.median(timed(lambda: subprocess.run(line, check=True)) for _ in range(3))
    yield at_most(row, "page: MB", page.stat().st_size / 1e6, targets[0])
    yield at_most(row, "made: s", taken, targets[1])
    if CHROMIUM:
        yield at_most(row, "opened: s", opened(page), targets[2])


def opened(page: Path) -> float:
    """Seconds until a browser that runs already has the page open."""
    with chromium() as browser:
        tab = browser.new_page()
        return statistics.median(timed(lambda: tab.goto(page.absolute().as_uri())) for _ in range(5))


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def split(path: Path) -> Path:
    """The model with everything split that splits."""
    out = path.with_suffix(".report-split.onnx")
    if not out.exists():
        scission.apply(path, scission.plan(path, provider="cpu", force=True), out)
    return out


def chain(path: Path) -> None:
    sketch = Sketch(rng())
    x = sketch.input("x", ["batch", 32])
    for at in range(1000):
        x = sketch.op("MatMul", x, sketch.normal([32, 32]), name=f"product{at}")
    sketch.output(x, np.float32, ["batch", 32], name="y")
    onnx.save(sketch.model(), path)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


ROWS: dict[str, Callable[[], Iterator[Figure]]] = {
    "minilm": language,
    "transformer": transformer,
    "made": autoencoder,
    "many": many,
    "patterns": patterns,
}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    sys.exit(bench("report", __doc__, ROWS))
