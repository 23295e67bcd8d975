"""scission inside other tools, each the real package: does every way in and out work, and how long does a start take?

    python tests/bench/ecosystem.py [--only ROW …] [--installed] [--save]

tools: tests that run passes of onnx_ir before, between and behind runs of onnxscript's optimizer, graphs of
graphsurgeon there and back, exports by torch, and `polygraphy run`, in the environment of this checkout. olive:
workflows of Olive and the example of one; it is installed in an environment of its own in `.bench/olive`, since it
brings more than all else together. hub: folders as Optimum exports them and as onnxruntime-genai reads them, by both of
them, and fusions of ONNX Runtime's transformers before and after, in `.bench/hub`. A test that is skipped, as where a
package is not installed, is none that passes; why is printed. site: the pages that `make docs` builds, in a browser,
on a phone and a desk, light and dark, as Lighthouse asks: words on the console, requests, width, contrast, headings,
names; and tests of the code on pages and of links. examples: those of `make examples`, the notebook among them.
install: a wheel is built, what it needs is downloaded, and from then on the time runs: a new environment, one
`pip install`, one `scission optimize`.
exports: models with the signatures that exporters give go through `optimize` without any option about inputs: they are
split, proved with every branch exercised, and timed. hidden: wrong models whose error hides behind most inputs are
checked beside right ones: the error is found, or what never ran is named; and the right ones equal themselves.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, at_least, at_most, bench_with, reported

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "support"))


@dataclass(frozen=True)
class Tool:
    """One of the tools that scission is used from. package: what must be there, that the test is of the real one;
    tests: arguments of pytest."""

    name: str
    package: str
    tests: str


SPLIT_PASS, FOLDERS = "tests/runtime/tools/test_split_pass.py", "tests/runtime/hub/test_optimize_folder.py"
TOOLS = (
    Tool("onnx_ir Sequential", "onnx_ir", f"{SPLIT_PASS} -k 'gives or among'"),
    Tool("onnxscript optimizer before and after", "onnxscript", f"{SPLIT_PASS} -k optimizer"),
    Tool("torch.onnx.export", "torch", "tests/runtime/tools/test_export.py"),
    Tool(
        "graphsurgeon round trip",
        "onnx_graphsurgeon",
        "tests/ir/given/test_surgeon.py tests/runtime/tools/test_decompose.py",
    ),
    Tool("Polygraphy run", "polygraphy", "tests/runtime/tools/test_polygraphy_plugin.py"),
)
OLIVES = (
    Tool("Olive workflow", "olive", "tests/runtime/tools/test_olive_pass.py"),
    Tool("Olive example", "olive", "tests/laws/test_examples.py -k olive"),
)
HUBS = (
    Tool("Optimum folder", "optimum.onnxruntime", f"{FOLDERS} -k optimum"),
    Tool("onnxruntime-genai folder", "onnxruntime_genai", f"{FOLDERS} -k genai"),
    Tool("optimize_model before and after", "optimum.onnxruntime", f"{FOLDERS} -k fused"),
)
EXAMPLES = "tests/laws/test_examples.py -k 'not olive and not minilm'"
SITE = {
    "code on pages": "tests/laws/test_site.py -k what_a_page_says",
    "links of pages": "tests/laws/test_site.py -k 'not what_a_page_says'",
}
OLIVE = ("olive-ai==0.13.0", "requests", "torch", "onnxruntime", "scikit-learn", "pytest", "hypothesis")
HUB = ("optimum-onnx==0.1.0", "onnxruntime-genai==0.18.0", "torch", "onnx-graphsurgeon", "pytest", "hypothesis")
START = """
import numpy as np, onnx
from onnx import helper, numpy_helper
w = numpy_helper.from_array(np.kron(np.eye(64), np.ones((16, 16))).astype(np.float32), "w")
x, y = (helper.make_tensor_value_info(name, 1, ["n", 1024]) for name in "xy")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [w])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "model.onnx")
"""


def tested(row: str, python: Path, tests: str) -> Iterable[Figure]:
    """How many tests fail, how many are skipped, with which reasons, and how many pass; none is as bad as one that
    fails."""
    command = [python, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", *shlex.split(tests)]
    quiet = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet, check=False).stdout
    reasons = [line for line in out.splitlines() if line.startswith(("SKIPPED", "FAILED", "ERROR"))]
    print("".join(f"{row}: {line}\n" for line in reasons), end="")
    failed, errors, skipped, passed = (
        int((re.findall(rf"(\d+) {word}", out) or [0])[-1]) for word in ("failed", "error", "skipped", "passed")
    )
    yield at_most(row, "tests that fail", failed + errors if passed else max(failed + errors, 1), 0)
    yield at_most(row, "tests that are skipped", skipped, 0)
    yield reported(row, "tests that pass", passed)


def executed(tools: Sequence[Tool], python: Path) -> Iterable[Figure]:
    """Each tool in its tests, with the real package: where that is not installed none passes."""
    for tool in tools:
        there = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({tool.package!r}) is None)"
        if not python.exists() or subprocess.run([python, "-c", there], capture_output=True, check=False).returncode:
            print(f"{tool.name}: {tool.package} is not installed")
            yield at_least(tool.name, "tests that pass", 0, 1)
        else:
            yield from tested(tool.name, python, tool.tests)


def tools() -> Iterable[Figure]:
    """Those that the environment of this checkout has."""
    yield from executed(TOOLS, Path(sys.executable))


def environment(folder: Path, *packages: str, options: Sequence[str] = ()) -> Path:
    """The interpreter of an environment with these packages; one that is there already is taken."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *options, *packages], check=True)
    return python


