"""What samples show of a network with ReLU: what enters it, what it makes of that, and what is added to its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir
from ....passes.experts.find import ExpertPlace
from ...inputs.rows import CalibrationError, rows_in, rows_out
from ..removal.sampled import beside_of, rows_of_feed
from ..removal.stages import Stages

__all__ = ["NetworkRows", "sampled_rows"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkRows:
    """x (M, d): what enters a network; beside (M, d'): what is added to its results further on, 0 where nothing is."""

    x: Array
    beside: Array | float


def sampled_rows(stages: Stages, graph: ir.Model, place: ExpertPlace, name: str) -> NetworkRows:
    """What the samples show of one network of a model as it is by now; of each feed the same rows every time.

    name: what an error calls the model. Raises CalibrationError where no sample makes finite rows, SessionError where a
    stage does not run.
    """
    up, down = place.up, place.down
    other = beside_of(down)
    wanted = [up.activation.name or "", *([other.name or ""] if other is not None else [])]
    held = stages.run(graph, list(dict.fromkeys(wanted)))
    found: list[Array] = []
    added: list[Array] = []
    for values in held:
        rows = rows_in(up, values[wanted[0]], name)
        some = _spaced(len(rows), rows_of_feed(len(held), len(rows)))
        found.append(rows[some].astype(np.float32))
        if other is not None:
            added.append(rows_out(down, values[wanted[1]], len(rows), name)[some].astype(np.float32))
    x = np.concatenate(found)
    if not (x.size and np.isfinite(x).all() and all(np.isfinite(one).all() for one in added)):
        where = f"{name}: {up.address}"
        raise CalibrationError(f"{where}: a sample makes a NaN or an Inf of what enters it; leave that sample out")
    return NetworkRows(x, np.concatenate(added) if added else 0.0)


def _spaced(count: int, wanted: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, count - 1, wanted).astype(np.int64)
