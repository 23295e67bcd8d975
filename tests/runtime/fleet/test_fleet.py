"""A real cluster of this machine: half a minute to begin with, so that all is asked of one."""

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

import scission
from scission.models.planted import ffn

pytest.importorskip("ray")

from scission.runtime.fleet.fleet import deployed

TRIALS = scission.Trials(provider="cpu", threads=1)
x = np.random.default_rng(1).standard_normal((4, 12)).astype(np.float32)
ASKED = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 12], "data": x.ravel().tolist()}]})


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with contextlib.closing(connection):
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()


def replica_pids():
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if one.read_bytes().startswith(b"ray::ServeReplica:m-"):
                found.append(int(one.parent.name))
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home, found = tmp_path_factory.mktemp("fleet"), []
    for seed, width in ((0, 12), (1, 12), (0, 24)):
        model = ffn.build(np.random.default_rng(seed), d=width, hidden=24, blocks=3).model
        onnx.save(model, home / f"{len(found)}.onnx")
        found.append(scission.partition(home / f"{len(found)}.onnx", home / f"parts{len(found)}", trials=TRIALS).folder)
    return found


def test_nothing_is_lost_or_wrong_whoever_dies_and_whatever_comes(folders):
    port, known = free_port(), []
    for folder in folders[:2]:
        (made,) = scission.load_parts(folder, threads=1).run({"x": x}).values()
        known.append(made)
    options = scission.FleetOptions(replicas=4, follow=None)
    with deployed(folders[0], options, scission.ServeOptions(port=port, name="m"), TRIALS) as fleet:
        assert sum(fleet.replicas().values()) == 4
        found, ended = [], threading.Event()

        def hammer():
            while not ended.is_set():
                found.append(ask(port, "POST", "/v2/models/m/infer", ASKED))

        thread = threading.Thread(target=hammer)
        thread.start()
        os.kill(replica_pids()[0], signal.SIGKILL)
        with pytest.raises(scission.ScissionError, match="takes or gives something else"):
            fleet.load(folders[2])  # which takes something else
        assert fleet.generation.number == 1
        fleet.load(folders[1])
        os.kill(replica_pids()[0], signal.SIGKILL)
        for _ in range(5):
            found.append(ask(port, "POST", "/v2/models/m/infer", ASKED))
        ended.set()
        thread.join()
        status = json.loads(ask(port, "GET", "/status")[1])
        assert {part["name"] for part in status["parts"]} == {"part0", "part1", "part2"}
        assert all(part["calls"] for part in status["parts"])
        assert ask(port, "POST", "/v2/repository/models/m/load")[0] == 501
        assert not fleet.follow() or sum(fleet.replicas().values()) == 4
    assert {status for status, _ in found} == {200}
    told = [np.array(json.loads(body)["outputs"][0]["data"]).reshape(4, 12) for _, body in found]
    which = [[bool(np.allclose(one, own, atol=1e-5)) for own in known] for one in told]
    assert all(sum(own) == 1 for own in which) and which[0] == [True, False] and which[-1] == [False, True]
