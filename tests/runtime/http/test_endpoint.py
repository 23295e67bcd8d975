import gzip
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from onnx import TensorProto
from onnx import helper as h
from served import listening
from small_models import graph

from scission.ir.errors import ScissionError
from scission.runtime.http.options import ServeOptions
from scission.runtime.http.serving import serving
from scission.runtime.ort.trials import Trials

W = np.arange(12, dtype=np.float32).reshape(3, 4)
x = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "linear.onnx"
    onnx.save(graph([h.make_node("MatMul", ["x", "W"], ["y"])], {"W": W}, 3, y=4), path)
    return path


@pytest.fixture(scope="module")
def client(linear):
    with listening(linear, body_mib=1) as client:
        yield client


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """y = x after a loop of as many rounds as `n` says."""
    body = h.make_graph(
        [h.make_node("Identity", ["c"], ["d"]), h.make_node("Sin", ["v"], ["w"])],
        "body",
        [h.make_tensor_value_info(*one) for one in (("i", 7, []), ("c", 9, []), ("v", 1, [3]))],
        [h.make_tensor_value_info(*one) for one in (("d", 9, []), ("w", 1, [3]))],
    )
    whole = h.make_graph(
        [h.make_node("Loop", ["n", "", "x"], ["y"], body=body)],
        "g",
        [h.make_tensor_value_info("n", 7, []), h.make_tensor_value_info("x", 1, [3])],
        [h.make_tensor_value_info("y", 1, [3])],
    )
    path = tmp_path_factory.mktemp("served") / "endless.onnx"
    onnx.save(h.make_model(whole, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def rounds(count):
    loops = {"name": "n", "datatype": "INT64", "shape": [], "data": [count]}
    return {"inputs": [loops, {"name": "x", "datatype": "FP32", "shape": [3], "data": [0, 0, 0]}]}


def gauge(client, name):
    metrics = client.server.service.metrics
    return metrics.registry.get_sample_value(f"scission_{name}", {"model": client.server.service.name})


def test_health_and_metadata(client):
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/linear/ready",
        "/v2/models/linear/versions/1/ready",
    ):
        assert client.ask("GET", path).status == 200
    assert client.ask("GET", "/v2").told["name"] == "scission"
    assert client.ask("GET", "/v2/models/linear").told["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
    ]


def test_json(client):
    reply = client.infer({"id": "a", "inputs": [x]})
    assert reply.status == 200
    assert reply.told == {
        "model_name": "linear",
        "model_version": "1",
        "id": "a",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [32, 38, 44, 50]}],
    }


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packed", ["gzip", "deflate", None])
def test_the_client_of_triton(client, binary, packed):
    array = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    other = triton.InferenceServerClient(client.host)
    given, wanted = triton.InferInput("x", [5, 3], "FP32"), triton.InferRequestedOutput("y", binary_data=binary)
    given.set_data_from_numpy(array, binary_data=binary)
    reply = other.infer("linear", [given], outputs=[wanted], request_compression_algorithm=packed)
    assert np.allclose(reply.as_numpy("y"), array @ W, atol=1e-5)
    assert other.is_model_ready("linear")
    assert other.get_model_metadata("linear")["platform"] == "onnx_onnxv1"
    other.close()


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/models/linear/versions/2", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/linear/infer", 405),
        ("DELETE", "/v2", 405),
    ],
)
def test_what_is_not_there(client, method, path, status):
    reply = client.ask(method, path, b"{}" if method == "POST" else None)
    assert reply.status == status
    assert reply.told["error"]


@pytest.mark.parametrize(
    "body, headers, status",
    [
        (b"{", {}, 400),
        (b"{}", {"Inference-Header-Content-Length": "3"}, 400),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, 400),
        (b"{}", {"Inference-Header-Content-Length": "x"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b" " * (2 << 20)), {"Content-Encoding": "gzip"}, 413),
        (b" " * (2 << 20), {}, 413),
        (b" " * (300 << 10), {}, 413),
    ],
)
def test_a_body_that_is_none(client, body, headers, status):
    reply = client.infer(body, headers)
    assert reply.status == status
    assert reply.told["error"]
    assert client.infer({"inputs": [x]}).status == 200


