import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import onnx
import pytest
from onnx import helper as h
from small_models import graph


def test_a_log_that_nobody_reads_is_no_reason_to_end(tmp_path):
    path = tmp_path / "sum.onnx"
    onnx.save(graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": [1, 2]}, 2, y=2), path)
    line = [sys.executable, "-m", "scission", "serve", str(path), "--port", "0"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
    address = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())[0]
    process.stderr.close()
    for _ in range(3):
        with urllib.request.urlopen(f"{address}/v2", timeout=30) as reply:
            assert reply.status == 200
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_end(tmp_path, number):
    path = tmp_path / "sum.onnx"
    onnx.save(graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": [1, 2]}, 2, y=2), path)
    line = [sys.executable, "-m", "scission", "serve", str(path), "--port", "0", "--name", "m"]
    process = subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's `&` takes away
    )
    told = process.stderr.readline()
    address = re.fullmatch(r"serving .*sum.onnx at (http://127\.0\.0\.1:\d+)\n", told)[1]
    asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]}

    def answered():
        with urllib.request.urlopen(f"{address}/v2/models/m/infer", json.dumps(asked).encode(), 30) as reply:
            return json.load(reply)["outputs"][0]["data"]

    assert answered() == [2, 3]
    name, port = address.removeprefix("http://").split(":")
    for _ in range(50):  # hang up before the answer is written
        with socket.create_connection((name, int(port))) as connection:
            connection.sendall(b"\r\n\r\n")
    assert answered() == [2, 3]
    os.killpg(process.pid, number)  # as a terminal does: to both processes, one of which sends it on
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert {json.loads(line)["status"] for line in rest.splitlines()} == {200}
    assert not list(tmp_path.glob("scission-*"))
