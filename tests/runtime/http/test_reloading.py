import json
import threading
import time

import numpy as np
import onnx
import pytest
import tritonclient.http as triton
from onnx import helper as h
from served import listening
from small_models import graph

import scission
from scission.models.planted import ffn

TRIALS = scission.Trials(provider="cpu", threads=1)
x = np.random.default_rng(1).standard_normal((4, 12)).astype(np.float32)
ASKED = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 12], "data": x.ravel().tolist()}]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of parts of two models that take and give the same, and of one that does not."""
    home = tmp_path_factory.mktemp("folders")
    for name, seed, width, blocks in (("a", 0, 12, 3), ("b", 1, 12, 4), ("other", 0, 24, 3)):
        model = ffn.build(np.random.default_rng(seed), d=width, hidden=24, blocks=blocks).model
        onnx.save(model, home / f"{name}.onnx")
        scission.partition(home / f"{name}.onnx", home / name, trials=TRIALS)
    return home


def turned(link, folder):
    """As deployments do it: a link that leads elsewhere, exchanged at once."""
    other = link.with_suffix(".new")
    other.symlink_to(folder)
    other.replace(link)


def answer_of(folder):
    (made,) = scission.load_parts(folder, threads=1).run({"x": x}).values()
    return made


def answered(client):
    reply = client.infer(ASKED)
    return np.array(reply.told["outputs"][0]["data"], np.float32).reshape(4, 12) if reply.status == 200 else reply


def load(client):
    return client.ask("POST", f"/v2/repository/models/{client.server.service.name}/load")


def test_no_request_is_lost_while_models_come_and_go(folders, tmp_path):
    link, known = tmp_path / "current", [answer_of(folders / name) for name in "ab"]
    turned(link, folders / "a")
    assert not np.allclose(*known, atol=1e-3)
    found, ended = [], threading.Event()
    with listening(link, name="m") as client:

        def ask():
            while not ended.is_set():
                found.append(answered(client))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(10):
            turned(link, folders / "ba"[number % 2])
            assert load(client).status == 200
            after = answered(client)  # asked once it is loaded
            assert np.allclose(after, known[1 - number % 2], atol=1e-5)
        ended.set()
        for thread in threads:
            thread.join()
        names = [part.name for part in client.server.service.status().parts]
    which = [[np.allclose(one, own, atol=1e-5) for own in known] for one in found]
    assert all(sum(own) == 1 for own in which)  # each is of one model, and of no other
    assert len(found) > 10 and {own.index(True) for own in which} == {0, 1}
    assert len(names) == 3  # of the one that is served last


def test_what_cannot_be_served_changes_nothing(folders, tmp_path):
    link, expected = tmp_path / "current", answer_of(folders / "a")
    turned(link, folders / "a")
    with listening(link, name="m") as client:
        (tmp_path / "empty").mkdir()
        for wrong, says in (
            (folders / "other", "where the model that is served has"),
            (tmp_path / "empty", "manifest.json"),
            (tmp_path / "none", "No such file"),
        ):
            turned(link, wrong)
            reply = load(client)
            assert reply.status == 422
            assert says in reply.told["error"] and "goes on" in reply.told["error"]
            assert np.allclose(answered(client), expected, atol=1e-5)
        assert client.ask("POST", "/v2/repository/models/other/load").status == 404
        assert sum("loaded" in one and "error" in one for one in client.log) == 3


def test_one_at_a_time(folders, tmp_path, monkeypatch):
    from scission.runtime.http import reloading

    entered, go = threading.Event(), threading.Event()
    with listening(folders / "a") as client:
        opened = reloading.opened

        def slowly(*given):
            entered.set()
            assert go.wait(30)
            return opened(*given)

        monkeypatch.setattr(reloading, "opened", slowly)
        first = []
        thread = threading.Thread(target=lambda: first.append(load(client)))
        thread.start()
        assert entered.wait(30)
        reply = load(client)
        assert (reply.status, reply.headers["retry-after"]) == (409, "1")
        go.set()
        thread.join()
        assert first[0].status == 200


def test_it_is_seen_that_another_model_lies_there(folders, tmp_path):
    link = tmp_path / "current"
    turned(link, folders / "a")
    with listening(link, watch=0.05) as client:
        turned(link, folders / "b")
        expected, end = answer_of(folders / "b"), time.monotonic() + 30
        while not np.allclose(answered(client), expected, atol=1e-5):
            assert time.monotonic() < end
            time.sleep(0.05)
        link.unlink()  # nothing lies there for a while
        time.sleep(0.2)
        turned(link, folders / "a")
        expected, end = answer_of(folders / "a"), time.monotonic() + 30
        while not np.allclose(answered(client), expected, atol=1e-5):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_the_client_of_triton_loads(tmp_path):
    path = tmp_path / "sum.onnx"
    told = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}]}
    onnx.save(graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": [1, 2]}, 2, y=2), path)
    with listening(path) as client:
        other = triton.InferenceServerClient(client.host)
        onnx.save(graph([h.make_node("Add", ["x", "W"], ["y"])], {"W": [5, 5]}, 2, y=2), path)
        assert client.infer(told).told["outputs"][0]["data"] == [2, 3]
        other.load_model("sum")
        assert client.infer(told).told["outputs"][0]["data"] == [6, 6]
        assert other.get_model_repository_index() == [{"name": "sum", "version": "1", "state": "READY", "reason": ""}]
        assert json.loads(json.dumps(client.log))
        other.close()
