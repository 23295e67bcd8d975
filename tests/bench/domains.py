"""A model of 64 domains behind a server: whole, and cut into parts.

    python tests/bench/domains.py [--only ROWS …] [--seconds S] [--save]

A dense network of 2048 -> 8192 -> 2048 (134 MB) holds 64 networks of 32 -> 128 -> 32, in an order that hides them. One
`scission serve` answers with one session of it, another with its parts, each on one thread. Requests over HTTP of which
each activates one domain or two, all of them as often, come from one client and from two at once, to the two servers
in turns: requests a second, p50 and p99 of the parts over those of the model. rows: of each request, one or 16.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from figures import Figure, at_least, at_most, bench_with, reported
from fleet import TRIALS, client, serving

import scission
from scission.models.planted import ffn
from scission.runtime.serve.folder import read_manifest
from scission.runtime.simulate.measuring import infer_request

DOMAINS, WIDTH = 64, 32
ROUNDS = 5
CLIENTS = (1, 2)
ALLOWED = 1e-4  # of the largest value of an output
Request = tuple[bytes, int]


def feeds_of(folder: Path, rows: int) -> list[dict[str, np.ndarray]]:
    """Inputs for each domain alone, and for each with one other."""
    rng, manifest = np.random.default_rng(rows), read_manifest(folder)
    (value,) = manifest.inputs
    own = [part.reads[0].places[1] for part in manifest.parts]
    found = []
    for active in [(index,) for index in range(len(own))] + [(i, int(rng.integers(len(own)))) for i in range(len(own))]:
        x = np.zeros((rows, DOMAINS * WIDTH), np.float32)
        for index in active:
            x[:, own[index]] = rng.standard_normal((rows, own[index].size))
        found.append({value.name: x})
    return found


def seconds_of(host: str, path: str, requests: Sequence[Request], clients: int, seconds: float) -> list[list[float]]:
    """Seconds of the requests of each of so many clients at once, who ask for so long."""
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    processes = []
    for seed in range(clients):
        order = np.random.default_rng(seed).integers(len(requests), size=100_000).tolist()
        processes.append(context.Process(target=client, args=(host, path, requests, order, seconds, out)))
    for process in processes:
        process.start()
    found = [out.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def raced(
    hosts: dict[str, str], requests: Sequence[Request], clients: int, seconds: float, row: str
) -> Iterator[Figure]:
    """What the parts do over what the model does, by medians of rounds."""
    rate: dict[str, list[float]] = {name: [] for name in hosts}
    took: dict[str, list[float]] = {name: [] for name in hosts}
    for number in range(ROUNDS + 1):
        for name, host in hosts.items():
            each = seconds_of(host, f"/v2/models/{name}/infer", requests, clients, seconds)
            if number:  # before, both get warm
                rate[name].append(sum(len(own) / sum(own) for own in each))
                took[name] += [one for own in each for one in own]
    yield reported(row, "requests a second of the parts", median(rate["parts"]))
    yield at_least(row, "requests a second, over the model", median(rate["parts"]) / median(rate["dense"]), 8)
    for quantile, target in ((50, None), (99, 0.3)):
        ratio = float(np.percentile(took["parts"], quantile) / np.percentile(took["dense"], quantile))
        what = f"p{quantile}, over the model"
        yield reported(row, what, ratio) if target is None else at_most(row, what, ratio, target)


def figures(only: Sequence[str], seconds: float) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        sizes = {"d": DOMAINS * WIDTH, "hidden": 4 * DOMAINS * WIDTH}
        onnx.save(ffn.build(np.random.default_rng(0), **sizes, blocks=DOMAINS).model, home / "dense.onnx")
        scission.partition(home / "dense.onnx", home / "parts", trials=TRIALS)
        parts = scission.load_parts(home / "parts", threads=1)
        whole = scission.load_parts(home / "parts", threads=1, off=None)
        manifest = read_manifest(home / "parts")
        with serving(home / "dense.onnx") as dense, serving(home / "parts") as cut:
            for rows in map(int, only):
                feeds = feeds_of(home / "parts", rows)
                for fed in feeds[::16]:
                    expected = whole.run(fed)
                    for name, made in parts.run(fed).items():
                        assert np.abs(made - expected[name]).max() <= ALLOWED * np.abs(expected[name]).max()
                requests = [infer_request(manifest, fed) for fed in feeds]
                for clients in CLIENTS:
                    row = f"{DOMAINS} domains, {rows} rows, {clients} client{'s' * (clients > 1)}"
                    yield from raced({"dense": dense, "parts": cut}, requests, clients, seconds, row)


if __name__ == "__main__":
    sys.exit(
        bench_with(
            "domains", __doc__, ("1", "16"), figures, seconds={"type": float, "default": 3.0, "help": "of a round"}
        )
    )
