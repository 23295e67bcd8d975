"""What answers requests: a model as it is, or a folder of its parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ...ir.io.load import load
from ..ort.session import open_session
from ..ort.tensor_spec import TensorSpec
from ..ort.trials import Trials
from ..serve.local import LocalParts, load_parts
from .watch.calls import Calls
from .watch.status import PartStatus

__all__ = ["Answering", "name_of_model", "opened"]


class Answering(Protocol):
    """What can be served: a session, or parts that are run in their order."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""

    def run(self, feeds: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs in `names` for these inputs. Raises SessionError where they do not suit it."""


class ServedParts:
    """Parts of a model as one that answers, and what each of them was called for; runs in any thread.

    replicas: how many of a part there are, by its name.
    """

    def __init__(self, parts: LocalParts, replicas: Callable[[str], int] = lambda _: 1) -> None:
        self._replicas = replicas
        self._names = [part.name for part in parts.manifest.parts]
        self._calls, self._requests, self._lock = Calls(len(self._names)), 0, threading.Lock()
        self.running = 0  # requests
        self._parts = parts
        self.inputs, self.outputs = (
            tuple(
                TensorSpec(name=one.name, dtype=one.dtype, shape=() if one.shape is None else tuple(one.shape))
                for one in values
            )
            for values in (parts.manifest.inputs, parts.manifest.outputs)
        )

    def run(self, feeds: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs in `names` for these inputs. Raises SessionError where they do not suit the parts."""
        return self.traced(feeds, names)[0]

    def traced(
        self, feeds: Mapping[str, Any], names: Sequence[str] | None = None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The same, and the names of the parts that were called for it."""
        called: list[int] = []

        def watch(index: int, seconds: float) -> None:
            called.append(index)
            self._calls.add(index, seconds)

        with self._lock:
            self._requests += 1
            self.running += 1
        try:
            made = replace(self._parts, watch=watch).run(feeds)
        finally:
            with self._lock:
                self.running -= 1
        outputs = made if names is None else {name: made[name] for name in names}
        return outputs, tuple(self._names[index] for index in called)

    def statuses(self) -> tuple[PartStatus, ...]:
        """How often each part was called, and how long that took."""
        with self._lock:
            asked = max(self._requests, 1)
        return tuple(
            PartStatus(
                name=name,
                calls=one.calls,
                share=one.calls / asked,
                seconds=one.seconds / max(one.calls, 1),
                per_second=one.per_second,
                busy=one.busy,
                replicas=self._replicas(name),
            )
            for name, one in zip(self._names, self._calls.told(), strict=True)
        )


def opened(model: Path, trials: Trials) -> Answering:
    """A model, or the parts in a folder that `partition` wrote; trials: provider, threads, custom operators.

    Raises ModelError, SessionError or ManifestError for what cannot be opened.
    """
    if model.is_dir():
        return ServedParts(
            load_parts(model, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops)
        )
    load(model)  # what is no model is told so before ONNX Runtime has its own words for it
    return open_session(model, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops)


def name_of_model(path: Path) -> str:
    """What a model is called in addresses where nobody says otherwise."""
    return path.resolve().name if path.is_dir() else path.stem
