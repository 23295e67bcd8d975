"""Logs of runs: continued, refused, whole whenever a process ends."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from planted_torch import trained  # noqa: E402
from torch import nn  # noqa: E402

from scission.ir.findings.formation import RunError  # noqa: E402
from scission.torch import StructureMonitor, read_run  # noqa: E402


def test_a_log_goes_on_where_a_run_resumes(tmp_path):
    torch.manual_seed(0)
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    first = StructureMonitor(layer, log, every=2, evidence="off")
    trained(first, 5, layer)
    state, weights = first.state_dict(), {name: p.clone() for name, p in layer.state_dict().items()}
    trained(first, 6, layer)
    with log.open("a") as file:
        file.write('{"version":1,"step":12')  # a process that was killed while it wrote
    first.close()
    with pytest.raises(RunError, match="resume=True"):
        StructureMonitor(layer, log)
    assert [look.step for look in read_run(log).looks] == [2, 4, 6, 8, 10]
    layer.load_state_dict(weights)
    again = StructureMonitor(layer, log, every=2, evidence="off", resume=True)
    again.load_state_dict(state)
    trained(again, 3, layer)
    run = read_run(log)
    assert [look.step for look in run.looks] == [2, 4, 6, 8]
    assert run.looks[-1].weights[0].change.edges == 1, "the initial weight is that of before the first step"
    assert log.read_bytes().endswith(b"\n")


def test_a_log_of_something_else_is_refused_and_left_alone(tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text("not a log\n")
    with pytest.raises(RunError, match=r"run.jsonl:1: is no JSON"):
        StructureMonitor(nn.Linear(3, 2), log, resume=True)
    assert log.read_text() == "not a log\n"
    with pytest.raises(RunError, match="StructureMonitor wrote"):
        read_run(tmp_path / "nothing.jsonl")


def steps_of(log):
    return [look.step for look in read_run(log).looks]


def test_a_look_at_the_same_step_takes_the_place_of_the_one_before(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 2, layer)
    with torch.no_grad():
        layer.weight[1, 1] += 1
    monitor.look()
    monitor.look()
    run = read_run(log)
    assert [look.step for look in run.looks] == [1, 2] and run.looks[-1].weights[0].change.edges == 2
    assert run.labels("weight")[-1][0].tolist() == [0, 1, -1, -1], "components are told again where that was replaced"
    trained(monitor, 1, layer)
    assert steps_of(log) == [1, 2, 3]


@pytest.mark.parametrize("number", [4, -1, 5.5, 6.0, "6", True, None])
def test_steps_that_go_back_or_are_none_are_refused_and_the_log_stays_whole(number, tmp_path):
    log = tmp_path / "run.jsonl"
    monitor = StructureMonitor(nn.Linear(4, 3), log, every=1, evidence="off")
    monitor.step(5)
    if number is None:
        assert monitor.step(5) is None and monitor.step(np.int64(6)).step == 6 and monitor.step(torch.tensor(7))
        assert steps_of(log) == [5, 6, 7]
        return
    with pytest.raises(RunError, match=r"follows 5|no number of a step"):
        monitor.step(number)
    assert monitor.steps == 5 and steps_of(log) == [5] and monitor.step().step == 6


@pytest.mark.parametrize("tell", [None, 1, 2])
def test_a_run_that_begins_anew_leaves_the_looks_of_another_alone(tell, tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    with_looks(log, layer, [3, 4])
    before = log.read_bytes()
    monitor = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    with pytest.raises(RunError, match=r"has looks up to step 4, and this run is at step"):
        monitor.step(tell)
    with pytest.raises(RunError, match=r"has looks up to step 4"):
        monitor.look()
    assert log.read_bytes() == before


def with_looks(log, layer, steps):
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    for step in steps:
        monitor.step(step)
        monitor.look()
    monitor.close()


def test_a_run_that_is_told_where_it_goes_on_needs_no_state(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    with_looks(log, layer, [0, 1, 2, 3, 4])
    monitor = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    assert steps_of(log) == [0, 1, 2, 3, 4]
    monitor.step(3)
    assert steps_of(log) == [0, 1, 2, 3]
    monitor.load_state_dict(monitor.state_dict() | {"steps": 1})
    monitor.step()
    run = read_run(log)
    assert [look.step for look in run.looks] == [0, 1, 2] and run.looks[-1].weights[0].inputs is not None


def test_one_monitor_at_a_time_writes_a_log(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    first = StructureMonitor(layer, log, every=1, evidence="off")
    trained(first, 2, layer)
    for resume in (False, True):
        with pytest.raises(RunError, match="another monitor writes it"):
            StructureMonitor(layer, log, resume=resume)
    program = f"import torch; from scission.torch import *; StructureMonitor(torch.nn.Linear(3, 2), {str(log)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "of several processes give a log to one" in done.stderr
    trained(first, 1, layer)
    first.close()
    second = StructureMonitor(layer, log, every=1, evidence="off", resume=True)
    second.load_state_dict(first.state_dict())
    trained(second, 1, layer)
    with pytest.raises(RunError, match="another monitor writes it"):
        first.look()
    second.close()
    with pytest.raises(RunError, match="has looks up to step 4"):
        first.look()
    assert steps_of(log) == [1, 2, 3, 4]


def test_a_log_that_was_closed_or_removed_goes_on(tmp_path):
    log, layer = tmp_path / "run.jsonl", nn.Linear(4, 3)
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 2, layer)
    monitor.close()
    trained(monitor, 1, layer)
    assert steps_of(log) == [1, 2, 3]
    log.unlink()
    trained(monitor, 1, layer)
    assert steps_of(log) == [4] and read_run(log).labels("weight")[0] is not None


def test_a_place_where_no_log_can_be_is_refused_at_once(tmp_path):
    with pytest.raises(RunError, match="its folder is not there"):
        StructureMonitor(nn.Linear(4, 3), tmp_path / "none" / "run.jsonl")
    with pytest.raises(RunError, match="directory"):
        StructureMonitor(nn.Linear(4, 3), tmp_path, resume=True)
    (tmp_path / "run.jsonl").touch()
    StructureMonitor(nn.Linear(4, 3), tmp_path / "run.jsonl", every=1).step()
    assert steps_of(tmp_path / "run.jsonl") == [1]


def test_a_log_without_room_is_whole_up_to_there(tmp_path, monkeypatch):
    log, layer, write = tmp_path / "run.jsonl", nn.Linear(4, 3), os.write
    monitor = StructureMonitor(layer, log, every=1, evidence="off")
    trained(monitor, 1, layer)
    monkeypatch.setattr("os.write", lambda handle, line: write(handle, line[:9]))
    with pytest.raises(RunError, match="no room"):
        monitor.step()
    monkeypatch.undo()
    monitor.step()
    assert steps_of(log) == [1, 3]


def test_lines_are_whole_whenever_the_process_is_killed(tmp_path):
    log = tmp_path / "run.jsonl"
    program = f"""
    import torch
    from scission.torch import StructureMonitor
    layer = torch.nn.Linear(64, 64)
    monitor = StructureMonitor(layer, {str(log)!r}, every=1, evidence="off")
    print("ready", flush=True)
    while True:
        with torch.no_grad():
            layer.weight[monitor.steps % 64, 7 * monitor.steps % 64] += 1
        monitor.step()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        while not log.exists() or log.stat().st_size < 20_000:
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert log.read_bytes().endswith(b"\n") and len(read_run(log).looks) > 10
