"""One model that answers requests: so many at once, so many waiting, the next one told when to come again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from ...ir.errors import ScissionError
from ..ort.halt import Halt, halted_by
from ..ort.library import SessionError
from ..ort.tensor_spec import TensorSpec
from .answering import Answering, ServedParts
from .datatypes import name_of
from .metrics import Metrics
from .options import ServeOptions
from .refusal import RefusalError
from .request import read_request
from .response import Answer, answer
from .watch.status import PartStatus, Recent, Status

__all__ = ["Service"]

MEMORY = 0.9  # of what is known of how long a run takes, in what is known after the next one


class Service:
    """A model, and the requests that it answers now; used from one event loop.

    Raises ScissionError for a model that takes what the protocol has no type for; such outputs are not served.
    """

    def __init__(self, model: Answering, name: str, options: ServeOptions, metrics: Metrics) -> None:
        self.name, self.options, self.metrics, self._model = name, options, metrics, model
        self.inputs, self.outputs, self.left_out = _interface(model, name)
        self._types = {spec.name: name_of(spec.dtype) or "" for spec in self.outputs}
        self._pool = ThreadPoolExecutor(options.workers, "run")
        self._inside, self._mean = 0, 0.0
        self.recent = Recent()
        metrics.waiting.labels(name).set_function(lambda: self._waiting)
        metrics.running.labels(name).set_function(lambda: self._running)
        metrics.watch_parts(name, self._parts)

    def metadata(self) -> dict[str, Any]:
        """What the model takes and gives, as the protocol tells it; a size of -1 is any."""
        return {
            "name": self.name,
            "versions": ["1"],
            "platform": "onnx_onnxv1",
            "inputs": [_described(spec) for spec in self.inputs],
            "outputs": [_described(spec) for spec in self.outputs],
        }

    def replace(self, model: Answering) -> None:
        """Answer with another model from now on; requests that are being answered end with the one they began with.

        Raises ScissionError for one that takes or gives something else.
        """
        inputs, outputs, _ = _interface(model, self.name)
        for mine, own in ((self.inputs, inputs), (self.outputs, outputs)):
            if [_described(spec) for spec in mine] != [_described(spec) for spec in own]:
                told = [_told(next(iter(only), None)) for only in (_only(own, mine), _only(mine, own))]
                raise ScissionError(f"{self.name}: has {told[0]} where the model that is served has {told[1]}")
        self._model = model

    @property
    def _running(self) -> int:
        return min(self._inside, self.options.workers)

    @property
    def _waiting(self) -> int:
        return self._inside - self._running

    def status(self) -> Status:
        """How it is doing now."""
        return self.recent.status(self.name, self.options.workers, self._running, self._waiting, self._parts())

    def _parts(self) -> tuple[PartStatus, ...]:
        return self._model.statuses() if isinstance(self._model, ServedParts) else ()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one request. Raises RefusalError where no more may wait."""
        if self._inside >= self.options.workers + self.options.queue:
            expected = math.ceil(self._mean * self._inside / self.options.workers) or 1
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._inside} requests are being served", expected)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def infer(self, body: bytes, json_bytes: int | None, halt: Halt) -> Answer:
        """Answer one request, in a thread of its own; `halt` ends it.

        Raises RefusalError for what the model cannot be given, and where it takes longer than it may.
        """
        computed = asyncio.get_running_loop().run_in_executor(self._pool, self._compute, body, json_bytes, halt)
        try:
            return await asyncio.wait_for(computed, self.options.deadline)
        except TimeoutError:
            reason = f"the model did not answer within {self.options.deadline:g} seconds"
            raise RefusalError(HTTPStatus.GATEWAY_TIMEOUT, reason) from None
        finally:
            halt.stop()

    def close(self) -> None:
        """Take no more; what runs goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _compute(self, body: bytes, json_bytes: int | None, halt: Halt) -> Answer:
        if halt.asked:
            raise RefusalError(HTTPStatus.GATEWAY_TIMEOUT, "nobody waits for the answer any more")
        started = time.perf_counter()
        try:
            request = read_request(body, json_bytes, self.inputs, self.outputs)
            started = time.perf_counter()
            names = [wanted.name for wanted in request.wanted]
            called: tuple[str, ...] = ()
            model = self._model  # another one may be in its place before this request ends
            with halted_by(halt):
                if isinstance(model, ServedParts):
                    outputs, called = model.traced(request.feeds, names)
                else:
                    outputs = model.run(request.feeds, names)
        except SessionError as error:
            raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        except MemoryError:
            raise RefusalError(
                HTTPStatus.SERVICE_UNAVAILABLE, "there is not enough memory for this request", 1
            ) from None
        took = time.perf_counter() - started
        self._mean = took if not self._mean else MEMORY * self._mean + (1 - MEMORY) * took
        self.metrics.run_seconds.labels(self.name).observe(took)
        return replace(answer(request, outputs, self._types, self.name), parts=called)


def _interface(model: Answering, name: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], tuple[str, ...]]:
    """What of a model the protocol has types for: inputs, outputs, and the names of outputs that are left out."""
    strange = [spec.name for spec in model.inputs if name_of(spec.dtype) is None and not spec.optional]
    if strange:
        raise ScissionError(f"{name}: the protocol has no type for the input {strange[0]!r}; it cannot be served")
    inputs = tuple(spec for spec in model.inputs if name_of(spec.dtype) is not None)
    outputs = tuple(spec for spec in model.outputs if name_of(spec.dtype) is not None)
    if not outputs:
        raise ScissionError(f"{name}: the protocol has no type for any of its outputs; it cannot be served")
    return inputs, outputs, tuple(spec.name for spec in model.outputs if name_of(spec.dtype) is None)


def _only(these: Sequence[TensorSpec], others: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    known = [_described(spec) for spec in others]
    return [one for one in map(_described, these) if one not in known]


def _told(described: Mapping[str, Any] | None) -> str:
    if described is None:
        return "nothing more, or another order,"
    return f"{described['name']!r} ({described['datatype']}{described['shape']})"


def _described(spec: TensorSpec) -> dict[str, Any]:
    shape = [dim if isinstance(dim, int) else -1 for dim in spec.shape]
    return {"name": spec.name, "datatype": name_of(spec.dtype), "shape": shape}
