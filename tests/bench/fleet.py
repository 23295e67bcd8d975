"""Parts as services: what a simulation says of them beside what is measured.

    python tests/bench/fleet.py [--only ROW …] [--seconds S] [--killing S] [--save]

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
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
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
ROUNDS = 5
PORT, PATH = 8231, "/v2/models/m/infer"  # of Ray's servers
CLIENTS = (1, 2, 4, 8)
TRIALS = scission.Trials(provider="cpu", threads=1)


def parts_in(home: Path, lanes: int = LANES, width: int = 256, seed: int = 0) -> Path:
    """Networks that were merged, cut again."""
    lane = Repeated(source="split", lanes=lanes, inputs=width, widths=(4 * width, width))
    onnx.save(repeated(np.random.default_rng(seed), lane).model, home / "m.onnx")
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


@contextlib.contextmanager
def on_ray(folder: Path, **options: Any) -> Iterator[Any]:
    """These parts on a cluster of this machine."""
    from scission.runtime.fleet.fleet import deployed

    with deployed(
        folder, scission.FleetOptions(**options), scission.ServeOptions(port=PORT, name="m"), TRIALS
    ) as fleet:
        yield fleet


def wave(folder: Path, activated: Sequence[int]) -> tuple[bytes, int]:
    """A request that activates these parts."""
    made = Requests(folder, scission.load_parts(folder, threads=1), TRIALS)
    return infer_request(made.manifest, made.of(activated))


def fanned(rounds: int = 300) -> Iterator[Figure]:
    """A request of 8 parts beside a bare echo."""
    from ray import serve

    class Echo:
        async def __call__(self, request: Any) -> bytes:
            return bytes(await request.body())

    with tempfile.TemporaryDirectory() as home:
        parts = parts_in(Path(home), 8, 16)
        body, head = wave(parts, range(8))
        with on_ray(parts) as fleet:
            serve.run(
                serve.deployment(Echo, ray_actor_options={"num_cpus": 0.01}).bind(), name="echo", route_prefix="/echo"
            )
            ways = {"fanned out": PATH, "echo": "/echo"}
            took: dict[str, list[float]] = {name: [] for name in ways}
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
            for turn in range(rounds + 20):
                for name, path in ways.items():
                    began = time.perf_counter()
                    assert ask(connection, path, body, head)[0] == 200
                    if turn >= 20:
                        took[name].append(time.perf_counter() - began)
            connection.close()
            assert len(fleet.replicas()) == 8
    echo, whole = (1e3 * median(took[name]) for name in ("echo", "fanned out"))
    yield reported("8 parts on Ray Serve", "p50 of a bare echo, ms", echo)
    yield reported("8 parts on Ray Serve", "p50 of a request of all parts, ms", whole)
    yield at_most("8 parts on Ray Serve", "p50 over that of the echo, ms", whole - echo, 10)


def ask(connection: http.client.HTTPConnection, path: str, body: bytes, head: int) -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection.request("POST", path, body, {"Inference-Header-Content-Length": str(head)})
    reply = connection.getresponse()
    return reply.status, reply.read()


def shared(count: int = 400) -> Iterator[Figure]:
    """Replicas by how often parts are called."""
    with tempfile.TemporaryDirectory() as home:
        parts = parts_in(Path(home), 4, 16)
        requests = [wave(parts, [one]) for one in range(4)]
        with on_ray(parts, replicas=17, growth=1.0, follow=None) as fleet:
            yield reported("replicas of 4 parts", "of the part called most, at first", fleet.replicas()["part0"])
            connection, calls = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60), [0] * 4
            for one in zipf(count, 4):
                calls[one] += 1
                assert ask(connection, PATH, *requests[one])[0] == 200
            connection.close()
            assert fleet.follow()
            end = time.monotonic() + 180
            while time.monotonic() < end and sum(fleet.replicas().values()) != 17:
                time.sleep(1)
            found = fleet.replicas()
    off = max(abs(found[f"part{one}"] / sum(found.values()) / (calls[one] / count) - 1) for one in range(4))
    for one in range(4):
        yield reported(
            "replicas of 4 parts", f"of the part with {calls[one] / count:.1%} of the calls", found[f"part{one}"]
        )
    yield at_most("replicas of 4 parts", "share of replicas off that of calls, percent at most", 100 * off, 20)


def killed(seconds: float) -> Iterator[Figure]:
    """Replicas that die and parts that are exchanged, under load."""
    with tempfile.TemporaryDirectory() as home:
        folders = []
        for seed in range(2):
            (Path(home) / str(seed)).mkdir()
            folders.append(parts_in(Path(home) / str(seed), 4, 16, seed))
        requests = [wave(folders[0], own) for own in ((0,), (1, 2), (0, 1, 2, 3), (3,))]
        known = [answers(folder, requests) for folder in folders]
        ended, found = threading.Event(), list[tuple[int, int, bytes]]()
        with on_ray(folders[0], replicas=8, follow=None) as fleet:
            threads = [threading.Thread(target=hammer, args=(requests, ended, found)) for _ in range(4)]
            for thread in threads:
                thread.start()
            rng, kills, began, loaded = random.Random(0), 0, time.monotonic(), False
            while time.monotonic() < began + seconds:
                time.sleep(3)
                victims = replica_pids()
                if victims:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                    kills += 1
                if not loaded and time.monotonic() > began + seconds / 3:
                    loading = threading.Thread(target=fleet.load, args=(folders[1],))
                    loading.start()
                    loaded = True
            loading.join()
            ended.set()
            for thread in threads:
                thread.join()
            number = fleet.generation.number
    lost = sum(status != 200 for status, _, _ in found)
    of = [sum(status == 200 and same(body, own[which]) for status, which, body in found) for own in known]
    yield reported("replicas that die", f"killed in {seconds:g} s", kills)
    yield reported("replicas that die", "requests", len(found))
    yield reported("replicas that die", "answered by the parts that came later", of[1])
    yield at_most("replicas that die", "requests lost", lost, 0)
    yield at_most("replicas that die", "wrong answers", len(found) - lost - sum(of), 0)
    yield at_most("replicas that die", "exchanges of parts that failed", int(number != 2), 0)


def hammer(requests: Sequence[tuple[bytes, int]], ended: threading.Event, found: list[tuple[int, int, bytes]]) -> None:
    """Ask until it is over: status, request and answer of each."""
    connection, number = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120), 0
    while not ended.is_set():
        number = (number + 1) % len(requests)
        try:
            status, body = ask(connection, PATH, *requests[number])
        except (OSError, http.client.HTTPException) as error:
            print(repr(error), flush=True)
            status, body = 0, b""
            connection.close()
        if status not in (0, 200):
            print(status, body[:300], flush=True)
        found.append((status, number, body))
    connection.close()


def answers(folder: Path, requests: Sequence[tuple[bytes, int]]) -> list[Any]:
    """What these parts answer, in this process."""
    parts = scission.load_parts(folder, threads=1)
    (value,) = parts.manifest.inputs
    found = []
    for body, head in requests:
        shape = json.loads(body[:head])["inputs"][0]["shape"]
        (made,) = parts.run({value.name: np.frombuffer(body[head:], np.float32).reshape(shape)}).values()
        found.append(made)
    return found


def same(body: bytes, expected: Any) -> bool:
    """Whether an answer, which ends with the bytes of its one output, is this one."""
    return bool(np.allclose(np.frombuffer(body[-expected.nbytes :], np.float32), expected.ravel(), atol=1e-4))


def replica_pids() -> list[int]:
    """Processes in which replicas of parts run, by the titles that Ray gives them."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if one.read_bytes().startswith(b"ray::ServeReplica:m-"):
                found.append(int(one.parent.name))
    return found


def figures(only: Sequence[str], seconds: float, killing: float) -> Iterator[Figure]:
    """The figures of the rows that are asked for."""
    if "simulated" in only:
        yield from simulated(seconds)
    if "fanned" in only:
        yield from fanned()
    if "shared" in only:
        yield from shared()
    if "killed" in only:
        yield from killed(killing)


if __name__ == "__main__":
    options = {name: {"type": float, "default": value} for name, value in (("seconds", 6.0), ("killing", 60.0))}
    sys.exit(bench_with("fleet", __doc__, ("simulated", "fanned", "shared", "killed"), figures, **options))
