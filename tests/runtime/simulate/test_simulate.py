import json
import shutil

import numpy as np
import pytest
from shell import typed

import scission
from scission.runtime.serve.folder import read_manifest
from scission.runtime.simulate.measuring import Requests


@pytest.fixture(scope="module")
def trace(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    names = [part.name for part in read_manifest(cut[1]).parts]
    requests = [{"at": 0.001 * number, "parts": [names[min(number % 7, 2)]]} for number in range(70)]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in requests))
    return path


@pytest.fixture(scope="module")
def found(cut, trace):
    options = scission.SimulateOptions(cores=2, seconds=0.3)
    return scission.simulate(cut[1], trace, options, original=cut[0], trials=scission.Trials(provider="cpu", threads=1))


def test_times_are_measured_in_a_server(found, cut):
    assert [load.calls for load in found.loads] == [10, 10, 50]
    assert found.requests == 70 and found.machines == 1
    times = found.times
    assert times["front"] > 0 and times["client"] > 0 and len(times["whole"]) >= 3
    assert all(len(seconds) >= 3 and min(seconds) > 0 for seconds in times["parts"])
    assert found.parts.p50 > 0 and 0 < found.parts.mean_busy <= 1
    assert found.parts.bytes_ == sum(part.bytes_ for part in read_manifest(cut[1]).parts)


def test_times_are_taken_again_for_many_machines(found, cut, trace, tmp_path):
    path = tmp_path / "times.json"
    path.write_text(json.dumps(found.to_dict()))
    many = scission.SimulateOptions(machines=1000, cores=4, requests=5000, clients=2000)
    again = scission.simulate(cut[1], trace, many, times=path)
    assert again.times == found.times and again.requests == 5000
    shares = np.array([load.replicas for load in again.loads]) / sum(load.replicas for load in again.loads)
    work = np.array([load.calls for load in again.loads]) * [np.mean(seconds) for seconds in again.times["parts"]]
    assert np.allclose(shares, work / work.sum(), rtol=0.05)
    assert again == scission.simulate(cut[1], trace, many, times=path)  # what is drawn is drawn again


def test_too_much_is_refused_before_it_begins(cut, trace):
    with pytest.raises(scission.OptionError, match="events would take too long"):
        scission.simulate(cut[1], trace, scission.SimulateOptions(requests=10**7))


def test_the_command(found, cut, trace, tmp_path, monkeypatch, capfd):
    path = tmp_path / "times.json"
    path.write_text(json.dumps(found.to_dict()["times"]))
    call = typed(monkeypatch, capfd)
    status, out, _ = call(f"simulate {cut[1]} --trace {trace} --times {path} --machines 3 --cores 2")
    assert status == 0 and "3 machines of 2 cores" in out and "part2" in out
    status, _, err = call(f"simulate {cut[1]} --trace {cut[0]} --times {path}")
    assert status == 2 and "error: " in err
    status, out, _ = call(f"simulate {cut[1]} --trace {trace} --times {path} --cores 1")
    assert status == 0 and "70 requests, 1 machine of 1 core" in out


def test_times_of_nothing_are_refused(found, cut, trace, tmp_path):
    path = tmp_path / "times.json"
    none = {**found.times, "front": 0, "client": 0, "wait": [0], "whole": [0], "parts": [[0]] * 3}
    path.write_text(json.dumps(none))
    with pytest.raises(scission.TraceError, match="answered within 0 seconds by these times"):
        scission.simulate(cut[1], trace, scission.SimulateOptions(clients=2), times=path)
    told = scission.simulate(cut[1], trace, times=path)  # the trace takes its time
    assert told.parts.per_second == pytest.approx(70 / 0.069) and told.parts.mean_busy == 0


def test_clocks_that_tell_nothing_apart_are_refused(found, cut, trace, tmp_path):
    path = tmp_path / "times.json"
    path.write_text(json.dumps(found.times))
    with pytest.raises(scission.OptionError, match=r"requests would come for 5e\+09 seconds"):
        scission.simulate(cut[1], trace, scission.SimulateOptions(requests=10**7 // 2, speed=1e-6), times=path)


@pytest.mark.parametrize("off", [0.0, 7.0])
def test_requests_activate_what_the_trace_says(cut, tmp_path, off):
    folder = shutil.copytree(cut[1], tmp_path / "parts")
    x = np.full((40, 12), off, np.float32)
    x[:5] = 1
    scission.count_activation(folder, {"x": x})
    parts = scission.load_parts(folder)
    requests = Requests(folder, parts, scission.Trials())
    for activated in ((0,), (1, 2), ()):
        assert parts.activated(requests.of(activated)) == tuple(f"part{one}" for one in activated)
