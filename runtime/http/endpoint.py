"""The addresses of the Open Inference Protocol, and what is answered at each.

https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol/
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..ort.halt import Halt
from .body import inflated, joined
from .metrics import CONTENT_TYPE
from .refusal import RefusalError, refused
from .response import HEADER_LENGTH, Answer
from .service import Service

__all__ = ["Log", "endpoint"]

Log = Callable[[Mapping[str, Any]], None]

VERSION = "1"
PATIENCE = 30.0  # seconds for a body to come whole
PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
SHOWN = 200  # characters of an address in the log


def endpoint(service: Service, version: str, log: Log, load: Callable[[], None]) -> Starlette:
    """The application of ASGI that serves one model; version: scission's own; log: is told of every request; load: puts
    what lies in the place of the model now in its place, or raises RefusalError."""
    served = _Served(service, version, log, load)
    model = "/v2/models/{model}"
    routes = [
        ("/v2", served.server),
        ("/v2/health/live", served.health),
        ("/v2/health/ready", served.health),
        ("/metrics", served.counted),
        ("/", served.page),
        ("/status", served.status),
        *((f"{place}", served.model) for place in (model, f"{model}/versions/{{version}}")),
        *((f"{place}/ready", served.ready) for place in (model, f"{model}/versions/{{version}}")),
    ]
    posted = [f"{model}/infer", f"{model}/versions/{{version}}/infer"]
    return Starlette(
        routes=[
            *(Route(path, served.told(answer), methods=["GET"]) for path, answer in routes),
            *(Route(path, served.told(served.infer), methods=["POST"]) for path in posted),
            Route("/v2/repository/index", served.told(served.index), methods=["POST"]),
            Route("/v2/repository/models/{model}/load", served.told(served.load), methods=["POST"]),
        ],
        exception_handlers={HTTPException: served.strange},
    )


class _Served:
    """What is answered at each address."""

    def __init__(self, service: Service, version: str, log: Log, load: Callable[[], None]) -> None:
        self.service, self.version, self.log, self._load = service, version, log, load

    async def server(self, _: Request) -> Response:
        return _json(
            {"name": "scission", "version": self.version, "extensions": ["binary_tensor_data", "model_repository"]}
        )

    async def health(self, _: Request) -> Response:
        return Response(status_code=HTTPStatus.OK)

    async def counted(self, _: Request) -> Response:
        return Response(self.service.metrics.text(), media_type=CONTENT_TYPE)

    async def page(self, _: Request) -> Response:
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def status(self, _: Request) -> Response:
        return _json(self.service.status().to_dict())

    async def model(self, request: Request) -> Response:
        self._require(request)
        return _json(self.service.metadata())

    async def ready(self, request: Request) -> Response:
        self._require(request)
        return Response(status_code=HTTPStatus.OK)

    async def index(self, _: Request) -> Response:
        return _json([{"name": self.service.name, "version": VERSION, "state": "READY", "reason": ""}])

    async def load(self, request: Request) -> Response:
        self._require(request)
        await asyncio.to_thread(self._load)
        return Response(status_code=HTTPStatus.OK)

    async def infer(self, request: Request) -> Response:
        self._require(request)
        with self.service.place():
            limit = self.service.options.body_mib << 20
            try:
                body = await asyncio.wait_for(joined(request.stream(), limit), PATIENCE)
            except TimeoutError:
                raise RefusalError(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {PATIENCE:g} s") from None
            encoding = request.headers.get("content-encoding", "").strip().lower()
            if encoding:
                body = await asyncio.to_thread(inflated, body, encoding, limit)
            header = _header_length(request)
            if (len(body) if header is None else header) > limit // 4:
                reason = f"more than {limit // 4} bytes of JSON; send tensors as bytes behind it"
                raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
            answer = await self._while_awaited(request, body, header)
        request.state.parts = answer.parts
        return Response(answer.body, media_type=answer.content_type, headers=dict(answer.headers))

    async def _while_awaited(self, request: Request, body: bytes, header: int | None) -> Answer:
        """The answer, unless the client goes before there is one, which ends the model."""
        halt = Halt()
        answered = asyncio.ensure_future(self.service.infer(body, header, halt))
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                halt.stop()
                await asyncio.wait((answered,))  # its worker is free only then
                answered.exception()
                raise ClientDisconnect
            return answered.result()
        finally:
            gone.cancel()

    def _require(self, request: Request) -> None:
        name, version = request.path_params["model"], request.path_params.get("version", VERSION)
        if name != self.service.name or version != VERSION:
            reason = f"there is no model {name[:SHOWN]!r} of version {version[:SHOWN]!r} here; there is"
            raise RefusalError(HTTPStatus.NOT_FOUND, f"{reason} {self.service.name!r} of version {VERSION!r}")

    async def strange(self, request: Request, error: Exception) -> Response:
        """What no address takes."""
        assert isinstance(error, HTTPException)
        self._note(request, error.status_code, 0.0, 0, error.detail)
        return _json({"error": error.detail}, error.status_code, error.headers)

    def told(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """The same, counted and logged, with everything that goes wrong as an answer."""

        async def answered(request: Request) -> Response:
            started, reason = time.perf_counter(), None
            try:
                response: Response = await answer(request)
            except RefusalError as error:
                reason = str(error)
                after = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
                response = _json({"error": reason}, error.status, after)
            except ClientDisconnect:
                reason = "the client went before it had an answer"
                response = _json({"error": reason}, HTTPStatus.REQUEST_TIMEOUT)
            except Exception as error:  # the server goes on
                reason = f"{type(error).__name__}: {error}"
                response = _json({"error": "this is a defect of the server"}, HTTPStatus.INTERNAL_SERVER_ERROR)
            self._note(request, response.status_code, time.perf_counter() - started, len(response.body), reason)
            return response

        return answered

    def _note(self, request: Request, status: int, seconds: float, size: int, reason: str | None) -> None:
        self.service.metrics.requests.labels(self.service.name, str(status)).inc()
        if request.url.path.endswith("/infer"):
            self.service.metrics.seconds.labels(self.service.name).observe(seconds)
            self.service.recent.add(status, seconds)
        told = {"method": request.method, "path": request.url.path[:SHOWN], "status": status}
        length = request.headers.get("content-length", "")
        read = int(length) if length.isdecimal() and len(length) < 20 else None
        spent = {"seconds": round(seconds, 6), "bytes_in": read, "bytes_out": size}
        parts = getattr(request.state, "parts", ())
        called = {"parts": [*parts]} if parts else {}
        self.log(
            {
                "time": datetime.now(UTC).isoformat(),
                **told,
                **spent,
                **called,
                **({} if reason is None else {"error": reason}),
            }
        )


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _header_length(request: Request) -> int | None:
    told = request.headers.get(HEADER_LENGTH)
    if told is not None and not (told.isascii() and told.isdecimal() and len(told) < 20):
        raise refused(f"{HEADER_LENGTH} is no number of bytes")
    return None if told is None else int(told)


def _json(told: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(told), status, dict(headers or {}), "application/json")
