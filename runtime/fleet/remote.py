"""A part whose replicas run in other processes: calls go to one of them, and to another one where it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import grpc
import numpy as np
import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from ...ir.errors import ScissionError
from ...ir.parts.manifest import PartFile
from ..http.refusal import RefusalError
from ..ort.library import Foreign
from ..serve.windows import window_of

__all__ = ["RemotePart", "Sent"]

PATIENCE = 60.0  # seconds until a call is given up: a replica that died takes some to come back
PAUSE = 0.05  # seconds before the first call of another replica, then twice as long, and so on
LONGEST = 1.0
DEAD = (
    RayActorError,
    ReplicaUnavailableError,
    DeploymentUnavailableError,
    ray.exceptions.NodeDiedError,
    grpc.aio.AioRpcError,  # of a replica that dies while it answers
    asyncio.CancelledError,  # of one that ends
)


class RemotePart:
    """A part, called by the handle that Ray has of its replicas. A part changes nothing, so that it may be called
    twice. reads, writes: where what it reads and writes lies in the whole."""

    def __init__(self, part: PartFile, handle: Any) -> None:
        # Results in the answer itself, not as objects of Ray's store, which takes twice as long for what is small.
        self.name, self._handle = part.name, handle.options(_by_reference=False)
        self.reads, self.writes = tuple(map(window_of, part.reads)), tuple(map(window_of, part.writes))

    def run(self, fed: Mapping[str, Any], how: Foreign) -> Sent:
        """Send a call; it is under way when this returns."""
        return Sent(self.name, self._handle, {name: np.ascontiguousarray(array) for name, array in fed.items()})


class Sent:
    """A call under way."""

    def __init__(self, name: str, handle: Any, fed: dict[str, Any]) -> None:
        self._name, self._handle, self._fed = name, handle, fed
        self._response = handle.remote(fed)

    def wait(self) -> tuple[dict[str, Any], float]:
        """The results and the seconds that the part took.

        Raises ScissionError where the part refuses, and RefusalError where no replica answers for long.
        """
        end, pause = time.monotonic() + PATIENCE, PAUSE
        while True:
            try:
                found: tuple[dict[str, Any], float] = self._response.result(timeout_s=max(end - time.monotonic(), 0.0))
                return found
            except RayTaskError as error:
                if isinstance(error.cause, ScissionError):  # where it comes as an object of Ray
                    raise error.cause from None
                raise
            except BackPressureError:
                raise _unavailable(f"{self._name}: too many calls wait for it") from None
            except TimeoutError:
                raise _unavailable(f"{self._name}: no replica answers") from None
            except DEAD as error:
                if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self._handle = self._handle.options(_by_reference=True)  # more than one message holds
                    self._response = self._handle.remote(self._fed)
                    continue
                if time.monotonic() + pause > end:
                    raise _unavailable(f"{self._name}: its replicas die") from None
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)
                self._response = self._handle.remote(self._fed)


def _unavailable(reason: str) -> RefusalError:
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, reason, 1)
