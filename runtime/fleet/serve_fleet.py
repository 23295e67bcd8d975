"""`serve_fleet`: parts that answer requests on a Ray cluster until the process is told to end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...ir.errors import ScissionError, option
from ...ir.supervision.telling import grace
from ..fields import chosen
from ..http.options import ServeOptions
from ..http.watch.mark import mark_of
from ..ort.trials import Trials, trials_of
from ..validation import OptionError
from .options import FleetOptions

__all__ = ["serve_fleet"]

TICK = 0.2  # seconds between two looks at what is to be done
ENDING = 60.0  # seconds that a cluster may take to end


def serve_fleet(
    folder: str | Path,
    options: FleetOptions | None = None,
    *,
    serving: ServeOptions | None = None,
    trials: Trials | None = None,
    log: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests with the parts in a folder, each a deployment of Ray Serve with replicas of its own, until SIGINT
    or SIGTERM comes.

    options: the cluster and its replicas; serving: where, how much at once, how long, and how often the folder is
    looked at, of which another one takes the place once all of it is ready, without losing a request; trials: provider,
    threads and libraries of custom operators; log: is told of every change; ready: is called with the address once
    requests are answered. The folder must lie at the same path on every machine, and stay there while it is served.
    Raises ManifestError for a folder that is none, TraceError for such a trace, OptionError for an option that is none,
    and ScissionError where there is no cluster, parts do not come up, and where packages are missing: pip install
    'scission[ray]'.
    """
    path, wished = Path(folder), chosen(FleetOptions, options, {})
    served = chosen(ServeOptions, serving, {})
    if not served.port:
        raise OptionError("Ray takes no port that is any; give one with ", option("port", 8000))
    try:
        from .fleet import deployed
    except ImportError as error:
        raise ScissionError(f"this needs {error.name}, and it is not here: pip install 'scission[ray]'") from error
    seen = mark_of(path)
    with deployed(path, wished, served, trials_of(trials)) as fleet:
        grace(ENDING)
        ended = _told_to_end()
        ready(f"http://{served.host}:{served.port}")
        looked = followed = time.monotonic()
        while not ended.wait(TICK):
            now = time.monotonic()
            if wished.follow is not None and now - followed > wished.follow:
                followed = now
                if fleet.follow():
                    log(_note(replicas=fleet.replicas()))
            if served.watch is not None and now - looked > served.watch:
                looked, mark = now, mark_of(path)
                if mark is not None and mark != seen:
                    seen = mark
                    _load(fleet, path, log)


def _load(fleet: Any, path: Path, log: Callable[[Mapping[str, Any]], None]) -> None:
    try:
        fleet.load(path)
    except ScissionError as error:
        log(_note(loaded=str(path), error=f"{error}; the parts that were served go on"))
    else:
        log(_note(loaded=str(path)))


def _note(**told: Any) -> dict[str, Any]:
    return {"time": datetime.now(UTC).isoformat(), **told}


def _told_to_end() -> threading.Event:
    """What is set when a signal says to end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended
