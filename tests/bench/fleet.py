"""Parts as services: what a simulation says of them beside what is measured.

    python tests/bench/fleet.py [--only ROW …] [--seconds S] [--save]

simulated: 16 networks of 256 -> 1024 -> 256 behind `scission serve`, asked by one to eight clients at once in processes
of their own, each request for one network by Zipf's law: requests a second and p50, measured over simulated. The
simulation knows service times that were measured with one client, right before and right after, and nothing of more
clients; of several rounds the medians are compared.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from figures import Figure, at_most, bench_with, reported

import scission
from scission.models.planted.branches import Repeated, repeated
from scission.runtime.serve.folder import read_manifest
from scission.runtime.simulate.measuring import Requests, infer_request

LANES = 16
ROUNDS = 3
CLIENTS = (1, 2, 4, 8)
TRIALS = scission.Trials(provider="cpu", threads=1)


def parts_in(home: Path, lanes: int = LANES) -> Path:
    """Networks that were merged, cut again."""
    lane = Repeated(source="split", lanes=lanes, inputs=256, widths=(1024, 256))
    onnx.save(repeated(np.random.default_rng(0), lane).model, home / "m.onnx")
    scission.partition(home / "m.onnx", home / "parts", trials=TRIALS)
    return home / "parts"


def zipf(count: int, among: int) -> list[int]:
    """Numbers below `among`, of which the first are drawn most."""
    shares = 1 / np.arange(1, among + 1)
    return [int(one) for one in np.random.default_rng(0).choice(among, size=count, p=shares / shares.sum())]


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """A server of these parts: host and port."""
    line = [sys.executable, "-m", "scission", "serve", str(folder), "--port", "0", "--threads", "1", *options]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(line, stderr=log)
        try:
            while True:
                log.seek(0)
                if found := re.search(r"http://(\S+)\n", log.read(4096)):
                    break
                assert process.poll() is None, log.read()
                time.sleep(0.02)
            yield found[1]
        finally:
            process.terminate()
            process.wait(60)


def client(
    host: str, path: str, requests: Sequence[tuple[bytes, int]], order: Sequence[int], seconds: float, out: Any
) -> None:
    """Ask one request after another for so long, and tell how long each took."""
    connection, took, end = http.client.HTTPConnection(host, timeout=60), [], time.perf_counter() + seconds
    for number in order:
        body, head = requests[number]
        began = time.perf_counter()
        connection.request("POST", path, body, {"Inference-Header-Content-Length": str(head)})
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200
        took.append(time.perf_counter() - began)
        if time.perf_counter() > end:
            break
    out.put(took)


def asked(host: str, path: str, requests: Sequence[tuple[bytes, int]], clients: int, seconds: float) -> list[float]:
    """Seconds of every request of so many clients, who ask for so long."""
    context = multiprocessing.get_context("fork")
    out, order = context.Queue(), zipf(200_000, len(requests))
    processes = [
        context.Process(target=client, args=(host, path, requests, order[7919 * one :], seconds, out))
        for one in range(clients)
    ]
    for process in processes:
        process.start()
    found = [took for _ in processes for took in out.get()]
    for process in processes:
        process.join()
    return found


def simulated(seconds: float) -> Iterator[Figure]:
    """What is measured over what is simulated."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        parts = parts_in(home)
        names = [part.name for part in read_manifest(parts).parts]
        trace = [{"at": 0.002 * at, "parts": [names[one]]} for at, one in enumerate(zipf(20_000, LANES))]
        (home / "trace.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in trace))
        made = Requests(parts, scission.load_parts(parts, threads=1), TRIALS)
        requests = [infer_request(made.manifest, made.of((one,))) for one in range(LANES)]
        measured: dict[tuple[int, str], list[float]] = {}
        predicted: dict[tuple[int, str], list[float]] = {}
        for _ in range(ROUNDS):
            found = scission.simulate(
                parts, home / "trace.jsonl", scission.SimulateOptions(seconds=seconds), trials=TRIALS
            )
            (home / "times.json").write_text(json.dumps(found.to_dict()))
            with serving(parts) as host:
                asked(host, "/v2/models/parts/infer", requests, 2, 0.5)
                for clients in CLIENTS:
                    took = asked(host, "/v2/models/parts/infer", requests, clients, seconds)
                    measured.setdefault((clients, "requests a second"), []).append(len(took) / seconds)
                    measured.setdefault((clients, "p50"), []).append(median(took))
            for clients in CLIENTS:
                options = scission.SimulateOptions(clients=clients, beside=True)
                found = scission.simulate(parts, home / "trace.jsonl", options, times=home / "times.json")
                predicted.setdefault((clients, "requests a second"), []).append(found.parts.per_second)
                predicted.setdefault((clients, "p50"), []).append(found.parts.p50)
        for (clients, what), seen in measured.items():
            expected = median(predicted[clients, what])
            row = f"{clients} clients at once" if clients > 1 else "1 client"
            yield reported(row, f"{what}, measured over simulated", median(seen) / expected)
            yield at_most(row, f"{what}, off by percent", 100 * abs(median(seen) / expected - 1), 20)


def figures(only: Sequence[str], seconds: float) -> Iterator[Figure]:
    """The figures of the rows that are asked for."""
    if "simulated" in only:
        yield from simulated(seconds)


if __name__ == "__main__":
    sys.exit(bench_with("fleet", __doc__, ("simulated",), figures, seconds={"type": float, "default": 6.0}))
