import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.diff.tensor_identity import CROWD, Contents, raw

BIG = 10_000


def tensors(*arrays):
    return [ir.tensor(array, name="t") for array in arrays]


@pytest.mark.parametrize("size", [1, 7, BIG])
def test_numbers_are_equal_exactly_when_everything_is(size):
    array = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    other, flat, kind = array.copy(), array.reshape(1, -1), array.view(np.int32)
    other[-1] += 1
    contents = Contents()
    numbers = [contents.of(tensor) for tensor in tensors(array, array.copy(), other, flat, kind)]
    assert numbers[0] == numbers[1] and len(set(numbers)) == 4


def test_many_that_look_alike_are_told_apart():
    arrays = [np.zeros(BIG, np.float32) for _ in range(3 * CROWD)]
    for index, array in enumerate(arrays):
        array[1 + index // 2] = 1  # where no sample is taken
    contents = Contents()
    numbers = [contents.of(tensor) for tensor in tensors(*arrays)]
    assert numbers == [contents.of(tensor) for tensor in tensors(*arrays)]
    assert all((a == b) is (i // 2 == j // 2) for i, a in enumerate(numbers) for j, b in enumerate(numbers))


def test_texts_and_small_types():
    contents = Contents()
    a, b, c = (ir.StringTensor(text, shape=ir.Shape([1]), name="s") for text in ([b"a"], [b"b"], [b"a"]))
    assert contents.of(a) == contents.of(c) != contents.of(b)


def test_a_file_that_went_away_is_named(tmp_path):
    tensor = numpy_helper.from_array(np.ones(BIG, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    graph.output.append(helper.make_tensor_value_info("y", 1, [BIG]))
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    held = load(tmp_path / "m.onnx").graph.graph.initializers["w"].const_value
    assert raw(held).size == 4 * BIG
    (tmp_path / "m.onnx").unlink()
    with pytest.raises(ModelError, match=r"m\.onnx: weight 'w' cannot be read"):
        raw(held)