def olive(installed: bool) -> Iterable[Figure]:
    """Workflows of Olive with our passes in them."""
    home, pinned = ROOT / ".bench" / "olive", ("-c", str(ROOT / "constraints.txt"))
    python = home / "bin" / "python" if installed else environment(home, *OLIVE, "-e", str(ROOT), options=pinned)
    yield from executed(OLIVES, python)


def hub(installed: bool) -> Iterable[Figure]:
    """Folders of Hugging Face and of onnxruntime-genai, read by Optimum and by genai before and after."""
    home = ROOT / ".bench" / "hub"
    python = home / "bin" / "python" if installed else environment(home, *HUB, "-e", str(ROOT))
    yield from executed(HUBS, python)


def site() -> Iterable[Figure]:
    """Pages in a browser, the code on them, and where they lead."""
    from browser import CHROMIUM, chromium
    from page_audit import DESK, PHONE, audited
    from sites import built, served

    if CHROMIUM is None:
        print("site: there is no Chromium on this machine")
        yield at_least("site", "share of pages with nothing amiss", 0, 1)
    else:
        with tempfile.TemporaryDirectory() as name:
            pages = sorted(page for page in built(Path(name)) if page.endswith(".html"))
            with chromium() as browser, served(Path(name)) as address:
                found = [audited(browser, address, pages, width) for width in (PHONE, DESK)]
        amiss = {page: told for page in pages if (told := [what for one in found for what in one[page]])}
        print("".join(f"site: {page}: {', '.join(told)}\n" for page, told in amiss.items()), end="")
        yield at_least("site", "share of pages with nothing amiss", 1 - len(amiss) / len(pages), 1)
        yield reported("site", "pages", len(pages))
    for row, tests in SITE.items():
        yield from tested(row, Path(sys.executable), tests)


def examples() -> Iterable[Figure]:
    """Those of `make examples`, the forest small, and the notebook among them."""
    yield from tested("examples", Path(sys.executable), EXAMPLES)