def test_a_body_of_unknown_length_ends_at_the_limit(client):
    connection = http.client.HTTPConnection(client.host, timeout=30)
    pieces = (b" " * (1 << 16) for _ in range(64))
    connection.request("POST", "/v2/models/linear/infer", pieces, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_what_is_logged_and_counted(client):
    client.infer(b"{")
    last = client.log[-1]
    assert (last["method"], last["path"], last["status"]) == ("POST", "/v2/models/linear/infer", 400)
    assert "JSON" in last["error"]
    json.dumps(last)
    text = client.ask("GET", "/metrics").body.decode()
    assert 'scission_requests_total{model="linear",status="400"}' in text
    assert 'scission_run_seconds_count{model="linear"}' in text


def test_a_request_that_takes_too_long_is_ended(endless):
    with listening(endless, deadline=0.2, workers=1, queue=0) as client:
        reply = client.infer(rounds(10**12))
        assert reply.status == 504
        for _ in range(100):  # its worker is free as soon as the model has noticed
            if client.infer(rounds(1)).status == 200:
                return
            time.sleep(0.05)
        raise AssertionError("the model still runs")


def test_the_one_too_many_is_to_come_again(endless):
    with listening(endless, workers=1, queue=1, deadline=1.0) as client, ThreadPoolExecutor(2) as others:
        long = [others.submit(client.infer, rounds(10**12)) for _ in range(2)]
        while not gauge(client, "waiting"):
            time.sleep(0.01)
        reply = client.infer(rounds(1))
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert [one.result().status for one in long] == [504, 504]


def test_a_client_that_goes_ends_what_it_asked_for(endless):
    with listening(endless, workers=1, queue=0) as client:
        gone = http.client.HTTPConnection(client.host, timeout=30)
        gone.request("POST", "/v2/models/endless/infer", json.dumps(rounds(10**12)))
        while not gauge(client, "running"):
            time.sleep(0.01)
        gone.close()
        for _ in range(200):
            if client.infer(rounds(1)).status == 200:
                return
            time.sleep(0.02)
        raise AssertionError("the model still runs")


def test_many_at_once_get_each_its_own(client):
    def asked(seed):
        data = np.random.default_rng(seed).integers(-9, 9, (2, 3))
        told = client.infer({"inputs": [{**x, "shape": [2, 3], "data": data.ravel().tolist()}]})
        if told.status == 503:
            return asked(seed)
        return np.array_equal(np.reshape(told.told["outputs"][0]["data"], (2, 4)), data @ W)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(asked, range(64)))


def test_what_the_model_cannot_run_is_told(tmp_path):
    sized = graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": W}, 4, y=4)
    path = tmp_path / "sum.onnx"
    onnx.save(sized, path)
    with listening(path) as client:
        reply = client.infer({"inputs": [{**x, "shape": [2, 4], "data": [0] * 8}]})
        assert reply.status == 422
        assert client.infer({"inputs": [{**x, "shape": [3, 4], "data": [0] * 12}]}).status == 200


def test_a_model_without_a_protocol_is_refused(tmp_path):
    given = h.make_tensor_sequence_value_info("s", 1, None)
    node = h.make_node("SequenceLength", ["s"], ["n"])
    whole = h.make_graph([node], "g", [given], [h.make_tensor_value_info("n", TensorProto.INT64, [])])
    path = tmp_path / "sequence.onnx"
    onnx.save(h.make_model(whole, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    options = ServeOptions(port=0)
    with (
        pytest.raises(ScissionError, match="no type for the input 's'"),
        serving(path, options, Trials(), lambda _: None),
    ):
        pass


def test_a_port_that_is_taken_is_told(linear, client):
    port = int(client.host.rpartition(":")[2])
    with (
        pytest.raises(ScissionError, match=f"port {port} of 127.0.0.1"),
        serving(linear, ServeOptions(port=port), Trials(), lambda _: None),
    ):
        pass


def test_requests_that_came_are_answered_before_the_end(endless):
    with listening(endless, deadline=30.0) as client, ThreadPoolExecutor(1) as others:
        started = threading.Event()

        def ask():
            started.set()
            return client.infer(rounds(100_000))

        pending = others.submit(ask)
        started.wait()
        while not gauge(client, "running"):
            if pending.done():
                break
            time.sleep(0.001)
    assert pending.result().status == 200
