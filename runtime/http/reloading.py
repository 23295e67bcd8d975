"""Another model in the place of the one that is served: opened beside it, held against it, and no request is lost.

requests ──► model ─────────────────────► ends with the last request that began with it
                 another one is opened ─┐
requests ───────────────────────────────┴──► other model          what cannot be opened, or takes something else,
                                                                  is told, and the one that is served goes on
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ...ir.errors import ScissionError
from ..ort.trials import Trials
from .answering import opened
from .refusal import RefusalError
from .service import Service
from .watch.mark import mark_of

__all__ = ["Reloading"]


class Reloading:
    """The file or folder that a service is of, which may become another one; log: is told of every change."""

    def __init__(self, model: Path, trials: Trials, service: Service, log: Callable[[Mapping[str, Any]], None]) -> None:
        self._model, self._trials, self._service, self._log = model, trials, service, log
        self._busy = threading.Lock()
        self._seen = mark_of(self._model)

    def load(self) -> None:
        """Open what lies there now, and serve it from then on.

        Raises RefusalError where that is already being done, and where it cannot be opened or takes or gives something
        else than what is served, which goes on then.
        """
        if not self._busy.acquire(blocking=False):
            raise RefusalError(HTTPStatus.CONFLICT, "another model is being loaded already", 1)
        try:
            self._seen = mark_of(self._model)
            # Where a link leads is asked once: it may be turned while files of the folder are read.
            self._service.replace(opened(self._model.resolve(), self._trials))
        except ScissionError as error:
            reason = f"{error}; the model that was served goes on"
            self._tell({"error": reason})
            raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, reason) from error
        finally:
            self._busy.release()
        self._tell({})

    @contextlib.contextmanager
    def watched(self, seconds: float | None) -> Iterator[None]:
        """Look every so many seconds whether something else lies there, and load it; None for never."""
        if seconds is None:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._look, args=(seconds, ended), name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _look(self, seconds: float, ended: threading.Event) -> None:
        while not ended.wait(seconds):
            mark = mark_of(self._model)
            if mark is not None and mark != self._seen:
                with contextlib.suppress(RefusalError):  # which was told
                    self.load()

    def _tell(self, more: Mapping[str, Any]) -> None:
        self._log({"time": datetime.now(UTC).isoformat(), "loaded": str(self._model), **more})
