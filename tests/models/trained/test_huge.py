import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from scission.ir.plan.plan import PlanError
from scission.models.trained import huge

WIDTH = 48


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("huge") / "huge.onnx"
    return path, huge.build(np.random.default_rng(0), path, gib=7 * 4 * WIDTH**2 / 2**30, width=WIDTH)


def test_exactly_the_middle_weight_splits(built):
    path, truth = built
    assert list(truth) == ["layer3"]
    weights = [numpy_helper.to_array(tensor).copy() for tensor in onnx.load(path).graph.initializer]
    assert len(weights) == 7
    W = weights.pop(3)
    assert all((other != 0).all() for other in weights)
    assert len({other.tobytes() for other in weights}) == 6
    assert [b.shape for b in truth["layer3"].blocks] == [(3, 3)] * 16
    for block in truth["layer3"].blocks:
        assert (W[np.ix_(block.inputs, block.outputs)] != 0).all()
        W[np.ix_(block.inputs, block.outputs)] = 0
    assert not W.any()


def test_the_data_lies_beside_the_model(built):
    path, _ = built
    data = path.with_name("huge.onnx.data")
    assert data.stat().st_size == 7 * 4 * WIDTH**2
    assert path.stat().st_size < 4000
    model = onnx.load(path, load_external_data=False)
    assert all(tensor.external_data[0].value == data.name for tensor in model.graph.initializer)


def test_it_runs_and_values_neither_vanish_nor_grow(built):
    path, _ = built
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((50, WIDTH)).astype(np.float32)
    assert 0.05 < session.run(None, {"x": x})[0].std() < 5


def test_a_width_below_the_number_of_blocks_is_refused(tmp_path):
    with pytest.raises(PlanError):
        huge.build(np.random.default_rng(0), tmp_path / "m.onnx", gib=0, width=8)
