import os
import signal
import subprocess
import sys

import pytest

from scission.runtime import lifeline

CODE = """
import os, sys, time
from scission.runtime.lifeline import end_with
sys.platform = {platform!r}
parent = os.getpid()
line, held = os.pipe()
if os.fork():
    print("started", flush=True)
    time.sleep(60)
os.close(held)
end_with(parent, line)
time.sleep(60)
"""


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_process_ends_with_the_one_that_started_it(platform):
    process = subprocess.Popen([sys.executable, "-c", CODE.format(platform=platform)], stdout=subprocess.PIPE)
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=30)  # until nobody has its other end any more


def test_a_parent_that_has_ended_before_is_noticed(monkeypatch):
    ended = []
    monkeypatch.setattr(lifeline.os, "kill", lambda *told: ended.append(told))
    if not sys.platform.startswith("linux"):
        pytest.skip("other kernels are not asked")
    monkeypatch.setattr("ctypes.CDLL", lambda _: type("libc", (), {"prctl": staticmethod(lambda *_: 0)}))
    lifeline.end_with(os.getppid())
    assert not ended
    lifeline.end_with(-1)
    assert ended == [(os.getpid(), signal.SIGKILL)]
