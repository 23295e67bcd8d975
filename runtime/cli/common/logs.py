"""What `--verbose` prints: the log of scission on stderr, so that answers on stdout stay what they are."""

from __future__ import annotations

import logging

from ....ir.phase import LOG
from ...say import say

__all__ = ["log_to_stderr", "stop_logging"]


class _Stderr(logging.Handler):
    """Writes to what stderr is at the time, which a progress bar may have replaced by itself."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"scission: {record.getMessage()}", err=True)


def log_to_stderr() -> None:
    """Print everything that is logged from now on, once, with the seconds of each phase.

    >>> log_to_stderr()
    >>> LOG.isEnabledFor(logging.INFO)
    True
    >>> stop_logging()
    """
    stop_logging()
    LOG.addHandler(_Stderr())
    LOG.setLevel(logging.INFO)


def stop_logging() -> None:
    """Print nothing any more; what others do with the log is theirs."""
    for handler in [one for one in LOG.handlers if isinstance(one, _Stderr)]:
        LOG.removeHandler(handler)
        LOG.setLevel(logging.NOTSET)
