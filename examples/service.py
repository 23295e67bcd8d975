"""Four networks merged into one model, cut into parts, and served over HTTP: a request of one costs one.

python examples/service.py [FOLDER]
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from folder import folder

import scission
from scission.models.planted import ffn

WIDTH = 64


@contextmanager
def served(parts: Path) -> Iterator[str]:
    """A server of these parts on a free port of this machine, ready; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "scission", "serve", str(parts), "--port", str(port), "--quiet"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not ready(f"http://127.0.0.1:{port}/v2/health/ready"):
            assert server.poll() is None, "the server ended by itself"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def ready(address: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def ask(address: str, x: np.ndarray) -> np.ndarray:
    """The outputs for these rows."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/v2/models/parts/infer", body)) as answer:
        (output,) = json.load(answer)["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def main(here: Path) -> None:
    """Cut, serve, ask, and hold the answer against the parts in this process."""
    onnx.save(ffn.build(np.random.default_rng(0), d=WIDTH, hidden=4 * WIDTH, blocks=4).model, here / "model.onnx")
    cut = scission.partition(here / "model.onnx", here / "parts", overwrite=True)
    x = np.random.default_rng(1).standard_normal((3, WIDTH)).astype(np.float32)
    expected = scission.load_parts(here / "parts").run({"x": x})
    with served(here / "parts") as address:
        answer = ask(address, x)
    assert all(np.allclose(answer, one, rtol=1e-5, atol=1e-6) for one in expected.values())
    print(f"{len(cut.manifest.parts)} parts answered {answer.shape[0]} rows as they do in one process")


if __name__ == "__main__":
    main(folder(sys.argv))
