"""scission inside other tools, each the real package: does every way in and out work, and how long does a start take?

    python tests/bench/ecosystem.py [--only ROW …] [--save]

tools: tests that run passes of onnx_ir beside those of onnxscript, graphs of graphsurgeon there and back, exports by
torch, and `polygraphy run`, in the environment of this checkout. olive: a workflow of Olive, which is installed in an
environment of its own in `.bench/olive`, since it brings more than all else together. hub: folders as Optimum exports
them and as onnxruntime-genai reads them, by both of them, in `.bench/hub`. install: a wheel is built, what
it needs is downloaded, and from then on the time runs: a new environment, one `pip install`, one `scission optimize`.
exports: models with the signatures that exporters give go through `optimize` without any option about inputs: they are
split, proved with every branch exercised, and timed. hidden: wrong models whose error hides behind most inputs are
checked beside right ones: the error is found, or what never ran is named; and the right ones equal themselves.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from figures import Figure, at_least, at_most, missed, reported, save, show, told

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "support"))
TOOLS = {
    "onnx_ir, onnxscript": "tests/runtime/tools/test_split_pass.py",
    "graphsurgeon": "tests/ir/given/test_surgeon.py tests/runtime/tools/test_decompose.py",
    "torch.onnx.export": "tests/runtime/tools/test_export.py",
    "polygraphy": "tests/runtime/tools/test_polygraphy_plugin.py",
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


def tested(row: str, python: Path, files: str) -> Iterable[Figure]:
    """How many of the tests in these files fail, and how many passed; a file of which all are skipped counts as one
    that fails."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files.split()]
    quiet = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet, check=False).stdout
    passed, failed = (int((re.findall(rf"(\d+) {word}", out) or [0])[-1]) for word in ("passed", "failed"))
    yield at_most(row, "tests that fail", failed if passed else max(failed, 1), 0)
    yield reported(row, "tests that pass", passed)


def tools() -> Iterable[Figure]:
    """Those that the environment of this checkout has."""
    for row, files in TOOLS.items():
        yield from tested(row, Path(sys.executable), files)


def environment(folder: Path, *packages: str, options: Sequence[str] = ()) -> Path:
    """The interpreter of an environment with these packages; one that is there already is taken."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *options, *packages], check=True)
    return python


def olive() -> Iterable[Figure]:
    """A workflow of Olive with our pass in it."""
    pinned = ("-c", str(ROOT / "constraints.txt"))
    python = environment(ROOT / ".bench" / "olive", *OLIVE, "-e", str(ROOT), options=pinned)
    yield from tested("olive", python, "tests/runtime/tools/test_olive_pass.py")


def hub() -> Iterable[Figure]:
    """Folders of Hugging Face and of onnxruntime-genai, read by Optimum and by genai before and after."""
    python = environment(ROOT / ".bench" / "hub", *HUB, "-e", str(ROOT))
    yield from tested("folders of hubs", python, "tests/runtime/hub")


def install() -> Iterable[Figure]:
    """From a wheel to a first split model: commands, and seconds after the download."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "-q", "--wheel", "--outdir", folder / "wheels", ROOT]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = (folder / "wheels").glob("*.whl")
        wanted = f"{wheel}[cpu]"
        fetch = [sys.executable, "-m", "pip", "download", "-q", "-d", folder / "wheels"]
        subprocess.run([*fetch, "-c", ROOT / "constraints.txt", wanted], check=True)
        subprocess.run([sys.executable, "-c", START], cwd=folder, check=True)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        commands = [
            [folder / "venv/bin/pip", "install", "-q", "--no-index", "--find-links", folder / "wheels", wanted],
            [folder / "venv/bin/scission", "optimize", "model.onnx", "split.onnx", "-q"],
        ]
        for command in commands:
            subprocess.run(command, cwd=folder, check=True)
        yield at_most("install", "seconds after the download", time.perf_counter() - began, 60)
        yield at_most("install", "commands", len(commands), 2)
        yield at_most(
            "install", "size of the result over the original", _size(folder, "split") / _size(folder, "model"), 1
        )


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
    "olive": olive,
    "hub": hub,
    "install": install,
    "exports": exports,
    "hidden": hidden,
}


def main() -> int:
    """Try, print, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    found = told(figure for row in options.only for figure in ROWS[row]())
    if options.save:
        save("ecosystem", found, "cpu")
    show(found)
    return int(missed(found))


if __name__ == "__main__":
    sys.exit(main())
