"""What runs in a process of its own for each replica: one part, calls one after another, several as one where asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray import serve

from ...ir.parts.share import ManifestError
from ..ort.session import open_session
from ..ort.trials import Trials
from ..serve.folder import read_manifest, require_files

__all__ = ["Replica", "joined_runs"]

Feed = Mapping[str, Any]


class Replica:
    """A part that answers calls: (results, seconds).

    Raises ManifestError where the folder is not what was deployed, SessionError where the part cannot be opened.
    """

    def __init__(self, folder: str, plan: str, part: str, trials: Trials, batch: int, gather: float) -> None:
        manifest = read_manifest(Path(folder))
        if manifest.plan != plan:
            raise ManifestError(f"{folder}: holds other parts than those that are served")
        own = next(one for one in manifest.parts if one.name == part)
        require_files(Path(folder), own)
        self._session = open_session(
            Path(folder) / own.model, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops
        )
        self._batch = batch
        if batch:
            self._many = serve.batch(max_batch_size=batch, batch_wait_timeout_s=gather)(self._run_many)

    async def __call__(self, fed: Feed) -> tuple[dict[str, Any], float]:
        """The results for these inputs. Raises SessionError where they do not suit the part."""
        if self._batch:
            found: tuple[dict[str, Any], float] = await self._many(fed)
            return found
        return await asyncio.to_thread(self._run, fed)

    def _run(self, fed: Feed) -> tuple[dict[str, Any], float]:
        began = time.perf_counter()
        made = dict(self._session.run(fed))
        return made, time.perf_counter() - began

    async def _run_many(self, calls: list[Feed]) -> list[tuple[dict[str, Any], float]]:
        return await asyncio.to_thread(self.as_one, calls)

    def as_one(self, calls: Sequence[Feed]) -> list[tuple[dict[str, Any], float]]:
        """The results of several calls, run as one where that can be."""
        found: list[tuple[dict[str, Any], float]] = [({}, 0.0)] * len(calls)
        for places in joined_runs(calls, self._batch):
            if len(places) == 1:
                found[places[0]] = self._run(calls[places[0]])
                continue
            rows = [len(next(iter(calls[place].values()))) for place in places]
            fed = {name: np.concatenate([calls[place][name] for place in places]) for name in calls[places[0]]}
            made, took = self._run(fed)
            ends = np.cumsum(rows)
            for place, end, count in zip(places, ends, rows, strict=True):
                own = {name: array[end - count : end] for name, array in made.items()}
                found[place] = own, took * count / int(ends[-1])
        return found


def joined_runs(calls: Sequence[Feed], most: int) -> list[list[int]]:
    """Which calls are run as one, by their places: those whose inputs differ in nothing but the rows that they have,
    the same number in each input, up to `most` rows."""
    found: list[list[int]] = []
    open_: dict[Any, tuple[list[int], int]] = {}
    for place, fed in enumerate(calls):
        shapes = {np.shape(array)[:1] for array in fed.values()}
        rows = shapes.pop() if len(shapes) == 1 else ()
        if not rows:
            found.append([place])
            continue
        kind = tuple((name, np.asarray(array).dtype.str, np.shape(array)[1:]) for name, array in sorted(fed.items()))
        own, count = open_.get(kind, ([], 0))
        if not own or count + rows[0] > most:
            own, count = [], 0
            found.append(own)
        own.append(place)
        open_[kind] = own, count + rows[0]
    return found
