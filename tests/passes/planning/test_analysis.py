import numpy as np
import onnx
import oracles
import pytest
import torch

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.planning.analysis import analyse, analyse_linear, analyse_on, key_of


def test_a_weight_of_blocks_has_blocks_and_no_covers():
    W, truth = weight(np.random.default_rng(0), [(3, 4), (5, 2)])
    found = analyse(W)
    blocks = sorted(found.decomposition.blocks, key=lambda b: b.outputs[0])
    assert blocks == list(truth.blocks) and not found.covers and found.sha256 == fingerprint(W)


def test_a_triangle_has_a_cover_and_a_dense_weight_has_nothing():
    triangle = analyse(np.tril(np.ones((40, 40))))
    assert len(triangle.decomposition.blocks) == 1 and len(triangle.covers[0].blocks) > 1 and triangle.sha256
    dense = analyse(np.ones((40, 40)))
    assert not dense.covers and dense.sha256 is None


def test_the_fingerprint_is_that_of_the_stored_weight():
    stored = np.kron(np.eye(2), np.ones((2, 3))).astype(np.float32)
    assert analyse(stored.T, stored=stored).sha256 == fingerprint(stored) != analyse(stored.T).sha256


def test_a_device_finds_the_same_and_passes_over_what_cannot_be_read(tmp_path):
    rng = np.random.default_rng(0)
    W = [weight(rng, [(3, 4), (5, 2)])[0], np.triu(np.ones((8, 6), np.float32)), np.ones((6, 9), np.float32)]
    nodes = [("MatMul", ["x", "W0"], ["a"]), ("MatMul", ["a", "S"], ["b"]), ("Gemm", ["b", "W2"], ["y"])]
    model = oracles.graph(
        [*nodes[:2], nodes[2]], {"x": ["m", 8]}, {"y": ["m", 9]}, {"W0": W[0], "S": W[1][:6], "W2": W[2]}
    )
    onnx.checker.check_model(model)
    found = survey(load(model).graph)
    linears = {key_of(linear): linear for linear in found.linears}
    got = {key: analysis for key, _, analysis in analyse_on(torch.device("cpu"), found.linears, found.constants)}
    assert got.keys() == linears.keys()
    for key, linear in linears.items():
        want = analyse_linear(linear, found.constants)
        assert got[key].sha256 == want.sha256 and got[key].decomposition == want.decomposition
        np.testing.assert_array_equal(got[key].components.inputs, want.components.inputs)

    class Unreadable:
        def read(self, value):
            raise MemoryError

    with pytest.raises(MemoryError):
        found.linears[0].canonical(Unreadable())
    assert list(analyse_on(torch.device("cpu"), found.linears, Unreadable())) == []
