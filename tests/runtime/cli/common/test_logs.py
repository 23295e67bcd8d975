import logging

from scission.ir.phase import LOG, phase
from scission.runtime.cli.common.logs import log_to_stderr, stop_logging


def test_a_line_a_phase_goes_to_stderr_once(capfd):
    log_to_stderr()
    log_to_stderr()
    try:
        with phase("plan"):
            pass
    finally:
        stop_logging()
    with phase("plan"):
        pass
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("scission: plan: ") and err.count("\n") == 1


def test_handlers_of_others_are_left_alone():
    other = logging.NullHandler()
    LOG.addHandler(other)
    LOG.setLevel(logging.WARNING)
    try:
        stop_logging()
        assert other in LOG.handlers and LOG.level == logging.WARNING
    finally:
        LOG.removeHandler(other)
        LOG.setLevel(logging.NOTSET)
