import numpy as np
import pytest
from onnx import helper

from scission.runtime.ort.prepared import prepare
from scission.runtime.ort.session import open_session


@pytest.fixture(scope="module")
def session():
    x, y = (helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return open_session(model.SerializeToString(), threads=1)


def test_a_call_reads_and_writes_its_own_memory(session):
    x = np.ones((3, 2), np.float32)
    ready = prepare(session, {"x": x}, {"y": x})
    for number in (1, 2):
        ready.inputs["x"][...] = number
        ready(None)
        assert (ready.outputs["y"] == -number).all()


@pytest.mark.parametrize("array", [np.empty((0, 2), np.float32), np.array([["a", "b"]], object)])
def test_what_cannot_be_shared_is_not_prepared(session, array):
    assert prepare(session, {"x": array}, {"y": array}) is None
