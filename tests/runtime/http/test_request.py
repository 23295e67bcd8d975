import json
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.runtime.http.datatypes import NUMBERS, dtype_of, name_of
from scission.runtime.http.refusal import RefusalError
from scission.runtime.http.request import InferRequest, WantedOutput, read_request
from scission.runtime.http.response import HEADER_LENGTH, answer
from scission.runtime.ort.tensor_spec import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("n", 3))
K = TensorSpec(name="k", dtype="int64", shape=(2,))
T = TensorSpec(name="t", dtype="string", shape=("n",))
Y = TensorSpec(name="y", dtype="float32", shape=("n", 4))
Z = TensorSpec(name="z", dtype="float32", shape=("n", 4))
x = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3.5]}
k = {"name": "k", "datatype": "INT64", "shape": [2], "data": [1, 2]}


def read(told, rest=b"", inputs=(X,), outputs=(Y, Z)):
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return read_request(text + rest, len(text) if rest else None, inputs, outputs)


@pytest.mark.parametrize("data", [[1, 2, 3.5], [[1, 2, 3.5]]])
def test_data_come_flat_or_nested(data):
    feeds = read({"inputs": [{**x, "data": data}]}).feeds
    assert feeds["x"].dtype == np.float32
    assert np.array_equal(feeds["x"], [[1, 2, 3.5]])


@pytest.mark.parametrize(
    "told, says",
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "no JSON"),
        ([], "the request is no JSON object"),
        ({"inputs": {}}, "'inputs' is no list"),
        ({"inputs": [1]}, "an entry of 'inputs' is no JSON object"),
        ({}, "no value for 'x'"),
        ({"inputs": [x], "id": 7}, "the id is no text"),
        ({"inputs": [x, x]}, "given twice"),
        ({"inputs": [{**x, "name": "w"}]}, "there is no input 'w'; there are 'x'"),
        ({"inputs": [{**x, "name": ["x"]}]}, "there is no input"),
        ({"inputs": [{**x, "datatype": "FP64"}]}, "the datatype 'FP64'; the model takes FP32"),
        ({"inputs": [{**x, "shape": [3]}]}, "the model takes ['n', 3]"),
        ({"inputs": [{**x, "shape": [1, 4]}]}, "the model takes ['n', 3]"),
        ({"inputs": [{**x, "shape": [-1, 3]}]}, "its shape is no list of sizes"),
        ({"inputs": [{**x, "shape": [True, 3]}]}, "its shape is no list of sizes"),
        ({"inputs": [{**x, "shape": [2**31, 3]}]}, "its shape is no list of sizes"),
        ({"inputs": [{**x, "shape": [2, 3]}]}, "its data have not the shape [2, 3]"),
        ({"inputs": [{**x, "data": [[1, 2], [3]]}]}, "not the shape [1, 3]"),
        ({"inputs": [{**x, "data": ["1", "2", "3"]}]}, "not all of FP32"),
        ({"inputs": [{**x, "data": [True, False, True]}]}, "not all of FP32"),
        ({"inputs": [{**x, "data": [1, 2, None]}]}, "not all of FP32"),
        ({"inputs": [{**x, "data": [1, 2, 1e300]}]}, "too large for FP32"),
        ({"inputs": [{**x, "data": [1, 2, 10**400]}]}, "too large for FP32"),
        ({"inputs": [{**x, "data": [1, True, 2]}]}, "not all of FP32"),
        ({"inputs": [{**x, "data": [[1, 2, 3], [1, 2, 3]]}]}, "not the shape"),
        ({"inputs": [{**x, "data": [[1, 2, [3]]]}]}, "not all of FP32"),
        ({"inputs": [{**x, "data": [1, [2], 3]}]}, "not all of FP32"),
        ({"inputs": [{**x, "shape": [1] * 65}]}, "no tensor has the shape"),
        ({"inputs": [{**x, "shape": [0, *[2**31 - 1] * 3], "data": []}]}, "no tensor has the shape"),
        ({"inputs": [{**x, "data": "abc"}]}, "no list"),
        ({"inputs": [{**x, "parameters": []}]}, "'parameters' is no JSON object"),
        ({"inputs": [{**x, "parameters": {"binary_data_size": 12}}]}, "0 bytes are left"),
        ({"inputs": [{**x, "parameters": {"binary_data_size": -1}}]}, "binary_data_size is -1"),
        ({"inputs": [x], "outputs": [{"name": "x"}]}, "there is no output 'x'; there are 'y', 'z'"),
        ({"inputs": [x], "outputs": [{"name": "y"}, {"name": "y"}]}, "asked for twice"),
        ({"inputs": [x], "parameters": {"binary_data_output": 1}}, "neither true nor false"),
        ({"inputs": [x], "outputs": [{"name": "y", "parameters": {"classification": 1}}]}, "classification"),
    ],
)
def test_what_a_model_cannot_be_given_is_told(told, says):
    with pytest.raises(RefusalError) as caught:
        read(told)
    assert says in str(caught.value)
    assert caught.value.status == 400


