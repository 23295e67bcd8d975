"""Servers in a thread of this process, and plain requests to them."""

import asyncio
import contextlib
import http.client
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from scission.runtime.http.listening import Listening
from scission.runtime.http.options import ServeOptions
from scission.runtime.http.serving import Serving, serving
from scission.runtime.ort.trials import Trials


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self):
        return json.loads(self.body)


@dataclass
class Client:
    server: Serving
    log: list = field(default_factory=list)
    name: str = ""

    @property
    def host(self):
        return self.server.address.removeprefix("http://")

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def infer(self, told, headers=()):
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        return self.ask("POST", f"/v2/models/{self.server.service.name}/infer", body, headers)


@contextlib.contextmanager
def listening(model: Path, **options):
    """A server of this model that answers until the context ends."""
    log = []
    with serving(model, ServeOptions(port=0, **options), Trials(provider="cpu", threads=1), log.append) as server:
        begun = threading.Event()
        loop = Listening(server.app, server.options, begun.set)
        thread = threading.Thread(target=asyncio.run, args=(loop.serve([server.port]),))
        thread.start()
        try:
            assert begun.wait(30)
            yield Client(server, log)
        finally:
            loop.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
