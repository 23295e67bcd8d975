import os
import subprocess
import sys

import pytest

import scission
from scission.runtime.cli import app, entry

ALONE = "import os, sys; os.fork = lambda: (_ for _ in ()).throw(OSError('none')); "
CODE = "sys.argv = ['scission', '--version']; from scission.runtime.cli.entry import main; main()"


def test_where_there_can_be_no_second_process_the_first_one_runs_the_command():
    done = subprocess.run([sys.executable, "-c", ALONE + CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"scission {scission.__version__}\n", "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_in_one_process_a_signal_is_an_exit_status_as_well(name, monkeypatch):
    from signal import SIG_DFL, Signals, default_int_handler, getsignal, signal

    number = Signals[name]
    before = {one: getsignal(one) for one in Signals if one.name in ("SIGINT", "SIGTERM", "SIGHUP")}
    monkeypatch.setenv("SCISSION_IN_PROCESS", "1")
    monkeypatch.setattr(app, "main", lambda: os.kill(os.getpid(), number))
    try:
        signal(number, default_int_handler if name == "SIGINT" else SIG_DFL)  # a shell's `&` has them ignored
        with pytest.raises(SystemExit) as ended:
            entry.main()
    finally:
        for one, handler in before.items():
            signal(one, handler)
    assert ended.value.code == 128 + number