def test_whole_numbers_are_taken_for_floats_however_large():
    feeds = read({"inputs": [{**x, "data": [10**20, 1, -(10**30)]}]}).feeds
    assert np.array_equal(feeds["x"], np.array([[1e20, 1, -1e30]], np.float32))


def test_nested_texts_take_no_room_before_they_are_counted():
    """Memory is asked for by the signature, not by the longest text."""
    wide = ["x" * 1000] + [""] * 20_000
    tracemalloc.start()
    with pytest.raises(RefusalError):
        read({"inputs": [{**x, "data": wide}]})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


@pytest.mark.parametrize("data", [[1.5, 2], [2**63, 1], [-(2**63) - 1, 1], [True, 1.0]])
def test_no_whole_number_becomes_another(data):
    with pytest.raises(RefusalError):
        read({"inputs": [{**k, "data": data}]}, inputs=(K,))


def test_outputs_in_the_order_asked_for():
    outputs = [{"name": "z"}, {"name": "y", "parameters": {"binary_data": True}}]
    asked = read({"inputs": [x], "outputs": outputs}).wanted
    assert asked == (WantedOutput("z", False), WantedOutput("y", True))
    assert [one.name for one in read({"inputs": [x]}).wanted] == ["y", "z"]


def test_bytes_that_follow_are_the_tensors_in_order():
    told = [
        {"name": "k", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}},
        {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}},
    ]
    values = np.array([4, -5]), np.array([[1, 2, 3]], np.float32)
    feeds = read({"inputs": told}, b"".join(one.tobytes() for one in values), inputs=(X, K)).feeds
    assert np.array_equal(feeds["k"], values[0])
    assert np.array_equal(feeds["x"], values[1])


@pytest.mark.parametrize("rest, says", [(b"\0" * 13, "follow"), (b"\0" * 11, "11 bytes are left")])
def test_bytes_are_neither_too_many_nor_too_few(rest, says):
    with pytest.raises(RefusalError, match=says):
        told = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
        read({"inputs": [told]}, rest)


@pytest.mark.parametrize(
    "rest",
    [
        b"\1\0\0\0a\1\0\0",
        b"\1\0\0\0a\5\0\0\0b",
        b"\1\0\0\0\xff\0\0\0\0",
        b"\1\0\0\0a\0\0\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_texts_are_whole(rest):
    told = {"name": "t", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(rest)}}
    with pytest.raises(RefusalError, match="input 't'"):
        read({"inputs": [told]}, rest, inputs=(T,))


@st.composite
def tensors(draw):
    kind = draw(st.sampled_from([*NUMBERS, "BYTES"]))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    if kind == "BYTES":
        text = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
        count = int(np.prod(shape))
        texts = np.empty(count, object)
        texts[:] = draw(st.lists(text, min_size=count, max_size=count))
        return kind, texts.reshape(shape)
    if kind == "BF16":
        return kind, draw(hnp.arrays(np.float32, shape)).astype(ml_dtypes.bfloat16)
    return kind, draw(hnp.arrays(dtype_of(kind), shape))


@given(tensors(), st.booleans())
def test_what_is_written_is_read(tensor, binary):
    """An answer is read as a request would be, by the oracle that nothing is lost between the two."""
    kind, array = tensor
    spec = TensorSpec(
        name="v",
        dtype=next(name for name in ("string", *(d.name for d in NUMBERS.values())) if name_of(name) == kind),
        shape=(None,) * array.ndim,
    )
    written = answer(InferRequest("i", {}, (WantedOutput("v", binary),)), {"v": array}, {"v": kind}, "m")
    length = written.headers.get(HEADER_LENGTH)
    told = json.loads(written.body[: None if length is None else int(length)])
    assert (told["model_name"], told["id"]) == ("m", "i")
    text = json.dumps({"inputs": told["outputs"]}).encode()
    rest = written.body[int(length) :] if length else b""
    again = read_request(text + rest, len(text) if length else None, (spec,), (spec,)).feeds["v"]
    assert again.dtype == (object if kind == "BYTES" else array.dtype)
    assert again.shape == array.shape
    wide = np.float32 if kind == "BF16" else again.dtype
    assert np.array_equal(again.astype(wide), array.astype(wide), equal_nan=kind.startswith(("FP", "BF")))
