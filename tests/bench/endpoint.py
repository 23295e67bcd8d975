"""A server in a process of its own, asked over real HTTP: by strangers, by many, for long.

    python tests/bench/endpoint.py [--only ROW …] [--requests N] [--seconds S] [--seed N] [--save]

strange: requests of which bytes, types, shapes, lengths and pieces are wrong; each is to be answered with a reason and
a status of 4xx, or with what it asks for where it is still right. overhead: of a request, over the model alone.
soak: what the memory of the server grows by under requests, right and wrong ones, for so many seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import onnx
from figures import Figure, at_most, bench_with, reported
from onnx import helper as h
from onnx import numpy_helper as nh

from scission.runtime.ort.session import open_session

ROWS = ("strange", "overhead", "soak")
WIDTH, ROWS_ASKED = 64, 8
WARM = 4000  # strange requests before those that count
PATH = "/v2/models/linear/infer"
ODD = ([], {}, None, True, -1, 1e300, "x", [[]], [{}], "￿", 2**70)


class Server(NamedTuple):
    """A `scission serve` that takes connections; pid: of the process that works."""

    host: str
    pid: int

    def ask(self, body: bytes, headers: dict[str, str]) -> int:
        """The status that a request is answered with."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", PATH, body, headers)
            reply = connection.getresponse()
            text = reply.read()
            if reply.status >= 400:
                assert json.loads(text)["error"], text
            return reply.status

    def memory(self) -> float:
        """MiB that the server holds now."""
        held = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert held
        return int(held[1]) / 1024


