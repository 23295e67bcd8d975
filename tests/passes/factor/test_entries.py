"""What a few entries of weights tell, which are read once and where the weight lies."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from factored import fourier, hadamard, product_model
from random_convolutions import Grown

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.io.tensors import MappedFiles
from scission.passes.factor.entries import Entries, Told, is_dense, may_split

ORDINARY = np.random.default_rng(0).standard_normal((128, 96)).astype(np.float32)
BLOCKS = np.kron(np.eye(8), hadamard(16)).astype(np.float32)
CIRCULANT = ORDINARY[0][(np.arange(96)[:, None] - np.arange(96)) % 96]


def linear_of(model):
    (linear,) = view(load(model).graph).found.linears
    return linear


@pytest.mark.parametrize(
    ("weight", "told"),
    [
        (ORDINARY, Told(splits=False, zeros=False)),
        (np.where(ORDINARY > 1.5, ORDINARY, 0), Told(splits=True, zeros=True)),
        (fourier(64), Told(splits=True, zeros=False)),
        (CIRCULANT, Told(splits=True, zeros=False)),
        (BLOCKS, Told(splits=True, zeros=True)),
    ],
)
def test_what_entries_tell_is_what_all_of_a_weight_allows(weight, told):
    assert Entries().told(linear_of(product_model(weight))) == told
    assert may_split(weight) == told.splits or weight is CIRCULANT
    assert is_dense(weight) != told.zeros


def test_a_weight_is_read_once_in_its_file_and_the_same_turned(tmp_path, monkeypatch):
    read = []
    whole = MappedFiles.array
    monkeypatch.setattr(MappedFiles, "array", lambda *given: (read.append(1), whole(*given))[1])
    made = Grown(0)
    made.inputs["x"], made.feeds["x"] = ["n", 128], np.zeros(1, np.float32)
    turned = made.op("Transpose", made.constant(np.ascontiguousarray(ORDINARY.T)), perm=[1, 0])
    whole_model, path = made.model(made.op("MatMul", "x", turned)), tmp_path / "m.onnx"
    onnx.save(whole_model, path, save_as_external_data=True, location="w", size_threshold=0)
    linear, other, entries = linear_of(path), linear_of(path), Entries()
    assert [entries.told(linear) for _ in range(3)] == [Told(splits=False, zeros=False)] * 3 and len(read) == 1
    (tmp_path / "w").unlink()
    assert Entries().told(other) is None
    assert entries.told(linear) is not None


def test_what_is_computed_is_not_told_by_entries():
    made = Grown(0)
    made.inputs["x"], made.feeds["x"] = ["n", 128], np.zeros(1, np.float32)
    computed = made.op("Mul", made.constant(ORDINARY), made.constant(np.float32(2)))
    linear = linear_of(made.model(made.op("MatMul", "x", computed)))
    assert Entries().told(linear) == Told(splits=True, zeros=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("entry", [np.inf, np.nan, 3e38])
@pytest.mark.parametrize("weight", [ORDINARY, fourier(64)])
def test_nothing_is_warned_of_what_is_not_finite(entry, weight):
    rows = np.arange(len(weight))[:, None] % 3
    for told in (np.full_like(weight, entry), np.where(rows == 0, entry, weight), np.where(rows == 0, entry, rows - 1)):
        model = product_model(np.broadcast_to(told, weight.shape).astype(np.float32))
        assert Entries().told(linear_of(model)) is not None
