"""Everything that reads a file of a stranger: a valid file, the same damaged by a seed, and what is done with it.

An attempt ends in a result or in an error of scission; anything else is a defect.
"""

import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import oracles
from damage import damaged_bytes, damaged_json, damaged_model
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.plan.plan import Plan
from scission.runtime.calibrate.checkpoint import read_initial
from scission.runtime.calibrate.dataset import read_labelled
from scission.runtime.inputs.inputs import load_npz
from scission.runtime.inputs.spec import TensorSpec
from scission.runtime.tune.cache import TuningCache
from scission.runtime.tune.cached_units import cached_units
from scission.runtime.weights.source import read_weight

MOST = 1 << 22  # indices that a plan may name


@dataclass(frozen=True)
class Reader:
    """names: of the file; make: the damaged file of a seed; read: what is done with it."""

    names: tuple[str, ...]
    make: Callable[[random.Random, str], bytes]
    read: Callable[[Path], object]


@cache
def model() -> onnx.ModelProto:
    """A small model with most of what there is: a function, a body, sparse and quantised constants, odd types."""
    rng = np.random.default_rng(0)
    W = np.zeros((8, 8), np.float32)
    W[:4, :4], W[4:, 4:] = rng.standard_normal((2, 4, 4))
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["a"], "mm"),
        helper.make_node("If", ["c"], ["b"], "if", then_branch=body, else_branch=body),
        helper.make_node("Twice", ["a"], ["d"], "call", domain="own", alpha=2.0),
        helper.make_node("MatMul", ["d", "S"], ["e"], "sparse"),
        helper.make_node("DequantizeLinear", ["Q", "scale"], ["q"], "dq"),
        helper.make_node("Gemm", ["e", "q", "B"], ["g"], "gemm", transB=1, alpha=0.5),
        helper.make_node("Reshape", ["g", "shape"], ["r"], "reshape"),
        helper.make_node("Add", ["r", "b"], ["y"], "add"),
    ]
    tensors = {
        "W": W,
        "Q": rng.integers(-9, 9, (8, 8)).astype(np.int8),
        "scale": np.float32(0.5),
        "B": np.ones(8, np.float32),
        "shape": np.array([-1, 8]),
        "c": np.array(True),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()],
        doc_string="words",
        value_info=[helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 8])],
    )
    diagonal = numpy_helper.from_array(np.ones(8, np.float32), "S")
    places = numpy_helper.from_array(np.arange(8) * 9, "places")
    graph.sparse_initializer.add().CopyFrom(helper.make_sparse_tensor(diagonal, places, [8, 8]))
    twice = helper.make_function(
        *("own", "Twice", ["u"], ["v"]),
        [helper.make_node("Elu", ["u"], ["v"], "inner", alpha=1.0)],
        [helper.make_opsetid("", 17)],
        ["alpha"],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[twice])
    made.metadata_props.add(key="key", value="value")
    return made


@cache
def plain() -> onnx.ModelProto:
    """The model that plans, checkpoints and inputs are for."""
    W = np.zeros((8, 8), np.float32)
    W[:4, :4], W[4:, 4:] = np.random.default_rng(1).standard_normal((2, 4, 4))
    return oracles.graph([("MatMul", ["x", "W"], ["y"], {"name": "mm"})], {"x": ["n", 8]}, {"y": ["n", 8]}, {"W": W})


@cache
def plan() -> str:
    """A plan with a split of it."""
    return scission.plan(plain(), force=True, provider="cpu").dumps()


@cache
def arrays() -> dict[str, bytes]:
    """Files of arrays by suffix."""
    W = numpy_helper.to_array(plain().graph.initializer[0])
    npy, npz, fed, labelled, labels = (io.BytesIO() for _ in range(5))
    np.save(npy, W)
    np.savez(npz, W=W)
    x = np.ones((6, 8), np.float32)
    np.savez_compressed(fed, x=x)
    np.savez_compressed(labelled, x=x, labels=np.arange(6))
    np.save(labels, np.arange(6))
    from safetensors.numpy import save

    market = "%%MatrixMarket matrix coordinate real general\n% words\n8 8 2\n1 1 1.5\n3 4 -2e3\n"
    return {
        ".npy": npy.getvalue(),
        ".npz": npz.getvalue(),
        "fed": fed.getvalue(),
        "labelled": labelled.getvalue(),
        "labels": labels.getvalue(),
        ".safetensors": save({"W": W}),
        ".mtx": market.encode(),
        ".csv": b"1,0,2\n0,1.5,-3e2\n",
        ".txt": b"# words\n1 0 2\n0 1.5 nan\n",
        ".onnx": plain().SerializeToString(),
    }