@contextlib.contextmanager
def serving(model: Path) -> Iterator[Server]:
    """A server of this model, which ends well."""
    line = [sys.executable, "-m", "scission", "serve", str(model), "--port", "0", "--body-mib", "4"]
    process = subprocess.Popen(
        line, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    assert process.stderr
    address = re.search(r"http://(\S+)", process.stderr.readline())
    assert address, process.stderr.read()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
    try:
        yield Server(address[1], int(children[0]))
    finally:
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
        drain.wait(30)


def linear(folder: Path) -> Path:
    """y = x W + b, with W of 64 x 64."""
    rng = np.random.default_rng(0)
    weights = {"W": rng.standard_normal((WIDTH, WIDTH)), "b": rng.standard_normal(WIDTH)}
    nodes = [h.make_node("MatMul", ["x", "W"], ["a"]), h.make_node("Add", ["a", "b"], ["y"])]
    value = [h.make_tensor_value_info(name, 1, ["n", WIDTH]) for name in "xy"]
    tensors = [nh.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = h.make_graph(nodes, "linear", value[:1], value[1:], tensors)
    path = folder / "linear.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


def right(rng: random.Random, binary: bool) -> tuple[bytes, dict[str, str]]:
    """A request that the model answers."""
    values = np.array([[rng.random() for _ in range(WIDTH)] for _ in range(ROWS_ASKED)], np.float32)
    told: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": [ROWS_ASKED, WIDTH]}
    rest = values.tobytes() if binary else b""
    told |= {"parameters": {"binary_data_size": len(rest)}} if binary else {"data": values.ravel().tolist()}
    text = json.dumps({"id": "r", "inputs": [told], "outputs": [{"name": "y"}]}).encode()
    return text + rest, {"Inference-Header-Content-Length": str(len(text))} if binary else {}


def bytes_changed(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """Bytes of a right request gone, doubled or others."""
    body, headers = right(rng, rng.random() < 0.5)
    data = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(min(len(data), 300))
        how = rng.randrange(3)
        data[place : place + rng.randint(1, 9)] = (b"", bytes([rng.randrange(256)]), data[place : place + 20])[how]
    return bytes(data), headers


def value_changed(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """One value of the JSON another one."""
    told = json.loads(right(rng, False)[0])
    place = rng.choice([told, told["inputs"][0], told["outputs"][0]])
    place[rng.choice(list(place))] = rng.choice(ODD)
    return json.dumps(told).encode(), {}


def length_wrong(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """A length of the JSON that is none."""
    body, _ = right(rng, True)
    return body, {"Inference-Header-Content-Length": rng.choice(["-1", "x", "9" * 30, "0", str(rng.randrange(5000))])}


def too_long(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """More than the server takes, as it is or unpacked."""
    return b" " * (rng.randint(5, 9) << 20), {}


def packed(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    """Said to be compressed, and it is not."""
    return right(rng, False)[0], {"Content-Encoding": rng.choice(["gzip", "deflate", "br", "\t", "gzip, gzip"])}


KINDS: Sequence[Callable[[random.Random], tuple[bytes, dict[str, str]]]] = (
    *(bytes_changed, bytes_changed, bytes_changed, value_changed, value_changed, value_changed),
    *(length_wrong, packed, too_long),
)


def raw(rng: random.Random, host: str) -> None:
    """Bytes that are no HTTP, or a request that ends before its end; whatever comes back, the server lives."""
    name, _, port = host.partition(":")
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{{".encode()
    chunk = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
    with socket.create_connection((name, int(port)), 5) as connection, contextlib.suppress(OSError):
        connection.sendall(rng.choice([head, chunk, rng.randbytes(200), b"GET " + b"a" * 100_000, b"\r\n\r\n"]))
        if rng.random() < 0.5:
            connection.settimeout(0.05)
            connection.recv(1000)


def strange(server: Server, count: int, seed: int) -> Iterator[Figure]:
    """Requests of strangers, of which a tenth are no HTTP at all."""
    wrong, answered, before = 0, 0, 0.0
    for number in range(-WARM, count):  # memory grows by what allocators keep until they have enough
        if number == 0:
            wrong, answered, before = 0, 0, server.memory()
        rng = random.Random(f"{seed} {number}")
        if number % 10 == 9:
            raw(rng, server.host)
            continue
        kind = rng.choice(KINDS)
        try:
            status = server.ask(*kind(rng))
        except (OSError, http.client.HTTPException, ValueError, AssertionError) as error:
            # the server may close a connection on which more comes than it takes
            status = 413 if kind is too_long and isinstance(error, OSError) else 0
            if not status:
                print(number, kind.__name__, repr(error))
        answered += 400 <= status < 500
        if not (400 <= status < 500 or status == 200):
            wrong += 1
            print(number, kind.__name__, status)
    lives = server.ask(*right(random.Random(seed), True)) == 200
    yield at_most("strange requests", f"of {count}, answered neither with a reason nor rightly", wrong, 0)
    yield reported("strange requests", "answered with 4xx", answered)
    yield at_most("strange requests", "the server does not live afterwards", int(not lives), 0)
    grown = 100 * (server.memory() / before - 1)
    yield at_most("strange requests", "growth of memory in percent", grown, 2)


def overhead(server: Server, model: Path) -> Iterator[Figure]:
    """Milliseconds of a request on a connection that stays, in turns with the model alone."""
    session, rng = open_session(model, provider="cpu", threads=1), random.Random(0)
    feeds = {"x": np.ones((ROWS_ASKED, WIDTH), np.float32)}
    connection, times = http.client.HTTPConnection(server.host, timeout=30), ([], [], [])  # type: ignore[var-annotated]
    with contextlib.closing(connection):
        bodies = [right(rng, binary) for binary in (True, False)]
        for number in range(300):
            for index, (body, headers) in enumerate(bodies):
                start = time.perf_counter()
                connection.request("POST", PATH, body, headers)
                connection.getresponse().read()
                times[index].append(time.perf_counter() - start)
            start = time.perf_counter()
            session.run(feeds)
            times[2].append(time.perf_counter() - start)
            if number == 20:
                for one in times:
                    one.clear()
    alone = median(times[2])
    for index, form in enumerate(("bytes", "JSON")):
        yield reported("a request", f"ms over the model alone, as {form}", 1e3 * (median(times[index]) - alone))


def soak(server: Server, seconds: float, seed: int) -> Iterator[Figure]:
    """Growth of memory, once a tenth of the time has passed."""
    rng, start, before, asked = random.Random(seed), time.monotonic(), 0.0, 0
    while (passed := time.monotonic() - start) < seconds:
        if not before and passed > seconds / 10:
            before = server.memory()
        kind = rng.choice([bytes_changed, value_changed])
        server.ask(*(right(rng, rng.random() < 0.5) if rng.random() < 0.9 else kind(rng)))
        asked += 1
    yield reported("soak", f"requests in {seconds:g} s", asked)
    yield at_most("soak", "growth of memory in percent", 100 * (server.memory() / before - 1), 2)


def figures(only: Sequence[str], requests: int, seconds: float, seed: int) -> Iterator[Figure]:
    """The figures of the rows that are asked for, as they come."""
    with tempfile.TemporaryDirectory() as folder:
        model = linear(Path(folder))
        with serving(model) as server:
            if "strange" in only:
                yield from strange(server, requests, seed)
            if "overhead" in only:
                yield from overhead(server, model)
            if "soak" in only:
                yield from soak(server, seconds, seed)


if __name__ == "__main__":
    sys.exit(
        bench_with(
            "endpoint",
            __doc__,
            ROWS,
            figures,
            requests={"type": int, "default": 1000},
            seconds={"type": float, "default": 300.0},
            seed={"type": int, "default": 0},
        )
    )
