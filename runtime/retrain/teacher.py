"""A model that others learn from: what it says, and what it computes on the way to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.given.sources import Source
from ..compare.probe_runs import expose
from ..ort.opened import as_file
from ..ort.session import ModelSource, Session, open_session
from ..ort.trials import Trials
from ..upgrade.interpreter.interpreted import Interpreted
from .options import RetrainError
from .regions import agreeing, candidates, spaced
from .samples import MOST

__all__ = ["Teacher", "teacher_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """outputs: names of what it says that a module says too; regions: of values inside that both have."""

    session: Session
    outputs: tuple[str, ...]
    regions: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All that is learnt from it, in the order that an objective takes it in."""
        return (*self.outputs, *self.regions)

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """What it says and computes of a feed, by name."""
        found = self.session.run(feed, list(self.names))
        return {name: np.asarray(found[name]) for name in self.names}


@contextmanager
def teacher_of(
    source: Source, module: Interpreted, feed: Mapping[str, Array], samples: int, inside: bool, trials: Trials
) -> Iterator[Teacher]:
    """A model beside a module that learns from it.

    feed: some of the samples, of which there are `samples` in all; inside: whether values inside are learnt, as many as
    `MOST` bytes hold beside the outputs. Raises RetrainError where it has no output in common with the module,
    SessionError where ONNX Runtime refuses it.
    """
    with as_file(source, "teacher") as (path, loaded):
        wanted = candidates(module, loaded.graph.graph) if inside else ()
        exposed = ModelSource(expose(path, wanted), loaded.name, path.absolute().parent) if wanted else path
        session = open_session(exposed, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops)
        told = {name: np.asarray(value) for name, value in session.run(feed).items()}
        outputs = tuple(name for name in module.output_names if name in told and told[name].dtype.kind in "fV")
        if not outputs:
            names = " or ".join(module.output_names)
            raise RetrainError(f"the teacher has no output of floating-point numbers called {names}")
        agreed = agreeing(module, wanted, feed, told)
        rows = max(told[outputs[0]].shape[0] if told[outputs[0]].ndim else 1, 1)
        largest = max((told[name].nbytes for name in agreed), default=0) * samples / rows
        room = MOST - sum(told[name].nbytes for name in outputs) * samples / rows
        regions = spaced(agreed, int(room / largest)) if largest and room > 0 else ()
        yield Teacher(session, outputs, regions)
