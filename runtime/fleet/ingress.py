"""The transformation layer as a service: HTTP, index work and which parts a request activates; parts run elsewhere."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette

from ... import __version__
from ..http.answering import ServedParts
from ..http.endpoint import endpoint
from ..http.metrics import Metrics
from ..http.options import ServeOptions
from ..http.refusal import RefusalError
from ..http.service import Service
from .generation import Generation
from .replicas import running_replicas

__all__ = ["Ingress"]

MOMENT = 1.0  # seconds between two looks at how many replicas there are


class Ingress:
    """Answers requests with the parts of one generation at a time; another one comes by `reconfigure`."""

    def __init__(self, name: str, options: ServeOptions) -> None:
        self._name, self._options = name, options
        self._service: Service | None = None
        self._app = Starlette()
        self._generation: Generation | None = None
        self._served: dict[int, ServedParts] = {}
        self._replicas: dict[str, int] = {}
        threading.Thread(target=self._count, name="replicas", daemon=True).start()

    def reconfigure(self, told: Mapping[str, Any]) -> None:
        """Answer with another generation from now on; requests that run end with the one they began with.

        Raises ManifestError where its folder is not what was deployed, and ScissionError where it takes or gives
        something else.
        """
        generation = Generation.from_dict(told)
        served = ServedParts(generation.parts(), lambda name: self._replicas.get(name, 0))
        if self._service is None:
            self._service = Service(served, self._name, self._options, Metrics())
            self._app = endpoint(self._service, __version__, _log, _elsewhere)
        else:
            self._service.replace(served)
        self._generation = generation
        self._served[generation.number] = served

    def running(self, number: int) -> int:
        """Requests that run with a generation."""
        served = self._served.get(number)
        return 0 if served is None else served.running

    def calls(self) -> dict[str, int]:
        """How often each part was called since its generation began."""
        return {} if self._service is None else {part.name: part.calls for part in self._service.status().parts}

    def __serve_build_asgi_app__(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

        return app

    def _count(self) -> None:
        pause = threading.Event()
        while not pause.wait(MOMENT):
            if self._generation is not None:
                self._replicas = running_replicas(self._generation)


def _log(told: Mapping[str, Any]) -> None:
    logging.getLogger("ray.serve").info(told)


def _elsewhere() -> None:
    reason = "another model comes from whoever serves this one: change the folder that it watches"
    raise RefusalError(HTTPStatus.NOT_IMPLEMENTED, reason)
