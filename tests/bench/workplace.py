"""A folder with models to run commands in, and everything that a command may leave there looked through afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper as h
from onnx import numpy_helper as nh

import scission

FAST = "--provider cpu --threads 1"
LIMIT = 300  # seconds after which a command counts as one that hangs


def product(count: int = 4, size: int = 48) -> onnx.ModelProto:
    """A product that falls apart into blocks."""
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(count), np.ones((size, size))) * rng.standard_normal((count * size, count * size))
    values = [h.make_tensor_value_info(name, 1, ["n", count * size]) for name in "xy"]
    nodes = [h.make_node("MatMul", ["x", "w"], ["y"], name="mm")]
    return made(nodes, values[:1], values[1:], {"w": np.float32(W)})


def made(nodes: Sequence[onnx.NodeProto], inputs: Sequence, outputs: Sequence, weights: dict) -> onnx.ModelProto:
    """A model of operator set 17."""
    tensors = [nh.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = h.make_graph(nodes, "g", inputs, outputs, tensors)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def endless() -> onnx.ModelProto:
    """A Loop that does not end."""
    value = h.make_tensor_value_info
    nodes = [h.make_node("Identity", ["c0"], ["c1"]), h.make_node("MatMul", ["s0", "w"], ["s1"])]
    inputs = [value("i", 7, []), value("c0", 9, []), value("s0", 1, ["n", 8])]
    body = h.make_graph(nodes, "body", inputs, [value("c1", 9, []), value("s1", 1, ["n", 8])])
    weights = {"t": np.int64(2**62), "c": np.bool_(True), "w": np.eye(8, dtype=np.float32)}
    loop = h.make_node("Loop", ["t", "c", "x"], ["y"], body=body)
    return made([loop], [value("x", 1, ["n", 8])], [value("y", 1, ["n", 8])], weights)


def dying() -> onnx.ModelProto:
    """A model of which ONNX Runtime dies when it looks at the shapes: a convolution in no groups."""
    base = product()
    nodes = [*base.graph.node, h.make_node("ConvTranspose", ["u", "k"], ["v"], group=0)]
    value = h.make_tensor_value_info
    inputs = [*base.graph.input, value("u", 1, [1, 4, 4, 4])]
    weights = {"w": nh.to_array(base.graph.initializer[0]), "k": np.ones((4, 4, 1, 1), np.float32)}
    return made(nodes, inputs, [*base.graph.output, value("v", 1, None)], weights)


def crashing() -> onnx.ModelProto:
    """A model with which ONNX Runtime dies of SIGFPE: the least integer divided by -1."""
    base = product()
    nodes = [
        h.make_node("MatMul", ["x", "w"], ["z"], name="mm"),
        h.make_node("Div", ["a", "b"], ["q"]),
        h.make_node("Cast", ["q"], ["f"], to=1),
        h.make_node("Add", ["z", "f"], ["y"]),
    ]
    weights = {"w": nh.to_array(base.graph.initializer[0]), "a": np.int32([-(2**31)]), "b": np.int32([-1])}
    return made(nodes, base.graph.input, base.graph.output, weights)


@dataclass
class Workplace:
    """root/in has what commands read, root/out what they write, root/tmp their temporary folders."""

    root: Path
    inputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("in", "out", "tmp", "cache"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        place = self.root / "in"
        onnx.save(product(), place / "m.onnx")
        (place / "big").mkdir(exist_ok=True)
        onnx.save(product(8, 128), place / "big" / "m.onnx", save_as_external_data=True, location="m.data")
        for name, model in (("loop", endless()), ("crash", crashing()), ("dying", dying())):
            onnx.save(model, place / f"{name}.onnx")
        plan = scission.plan(product(), provider="cpu", force=True)
        (place / "plan.json").write_text(plan.dumps())
        (place / "big" / "plan.json").write_text(scission.plan(product(8, 128), provider="cpu", force=True).dumps())
        x = np.random.default_rng(0).standard_normal((32, 192)).astype(np.float32)
        np.savez(place / "calib.npz", x=x, labels=np.arange(32))
        self.inputs = self.digests("in")

    def digests(self, folder: str) -> dict[str, str]:
        """What every file of a folder holds, by path; hidden ones and folders among them."""
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else ""
            for path in sorted((self.root / folder).rglob("*"))
        }

    def start(self, line: str, preexec: Callable[[], None] | None = None, **environment: str) -> subprocess.Popen:
        """A command that runs here; SIGINT does to it what it does to what is typed."""

        def before() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if preexec is not None:
                preexec()

        own = {"TMPDIR": str(self.root / "tmp"), "SCISSION_CACHE": str(self.root / "cache"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "scission", *line.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            cwd=self.root,
            env=os.environ | own | environment,
            preexec_fn=before,
        )

    def run(self, line: str, preexec: Callable[[], None] | None = None, **environment: str) -> tuple[int, str]:
        """(exit status, stderr) of a command."""
        process = self.start(line, preexec, **environment)
        try:
            errors = process.communicate(timeout=LIMIT)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return 124, "it hangs"
        return process.returncode, errors

    def clear(self) -> None:
        """Remove what was written."""
        for path in sorted((self.root / "out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def left(self) -> list[str]:
        """Temporary folders, wherever they may be."""
        return [path for name in ("tmp", "out", "in", "cache") for path in self.digests(name) if "scission-" in path]

    def broken(self, expected: set[str]) -> list[str]:
        """What is wrong here: an input that changed, an output that is not whole, one too many or too few (but none at
        all is fine), what is left of temporary folders."""
        found = [f"changed: {name}" for name, told in self.inputs.items() if self.digests("in").get(name) != told]
        names = {Path(path).name for path in self.digests("out")}
        if names and names != expected:
            found.append(f"outputs: {sorted(names)}")
        found += [f"not whole: {path.name}" for path in (self.root / "out").glob("*") if not whole(path)]
        return found + [f"left: {path}" for path in self.left()]


def whole(path: Path) -> bool:
    """Whether a file is what its name says."""
    try:
        if path.suffix == ".onnx":
            onnx.checker.check_model(str(path))
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".html":
            return path.read_text().rstrip().endswith("</html>")
        return path.stat().st_size > 0
    except Exception:
        return False
