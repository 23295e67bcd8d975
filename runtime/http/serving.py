"""A model opened and everything around it that answers requests, ready to listen."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette

from ... import __version__
from ..ort.trials import Trials
from .answering import name_of_model, opened
from .endpoint import Log, endpoint
from .listening import listen, opened_port
from .metrics import Metrics
from .options import ServeOptions
from .reloading import Reloading
from .service import Service

__all__ = ["Serving", "serving"]


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """A server that can listen; port: the socket, which is open already."""

    service: Service
    app: Starlette
    port: socket.socket
    options: ServeOptions

    @property
    def address(self) -> str:
        """Where it is found."""
        host, number = self.port.getsockname()[:2]
        return f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"

    def listen(self, told: Callable[[], None]) -> None:
        """Answer requests until a signal says to end; told: is called once connections are taken."""
        listen(self.app, self.port, self.options, told)


@contextlib.contextmanager
def serving(model: Path, options: ServeOptions, trials: Trials, log: Log) -> Iterator[Serving]:
    """Open a model to serve it; trials: provider, threads and libraries of custom operators; log: hears every request.

    Raises ScissionError for a model that cannot be opened or served, and for a port that cannot be had.
    """
    with contextlib.closing(opened_port(options)) as port:
        answering = opened(model.resolve(), trials)
        service = Service(answering, options.name or name_of_model(model), options, Metrics())
        reloading = Reloading(model, trials, service, log)
        with contextlib.closing(service), reloading.watched(options.watch):
            yield Serving(service, endpoint(service, __version__, log, reloading.load), port, options)