def install() -> Iterable[Figure]:
    """From a wheel to a first split model: commands, and seconds after the download, for each Python that is here."""
    from interpreters import SUPPORTED, interpreter

    with tempfile.TemporaryDirectory() as name:
        build = [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", name, ROOT]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(name).glob("*.whl")
        for minor in SUPPORTED:
            if (python := interpreter(minor)) is not None:
                with tempfile.TemporaryDirectory() as folder:
                    yield from _installed(f"install, Python 3.{minor}", python, wheel, Path(folder))


def _installed(row: str, python: Path, wheel: Path, folder: Path) -> Iterable[Figure]:
    """The same for one Python, in a folder that is empty."""
    wanted, pip = f"{wheel}[cpu]", [sys.executable, "-m", "pip"]
    subprocess.run([python, "-m", "venv", folder / "fetching"], check=True)
    fetch = [*pip, "--python", folder / "fetching/bin/python", "download", "-q", "-d", folder / "wheels"]
    subprocess.run([*fetch, "-c", ROOT / "constraints.txt", wanted], check=True)
    subprocess.run([sys.executable, "-c", START], cwd=folder, check=True)
    began = time.perf_counter()
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    commands = [
        [folder / "venv/bin/pip", "install", "-q", "--no-index", "--find-links", folder / "wheels", wanted],
        [folder / "venv/bin/scission", "optimize", "model.onnx", "split.onnx", "-q"],
    ]
    for command in commands:
        subprocess.run(command, cwd=folder, check=True)
    yield at_most(row, "seconds after the download", time.perf_counter() - began, 60)
    yield at_most(row, "commands", len(commands), 2)
    yield at_most(row, "size of the result over the original", _size(folder, "split") / _size(folder, "model"), 1)


def _size(folder: Path, name: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{name}.onnx*"))


def exports() -> Iterable[Figure]:
    """Signatures of exporters: split, proved and timed without an option about inputs."""
    import onnx
    from exports import EXPORTS

    import scission

    short, proved = scission.Trials(seconds=0.1), 0
    with tempfile.TemporaryDirectory() as name:
        for number, make in enumerate(EXPORTS.values()):
            path, target = Path(name) / f"{number}.onnx", Path(name) / f"{number}.split.onnx"
            onnx.save(make(), path)
            try:
                found = scission.optimize(path, target, force=True, trials=short)  # too small to gain
            except scission.ScissionError:
                continue
            verdict = found.verdict
            proved += verdict is not None and verdict.equal and bool(found.benches)
    yield at_least("exports", "share split, proved and timed without an option", proved / len(EXPORTS), 1)
    yield reported("exports", "models", len(EXPORTS))


def hidden() -> Iterable[Figure]:
    """Errors that most inputs do not show."""
    import onnx
    from hidden_errors import HIDDEN

    import scission

    found = named = alarms = 0
    with tempfile.TemporaryDirectory() as name:
        right, wrong = Path(name) / "right.onnx", Path(name) / "wrong.onnx"
        for make in HIDDEN.values():
            onnx.save(make(False), right)
            onnx.save(make(True), wrong)
            verdict = scission.check(right, wrong)
            found += verdict.different
            named += not verdict.equal and not verdict.different
            alarms += not scission.check(right, right).equal
    yield at_least("hidden errors", "share found, or named as not exercised", (found + named) / len(HIDDEN), 1)
    yield reported("hidden errors", "share found", found / len(HIDDEN))
    yield at_most("hidden errors", "right models not found equal", alarms, 0)
    yield reported("hidden errors", "pairs", len(HIDDEN))


ROWS: dict[str, Callable[[], Iterable[Figure]]] = {
    "tools": tools,
    "site": site,
    "examples": examples,
    "install": install,
    "exports": exports,
    "hidden": hidden,
}
APART: dict[str, Callable[[bool], Iterable[Figure]]] = {"olive": olive, "hub": hub}


def figures(rows: Sequence[str], installed: bool) -> Iterable[Figure]:
    for row in rows:
        yield from APART[row](installed) if row in APART else ROWS[row]()


if __name__ == "__main__":
    told = "take the environments in .bench as they are; what is not installed there passes nothing"
    flag = {"action": "store_true", "help": told}
    sys.exit(bench_with("ecosystem", __doc__, (*ROWS, *APART), figures, installed=flag))
