import os
import signal
import subprocess
import sys

import onnx
import oracles
import pytest

START = """
import os, signal, sys, time
from scission.runtime.cli.supervise.hearing import Hearing
from scission.runtime.cli.supervise.supervisor import supervise
assert supervise(Hearing())
from scission.ir.supervision import telling
from scission.ir.supervision.board import Act
from scission.ir.staging.folder import temporary_folder
def crash(number=signal.SIGSEGV):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
def hold():  # as a kernel does that never comes back, and hears nothing
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    print(os.getpid(), flush=True)
    while True: time.sleep(60)
"""


def start(body, tmp_path):
    """A process that is supervised and does something."""
    return subprocess.Popen(
        [sys.executable, "-c", START + body],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's `&` takes away
    )


def ended(body, tmp_path):
    """(exit status, stdout, stderr) of it."""
    process = start(body, tmp_path)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("status", [0, 1, 4])
def test_a_process_that_ends_by_itself_has_its_status(status, tmp_path):
    assert ended(f"print('fine'); sys.exit({status})", tmp_path) == (status, "fine\n", "")


CRASHES = [
    (
        "with telling.running('ONNX Runtime', Act.RUN, 'm.onnx'): crash(signal.SIGFPE)",
        "crashed (SIGFPE) while it ran m",
    ),
    ("with telling.running('ONNX Runtime', Act.OPEN, 'm\\x1b'): os.kill(os.getpid(), 9)", "opened m\\x1b; nothing was"),
    ("telling.stage(('plan',)); os.abort()", "the command was ended by SIGABRT during: plan; "),
]


@pytest.mark.parametrize(("body", "words"), CRASHES)
def test_a_crash_is_one_line_and_leaves_nothing(body, words, tmp_path):
    status, out, err = ended(f"folder = temporary_folder(); folder.__enter__()\n{body}", tmp_path)
    assert (status, out) == (2, "") and err.startswith("error: ") and words in err and err.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_does_not_hear_it_within_a_second_and_nothing_is_left(number, tmp_path):
    process = start("with temporary_folder(): hold()", tmp_path)
    child = int(process.stdout.readline())
    assert any(tmp_path.iterdir())
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 128 + number
    assert not any(tmp_path.iterdir()) and not alive(child)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_is_supervised_dies_with_its_supervisor_and_the_next_one_sweeps(tmp_path):
    process = start("with temporary_folder(): hold()", tmp_path)
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)  # until nobody can write there any more
    assert any(tmp_path.iterdir())
    assert ended("", tmp_path)[0] == 0 and not any(tmp_path.iterdir())


def test_what_is_ignored_stays_so(tmp_path):
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    body = "os.kill(os.getpid(), 1); os.kill(os.getppid(), 1); time.sleep(0.1); print('fine')"
    done = subprocess.run([sys.executable, "-c", code + START + body], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_reader_that_has_seen_enough_ends_it_in_silence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", START + "crash(signal.SIGPIPE)"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_a_model_that_ends_onnx_runtime_does_not_end_the_command(tmp_path):
    nodes = [("ConvTranspose", ["x", "w"], ["y"], {"group": 0})]
    model = oracles.graph(nodes, {"x": [1, 4, 4, 4]}, {"y": None}, {"w": oracles.np.ones((4, 4, 1, 1), "f")})
    onnx.save(model, tmp_path / "m.onnx")
    line = [sys.executable, "-m", "scission", "check", "m.onnx", "m.onnx"]
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert "ONNX Runtime crashed (SIGFPE) while it opened m.onnx" in done.stderr
    assert not [path.name for path in tmp_path.iterdir() if "scission" in path.name]


@pytest.mark.parametrize("run", ["hold()", "time.sleep(60)"])
def test_a_run_that_takes_longer_than_it_may_is_ended(run, tmp_path):
    body = f"telling.limit(0.2)\nwith temporary_folder(), telling.running('ONNX Runtime', Act.RUN, 'm.onnx'): {run}"
    status, _, err = ended(body, tmp_path)
    assert status == 2 and err == (
        "error: ONNX Runtime ran m.onnx for more than 0.2 s, which --timeout allows; nothing was written\n"
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("quiet", [False, True])
def test_of_a_run_that_takes_long_one_line_is_told_unless_nothing_is_to_be(quiet, tmp_path):
    patient = "import scission.runtime.cli.supervise.supervisor as s; s.PATIENCE = s.LOOK = 0.1\n"
    body = "\nfor _ in 'ab':\n    with telling.running('ONNX Runtime', Act.OPEN, 'm.onnx'): time.sleep(0.4)"
    done = subprocess.run(
        [sys.executable, "-c", patient + START + body, *["-q"] * quiet], capture_output=True, text=True, check=False
    )
    told = "note: ONNX Runtime has been opening m.onnx for 0 s; --timeout SECONDS ends a run that takes longer\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "" if quiet else told)


def test_what_both_processes_were_stopped_for_is_no_time_that_a_run_takes(tmp_path):
    """As after Ctrl-Z, shortened: what stands still for four looks was stopped."""
    short = "import scission.runtime.cli.supervise.supervisor as s; s.LOOK, s.STOPPED = 0.05, 0.2\n"
    body = "\ntelling.limit(0.4)\nwith telling.running('ONNX Runtime', Act.RUN, 'm.onnx'):\n"
    stop = "    for _ in 'ab':\n        os.kill(os.getppid(), signal.SIGSTOP); time.sleep(0.6)\n"
    go_on = "        os.kill(os.getppid(), signal.SIGCONT); time.sleep(0.02)\nprint('fine')"
    done = subprocess.run(
        [sys.executable, "-c", short + START + body + stop + go_on],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_any_number_of_inherited_handles_will_do(tmp_path):
    many = "import os, resource\nmost = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
    opened = "resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096),) * 2)\n"
    held = "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(1100)]\n"
    done = subprocess.run(
        [sys.executable, "-c", many + opened + held + START + "print('fine')"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_where_there_can_be_no_second_process_this_one_hears_of_an_interruption():
    body = """
def refuse(): raise OSError(11, "Resource temporarily unavailable")
os.fork = refuse
try:
    assert not supervise(Hearing())
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt: print("heard")
"""
    start_alone = START.replace(
        "assert supervise(Hearing())\n", "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    done = subprocess.run([sys.executable, "-c", start_alone + body], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")
