import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from sklearn.datasets import load_digits

from scission.models.networks import ensemble

NETWORKS = 3


@pytest.fixture(scope="module")
def bag():
    return ensemble.train(np.random.default_rng(0), NETWORKS, hidden=(24, 16), epochs=25)


@pytest.fixture(scope="module")
def planted(bag):
    return ensemble.merge(np.random.default_rng(1), bag)


def test_it_averages_the_networks(planted, bag):
    x = (load_digits().data[:100] / 16).astype(np.float32)
    session = onnxruntime.InferenceSession(planted.model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.mean([network.predict_proba(x) for network in bag], axis=0)
    assert np.abs(session.run(["probabilities"], {"x": x})[0] - expected).max() <= 1e-6


def test_the_networks_learned_and_differ(bag):
    assert ensemble.accuracy(bag) > 0.8
    assert not np.array_equal(bag[0].coefs_[1], bag[1].coefs_[1])


def test_layers_two_and_three_hold_one_dense_block_per_network(planted):
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in planted.model.graph.initializer}
    assert set(planted.truth) == {"layer2", "layer3"}
    assert (weights["W1"] != 0).all()
    for name, shape in (("layer2", (24, 16)), ("layer3", (16, 10))):
        W, truth = weights[f"W{name[-1]}"].copy(), planted.truth[name]
        assert W.shape == truth.shape and [b.shape for b in truth.blocks] == [shape] * NETWORKS
        for block in truth.blocks:
            assert (W[np.ix_(block.inputs, block.outputs)] != 0).all()
            W[np.ix_(block.inputs, block.outputs)] = 0
        assert not W.any()


def test_hidden_units_are_shuffled_across_networks_and_classes_are_not(planted):
    assert all(
        np.ptp(b.inputs) >= b.inputs.size and np.ptp(b.outputs) >= b.outputs.size
        for b in planted.truth["layer2"].blocks
    )
    assert [b.outputs[0] for b in planted.truth["layer3"].blocks] == [0, 10, 20]
    owners2, owners3 = (
        {b.outputs.tobytes() if name == "layer2" else b.inputs.tobytes() for b in planted.truth[name].blocks}
        for name in ("layer2", "layer3")
    )
    assert owners2 == owners3


def test_nodes_are_as_exporters_write_them(planted):
    onnx.checker.check_model(planted.model, full_check=True)
    operators = [node.op_type for node in planted.model.graph.node]
    assert operators == ["MatMul", "Add", "Relu", "MatMul", "Add", "Relu", "Gemm", "Reshape", "Softmax", "ReduceMean"]


def test_build_is_reproducible():
    first, second = (
        ensemble.build(np.random.default_rng(5), networks=2, hidden=(4, 3), epochs=1).model for _ in range(2)
    )
    assert first == second
