"""Checkpoints for tests: weights, the models that hold them, files, and what is found in these."""

import numpy as np
import onnx
import oracles
import pytest

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.runtime.calibrate.checkpoint import read_initial

RNG = np.random.default_rng(0)
# Trained canonical weights (K, N), and the initial ones they are near to.
SHAPES = {"encoder.0.fc": (6, 10), "encoder.0.out": (10, 6), "encoder.1.fc": (6, 6), "head": (6, 3)}
INITIAL = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
TRAINED = {name: (w + 0.1 * RNG.standard_normal(w.shape)).astype(np.float32) for name, w in INITIAL.items()}
STATE = {f"{name}.weight": np.ascontiguousarray(w.T) for name, w in INITIAL.items()}  # as PyTorch holds them


def chain(weights, name="{}.weight", node="/{}/MatMul"):
    """MatMuls one after the other; `name` and `node` tell what weights and nodes are called ({} or #, a number)."""
    spelt = {key: [text.format(key).replace("#", str(i)) for text in (name, node)] for i, key in enumerate(weights)}
    nodes = [
        ("MatMul", [f"x{i}", spelt[key][0]], [f"x{i + 1}"], {"name": spelt[key][1]}) for i, key in enumerate(weights)
    ]
    arrays = list(weights.values())
    ends = {"x0": ["m", arrays[0].shape[0]]}, {f"x{len(arrays)}": ["m", arrays[-1].shape[1]]}
    return oracles.graph(nodes, *ends, {spelt[key][0]: np.ascontiguousarray(w) for key, w in weights.items()})


def matched(path, model):
    found = survey(load(model).graph)
    return read_initial(path, found.linears, found.constants)


def addresses(model):
    return [linear.address for linear in survey(load(model).graph).linears]


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    return path


def same(found, expected=INITIAL):
    """Whether every initial weight was found, to the bit and in canonical orientation."""
    assert found.mismatches == () and len(found.initial) == len(expected)
    for w, w0 in zip(found.initial.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(w, w0)
    return True


def onnx_file(path, model):
    onnx.save(model, path)
    return path
