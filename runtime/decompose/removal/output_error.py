"""How far the outputs of a changed model are from those of the original, on some of the calibration samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    whole: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        feeds = self.task.calibration.feeds
        places = np.linspace(0, len(feeds) - 1, min(FEEDS, len(feeds))).astype(np.int64)
        self.feeds = [feeds[place] for place in places]
        self.before = list(self._outputs(self.task.model.graph))
        tiny = float(np.finfo(np.float64).tiny)
        self.whole = {
            name: max(sum(_squares(values[name], 0.0) for values in self.before), tiny) for name in self.before[0]
        }

    def __call__(self, changed: ir.Model) -> float:
        """The error of a changed copy of the model."""
        total = dict.fromkeys(self.whole, 0.0)
        for before, after in zip(self.before, self._outputs(changed), strict=True):
            for name in total:
                total[name] += _squares(before[name], after[name])
        return sum(total[name] / self.whole[name] for name in total) / max(len(total), 1)

    def _outputs(self, graph: ir.Model) -> Iterator[Mapping[str, Array]]:
        trials = self.task.trials
        with written(self.task.model, graph.clone(), "changed") as path:
            session = open_session(
                ModelSource(path, self.task.model.name),
                provider=trials.provider,
                threads=trials.threads,
                tf32=False,
                custom_ops=trials.custom_ops,
            )
            for feed in self.feeds:
                yield session.run(feed)


def _squares(one: Array, other: Array | float) -> float:
    """The sum of squared differences."""
    difference = np.subtract(one, other, dtype=np.float64)
    return float(np.vdot(difference, difference))
