"""Service times measured here: calls of parts as a trace asks for them, and what a server of them does besides.

Parts run in this process one request after another, in the trace's order, so that caches hold what they would hold.
Then a server of its own process answers the same requests over HTTP: the seconds that the processor spent on it, less
those that the same calls took here, are what it does besides, and those that it spent here are the client's. What the
server itself says of its parts would not do: there a call also waits for Python's lock, and whatever is taken off but
not simulated with the calls is work that is lost.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError
from ...ir.io.load import load
from ...ir.parts.activation import OffWord
from ...ir.parts.manifest import Manifest
from ...ir.phase import phase
from ..compare.feeds import bench_feeds
from ..http.datatypes import name_of
from ..http.watch.asking import asked
from ..ort.library import Foreign
from ..ort.session import open_session
from ..ort.trials import Trials
from ..serve.awaited import Awaited, Runs
from ..serve.local import LocalParts, load_parts
from ..serve.part_runs import PartRun
from ..serve.windows import Window
from .times import ServiceTimes
from .trace import Trace

__all__ = ["Requests", "infer_request", "measured"]

Feed = dict[str, Any]

SERVER = """
import json, pathlib, sys, scission
folder, provider, threads, libraries = json.loads(sys.argv[1])
trials = scission.Trials(provider=provider, threads=threads, custom_ops=tuple(map(pathlib.Path, libraries)))
scission.serve(folder, scission.ServeOptions(port=0), trials=trials, ready=lambda address: print(address, flush=True))
"""

WARM = 20  # requests before those that count
WHOLE = 30  # runs of all parts, or of the model that is not cut
KEPT = 4096  # seconds that are kept of each part


@phase("measure")
def measured(
    folder: Path,
    manifest: Manifest,
    trace: Trace,
    trials: Trials,
    seconds: float,
    original: str | os.PathLike[str] | None = None,
) -> ServiceTimes:
    """Measure the parts of a folder with the requests of a trace, for some seconds.

    Raises SessionError or InputError for parts that cannot be run on random inputs, and ScissionError where the server
    does not come up.
    """
    options: dict[str, Any] = {
        "provider": trials.provider,
        "threads": trials.threads,
        "custom_ops": trials.custom_ops,
    }
    parts = load_parts(folder, **options)
    requests = Requests(folder, parts, trials)
    seen, spent = _of_parts(parts, requests, trace, seconds / 3)
    whole = _of_whole(parts, requests, seconds / 3, original, options)
    front, client, wait = _of_server(folder, requests, trace, trials, seconds / 3, spent)
    return ServiceTimes(plan=manifest.plan, front=front, client=client, wait=wait, parts=seen, whole=whole)


class Requests:
    """Inputs of the model that activate some parts and no others."""

    def __init__(self, folder: Path, parts: LocalParts, trials: Trials) -> None:
        self.manifest = parts.manifest
        own = replace(trials, inputs=None)
        self.fed = [
            bench_feeds((folder / part.model,), load(folder / part.model), own, (1,))[0] for part in self.manifest.parts
        ]
        given = {value.name: value for value in self.manifest.inputs}
        self.resting: Feed = {}
        for part, feed in zip(self.manifest.parts, self.fed, strict=True):
            for share in part.reads:
                if share.value in given and share.value not in self.resting:
                    shape = list(np.shape(feed[share.value]))
                    for axis, size in share.size.items():
                        shape[axis] = size
                    dtype = np.asarray(feed[share.value]).dtype
                    off = (parts.off or {}).get(share.value, 0.0)
                    self.resting[share.value] = np.full(shape, 0 if isinstance(off, OffWord) else off, dtype)

    def of(self, activated: Sequence[int]) -> Feed:
        """The inputs of a request that activates these parts."""
        made = dict(self.resting)
        for place in activated:
            for share in self.manifest.parts[place].reads:
                if share.value in made:
                    if made[share.value] is self.resting[share.value]:
                        made[share.value] = made[share.value].copy()
                    whole = made[share.value]
                    whole[share.where(whole.ndim) if whole.ndim else ()] = self.fed[place][share.value]
        return made


@dataclass(frozen=True, slots=True, eq=False)
class _Timed:
    """The runs of a part; took, spent: the seconds of each, and those of all threads of this process in it."""

    runs: Runs
    took: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.runs.name

    @property
    def reads(self) -> tuple[Window, ...]:
        return self.runs.reads

    @property
    def writes(self) -> tuple[Window, ...]:
        return self.runs.writes

    def run(self, fed: Mapping[str, npt.NDArray[Any]], how: Foreign) -> PartRun | Awaited:
        processor, began = time.process_time(), time.perf_counter()
        found = self.runs.run(fed, how)
        if len(self.took) < KEPT:
            self.took.append(time.perf_counter() - began)
            self.spent.append(time.process_time() - processor)
        return found


def _of_parts(
    parts: LocalParts, requests: Requests, trace: Trace, seconds: float
) -> tuple[tuple[tuple[float, ...], ...], list[float]]:
    """Seconds of calls of each part, in the order of the trace, each part at least a few times; and of the processor
    in one of them on average."""
    every: list[tuple[int, ...]] = [(index,) for index in range(len(parts.runs))]
    for activated in every:
        parts.run(requests.of(activated))
    timed = tuple(map(_Timed, parts.runs))
    watched = replace(parts, runs=timed)
    end = time.perf_counter() + seconds
    for activated in itertools.chain(every * 3, itertools.cycle(trace.parts)):
        watched.run(requests.of(activated))
        if time.perf_counter() > end and all(one.took for one in timed):
            break
    return tuple(tuple(one.took) for one in timed), [sum(one.spent) / len(one.spent) for one in timed]


def _of_whole(
    parts: LocalParts,
    requests: Requests,
    seconds: float,
    original: str | os.PathLike[str] | None,
    options: Mapping[str, Any],
) -> tuple[float, ...]:
    """Seconds of runs of the model that is not cut, or of all parts one after another."""
    fed = requests.of(range(len(parts.runs)))
    run: Callable[[Feed], Any] = replace(parts, off=None).run
    if original is not None:
        load(original)
        run = open_session(Path(original), **options).run
    run(fed)
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < 3 or (len(found) < WHOLE and time.perf_counter() < end):
        began = time.perf_counter()
        run(fed)
        found.append(time.perf_counter() - began)
    return tuple(found)


def _of_server(
    folder: Path, requests: Requests, trace: Trace, trials: Trials, seconds: float, spent: Sequence[float]
) -> tuple[float, float, tuple[float, ...]]:
    """Seconds of the processor that a request takes of a server besides its parts, and of whoever asks; and seconds of
    requests that are neither. spent: of the processor, on a call of each part."""
    with _server(folder, trials) as address:
        name = folder.resolve().name
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            bodies = {own: infer_request(requests.manifest, requests.of(own)) for own in {*trace.parts[:KEPT]}}
            order = itertools.cycle(trace.parts[:KEPT])
            for own in itertools.islice(order, WARM + len(bodies)):
                _ask(connection, name, *bodies[own])
            before, end, mine = asked(address), time.perf_counter() + seconds, time.process_time()
            took: list[float] = []
            while len(took) < WARM or time.perf_counter() < end:
                body = bodies[next(order)]
                began = time.perf_counter()
                _ask(connection, name, *body)
                took.append(time.perf_counter() - began)
            mine, count = time.process_time() - mine, len(took)
            after = asked(address)
        calls = [now.calls - then.calls for now, then in zip(after.parts, before.parts, strict=True)]
        of_parts = sum(count * own for count, own in zip(calls, spent, strict=True))
        front, client = max(after.cpu - before.cpu - of_parts, 0.0) / count, mine / count
        rest = front + client + of_parts / count
        return front, client, tuple(max(one - rest, 0.0) for one in took[-KEPT:])


@contextlib.contextmanager
def _server(folder: Path, trials: Trials) -> Iterator[str]:
    """The address of a server of these parts, which ends with the context."""
    told = json.dumps([str(folder), trials.provider, trials.threads, [str(path) for path in trials.custom_ops]])
    line = [sys.executable, "-c", SERVER, told]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout
            address = process.stdout.readline().decode().strip()
            if not address:
                process.wait()
                errors.seek(0)
                why = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                raise ScissionError(f"{folder}: no server of these parts comes up: {''.join(why) or 'it says nothing'}")
            yield address
        finally:
            process.terminate()
            process.communicate()


def infer_request(manifest: Manifest, fed: Feed) -> tuple[bytes, int]:
    """A request for these inputs, tensors as bytes, and how long its JSON is."""
    arrays = {name: np.ascontiguousarray(array) for name, array in fed.items()}
    if text := [name for name, array in arrays.items() if name_of(array.dtype.name) is None]:
        raise ScissionError(
            f"{manifest.name}: requests with the input {text[0]!r}, which is no number, are not measured"
        )
    told = [
        {
            "name": name,
            "datatype": name_of(array.dtype.name),
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]
    outputs = [{"name": value.name, "parameters": {"binary_data": True}} for value in manifest.outputs]
    head = json.dumps({"inputs": told, "outputs": outputs}).encode()
    return b"".join([head, *(array.tobytes() for array in arrays.values())]), len(head)


def _ask(connection: http.client.HTTPConnection, name: str, body: bytes, head: int) -> None:
    connection.request("POST", f"/v2/models/{name}/infer", body, {"Inference-Header-Content-Length": str(head)})
    reply = connection.getresponse()
    told = reply.read()
    if reply.status != 200:
        raise ScissionError(f"the server of the parts refuses a request: {told[:400].decode('utf-8', 'replace')}")
