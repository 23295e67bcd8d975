"""How far the outputs of a changed model are from those of the original, on some of the calibration samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir
from ...ort.opened import written
from ...ort.session import ModelSource, open_session
from ..task.method import DecomposeTask

__all__ = ["OutputError"]

Array = npt.NDArray[Any]

FEEDS = 16


@dataclass(slots=True, eq=False)
class OutputError:
    """The sum of squared differences over that of squares, of all outputs of floats together, each in its own units."""

    task: DecomposeTask
    feeds: list[Mapping[str, Array]] = field(init=False)
    before: list[Mapping[str, Array]] = field(init=False)

    def __post_init__(self) -> None:
        feeds = self.task.calibration.feeds
        places = np.linspace(0, len(feeds) - 1, min(FEEDS, len(feeds))).astype(np.int64)
        self.feeds = [feeds[place] for place in places]
        self.before = self._outputs(self.task.model.graph)

    def __call__(self, changed: ir.Model) -> float:
        """The error of a changed copy of the model."""
        total = 0.0
        after = self._outputs(changed)
        for name in self.before[0]:
            pairs = [
                (np.asarray(a[name], np.float64), np.asarray(b[name], np.float64))
                for a, b in zip(self.before, after, strict=True)
            ]
            whole = sum(float(np.square(a).sum()) for a, _ in pairs)
            total += sum(float(np.square(a - b).sum()) for a, b in pairs) / max(whole, np.finfo(np.float64).tiny)
        return total / max(len(self.before[0]), 1)

    def _outputs(self, graph: ir.Model) -> list[Mapping[str, Array]]:
        trials = self.task.trials
        with written(self.task.model, graph.clone(), "changed") as path:
            session = open_session(
                ModelSource(path, self.task.model.name),
                provider=trials.provider,
                threads=trials.threads,
                tf32=False,
                custom_ops=trials.custom_ops,
            )
            return [session.run(feed) for feed in self.feeds]
