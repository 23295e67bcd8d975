"""How many labelled samples a model is run on at a time, so that it fits into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...ir.io.load import Model
from ..ort.memory import COMPARED, fitting, footprint, halvings, limit_of, session_bytes, weight_bytes
from ..ort.trials import Trials
from .dataset import Labelled

__all__ = ["kept_outputs", "within_memory"]

SESSIONS = 2  # the original, and a copy of it that is judged
SHARE = 4  # the part of what may be used in which outputs of the original are kept
BATCH = "batch"


def within_memory(model: Model, data: Labelled, trials: Trials) -> Labelled:
    """The same samples in feeds that fit into memory; only where the model fixes how many a feed has they stay.

    Raises NoMemoryError where not even the smallest feed can be run.
    """
    weights = weight_bytes(model.graph)
    limit = limit_of(trials.memory, asked=data.exact, weights=weights)

    def need(sizes: Mapping[str, int]) -> tuple[int, int]:
        shapes = {name: (sizes[BATCH], *array.shape[1:]) for name, array in data.arrays.items()}
        found = footprint(model.graph, shapes | {name: np.shape(array) for name, array in data.shared.items()})
        return SESSIONS * found.values + COMPARED * found.outputs, found.live + weights

    asked = {BATCH: data.batch}
    fewer = () if data.exact else halvings(asked, [BATCH])
    held = session_bytes(*[model.graph] * SESSIONS)
    chosen, _ = fitting(asked, fewer, need, limit, held, f"a batch of {model.name}")
    return replace(data, batch=chosen[BATCH])


def kept_outputs(model: Model, trials: Trials, most: int) -> int:
    """Bytes of outputs of the original that may be kept between runs, `most` at the most."""
    usual = limit_of(trials.memory, asked=False, weights=weight_bytes(model.graph)).usual
    return most if usual is None else min(most, usual // SHARE)