CACHE = """{"schema": 3, "entries": {"ab": {"what": {"rows": [1, 16], "weights": [[8, 8]], "op": "MatMul", "machine":
{"cpu": "x"}, "version": "1"}, "ways": ["scatter"], "forms": [[[1.5, 1.4, 1.6, 9], null]], "winner": 0,
"sizes": [{"n": 1}, {"n": 16}]}}}"""


def _unzipped(rng: random.Random, data: bytes) -> bytes:
    """An archive whose members are damaged and whose sums are right, so that what is inside is read."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            member = old.read(name)
            new.writestr(name if rng.random() < 0.9 else "\x1b.npy", damaged_bytes(rng, member[:128]) + member[128:])
    return made.getvalue()


def _array(rng: random.Random, suffix: str, name: str = "") -> bytes:
    data = arrays()[name or suffix]
    return _unzipped(rng, data) if suffix == ".npz" and rng.random() < 0.7 else damaged_bytes(rng, data)


def _labels(rng: random.Random, suffix: str) -> bytes:
    return _array(rng, suffix, "labelled" if suffix == ".npz" else "labels")


def _rewritten(path: Path) -> None:
    chosen = scission.plan(path, force=True, provider="cpu")
    scission.apply(path, chosen, path.with_name("out.onnx"), overwrite=True)


ACTIONS: tuple[Callable[[Path], object], ...] = (
    lambda path: survey(load(path).graph),
    _rewritten,
    lambda path: scission.inspect(path, provider="cpu"),
    lambda path: scission.diff(path, model()),
    lambda path: read_weight(path, "mm"),
)


def _read_model(path: Path) -> None:
    """Everything that is done with models, whatever the others make of this one; the last error is raised."""
    errors = []
    for act in ACTIONS:
        try:
            act(path)
        except scission.ScissionError as error:
            errors.append(error)
    if errors:
        raise errors[-1]


def _read_plan(path: Path) -> None:
    scission.apply(plain(), Plan.loads(path.read_text(encoding="utf-8"), most=MOST))


def _read_cache(path: Path) -> None:
    kept = TuningCache.open(path)
    for key in kept.entries:
        kept.get(key)
    for unit in cached_units(kept, {"cpu": "x"}, "1"):
        unit.to_dict()


def _read_checkpoint(path: Path) -> None:
    found = load(plain())
    seen = survey(found.graph)
    for name, array in read_initial(path, seen.linears, seen.constants).initial.items():
        np.asarray(array), name


X = TensorSpec(name="x", dtype="float32", shape=("n", 8))


def _read_labels(path: Path) -> None:
    if path.suffix == ".npz":
        read_labelled(path, [X])
    else:
        read_labelled(path.parent / "data.npz", [X], path)


READERS = {
    "model": Reader(("m.onnx",), lambda rng, _: damaged_model(rng, model()), _read_model),
    "plan": Reader(("p.json",), lambda rng, _: damaged_json(rng, plan()).encode(errors="surrogatepass"), _read_plan),
    "cache": Reader(("c.json",), lambda rng, _: damaged_json(rng, CACHE).encode(errors="surrogatepass"), _read_cache),
    "checkpoint": Reader(("c.npz", "c.safetensors", "c.onnx"), _array, _read_checkpoint),
    "labels": Reader(("l.npz", "l.npy"), _labels, _read_labels),
    "inputs": Reader(("i.npz",), lambda rng, s: _array(rng, s, "fed"), lambda path: load_npz(path, [X])),
    "weight": Reader(("w.npy", "w.npz", "w.safetensors", "w.mtx", "w.csv", "w.txt"), _array, read_weight),
}


def attempt(reader: str, seed: int, folder: Path) -> str:
    """What a damaged file came to: 'read', or the name of an error of scission; raises what is neither."""
    rng, one = random.Random(f"{reader} {seed}"), READERS[reader]
    path = folder / one.names[seed % len(one.names)]
    path.write_bytes(one.make(rng, path.suffix))
    (folder / "data.npz").exists() or np.savez(folder / "data.npz", x=np.ones((6, 8), np.float32))
    try:
        one.read(path)
    except scission.ScissionError as error:
        str(error).encode("utf-8")
        return type(error).__name__
    return "read"
