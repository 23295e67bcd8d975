import http.server
import json
import threading

import onnx
import pytest
from onnx import helper as h
from served import listening
from small_models import graph

from scission.ir.errors import ScissionError
from scission.runtime.http.watch.asking import asked

GOOD = {"model": "m", "up": 1.0, "workers": 1, "running": 0, "waiting": 0, "statuses": {"200": 1}}
GOOD |= {"per_second": 1.0, "p50": 0.1, "p99": None, "cpu": 0.5, "parts": []}


@pytest.fixture
def answering():
    """A server that answers everything with one text, and a place for that text."""
    said = [b""]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port, said
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_is_asked(tmp_path):
    path = tmp_path / "sum.onnx"
    onnx.save(graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": [1, 2]}, 2, y=2), path)
    with listening(path) as client:
        client.infer({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]})
        client.infer(b"{")
        for address in (client.host, client.server.address, client.host.rpartition(":")[2]):
            status = asked(address)
            assert (status.model, status.statuses, status.running) == ("sum", {"200": 1, "400": 1}, 0)
        page = client.ask("GET", "/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("address", ["", "a b", "ftp://x", "x:99999999", "[", "http://"])
def test_what_is_no_address(address):
    with pytest.raises(ScissionError, match="address"):
        asked(address)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        json.dumps(GOOD | {"up": "1"}).encode(),
        json.dumps(GOOD | {"up": 10**400}).encode(),
        json.dumps(GOOD | {"p50": 1e999}).encode(),
        json.dumps(GOOD | {"running": True}).encode(),
        json.dumps(GOOD | {"model": 3}).encode(),
        json.dumps(GOOD | {"parts": [{}]}).encode(),
        json.dumps(GOOD | {"statuses": []}).encode(),
        json.dumps(GOOD | {"statuses": {"200": "x"}}).encode(),
    ],
)
def test_what_answers_is_another_server(answering, said):
    port, place = answering
    place[0] = said
    with pytest.raises(ScissionError, match=f"127.0.0.1:{port}: what answers is no `scission.serve`"):
        asked(str(port))
    place[0] = json.dumps(GOOD).encode()
    assert asked(str(port)).to_dict() == GOOD | {"parts": ()}


def test_nobody_answers():
    with pytest.raises(ScissionError, match="no server answers"):
        asked("127.0.0.1:1")
