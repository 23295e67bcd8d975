"""A server that listens: on a port of its own, until it is told to end, and no request is lost then.

   SIGTERM, Ctrl-C
          │
takes connections ──► takes none ──► requests that came are answered, for `grace` seconds ──► ends
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from ...ir.errors import ScissionError, option
from ...ir.supervision.telling import grace
from .options import ServeOptions

__all__ = ["Listening", "listen", "opened_port"]

BACKLOG = 256
TWICE = 1.0  # seconds in which a second signal is the same one: a terminal sends it to every process


class Listening(uvicorn.Server):
    """A server of one application on a socket that is open already; told: is called once it takes connections."""

    def __init__(self, app: Starlette, options: ServeOptions, told: Callable[[], None] = lambda: None) -> None:
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # requests are logged in one place
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=max(int(options.grace), 1),
        )
        super().__init__(config)
        self._told, self._heard = told, 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections."""
        await super().startup(sockets)
        self._told()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear what ends the server; uvicorn takes the two signals of one Ctrl-C for an order to drop requests."""
        loop, heard = asyncio.get_running_loop(), []
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):  # in another thread: it is ended there
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._end)
                heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        now = time.monotonic()
        if self.should_exit and now - self._heard > TWICE:
            self.force_exit = True
        elif not self.should_exit:
            self.should_exit, self._heard = True, now


def opened_port(options: ServeOptions) -> socket.socket:
    """The socket that takes connections. Raises ScissionError where there is no such address, or somebody has it."""
    try:
        family = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0][0]
        port = socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
        port.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the body of an answer waits 40 ms for its head
        return port
    except (OSError, UnicodeError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ScissionError(
            f"port {options.port} of {options.host} cannot be opened: {why}; choose another with ", option("port")
        ) from error


def listen(app: Starlette, port: socket.socket, options: ServeOptions, told: Callable[[], None]) -> None:
    """Serve until a signal says to end; told: is called once connections are taken."""
    grace(options.grace + TWICE)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a client that hangs up is no reason to end, as a pager's end is
    server = Listening(app, options, told)
    asyncio.run(server.serve([port]))
