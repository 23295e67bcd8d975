"""Real inputs from a file, in as many parts as it takes for two models to be run on them within memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ...ir.errors import option
from ...ir.io.load import Model
from ..inputs.inputs import load_npz, npz_bytes
from ..inputs.spec import spec_of
from ..notes import LoweredWarning
from ..ort.memory import (
    Footprint,
    MemoryLimit,
    NoMemoryError,
    footprint,
    limit_of,
    room_beside,
    session_bytes,
    shown_bytes,
    weight_bytes,
)
from ..ort.tensor_spec import TensorSpec

if TYPE_CHECKING:
    from ..ort.trials import Trials

__all__ = ["real_feeds", "require_room"]

Feed: TypeAlias = "dict[str, Any]"


def real_feeds(model: Model, path: Path, trials: Trials) -> list[Feed]:
    """The feeds that a file makes, see `load_npz`; one that takes too much memory comes in parts, of fewer rows each.

    Only where the graph leaves the first dimension of every input open by the same name are rows parted, and then a
    warning says so. Raises InputError as `load_npz` does, NoMemoryError where the file itself or the least that running
    the model on it takes is more than may be used.
    """
    limit = limit_of(trials.memory, asked=True)
    require_room(path, limit)
    spec = spec_of(model, given=True)
    feeds = load_npz(path, spec)
    held, weights = session_bytes(model.graph, model.graph), weight_bytes(model.graph)
    room = room_beside(held, limit)
    if room is None:
        return feeds
    found: list[Feed] = []
    for feed in feeds:
        whole = _need(model, feed).compared
        parts = _parts(feed, spec, math.ceil(whole / max(room, 1)))
        need = _need(model, parts[0])
        least = need.inputs + need.live + weights
        if limit.most is not None and least > limit.most:
            raise NoMemoryError(
                f"{model.name} needs {shown_bytes(least)} of memory at the least for {path} and "
                f"{shown_bytes(limit.most)} may be used; give fewer samples, or allow more with ",
                option("memory"),
            )
        if len(parts) > 1:
            _tell(path, parts, whole, limit)
        found += parts
    return found


def _need(model: Model, feed: Feed) -> Footprint:
    return footprint(model.graph, {name: np.shape(array) for name, array in feed.items()})


def require_room(path: Path, limit: MemoryLimit) -> None:
    """Raise NoMemoryError where the arrays of an .npz file are more than may be used; nothing of it is read."""
    held = npz_bytes(path)
    if limit.most is not None and held > limit.most:
        raise NoMemoryError(
            f"{path} holds {shown_bytes(held)} and {shown_bytes(limit.most)} may be used; give fewer samples, or allow "
            "more with ",
            option("memory"),
        )


def _parts(feed: Feed, spec: Sequence[TensorSpec], count: int) -> list[Feed]:
    """A feed in so many parts of its rows or a few more, at least one row each; whole where it cannot be parted."""
    spec = [one for one in spec if one.name in feed]
    first = {one.shape[0] if one.shape else 0 for one in spec}
    others = {dim for one in spec for dim in one.shape[1:] if isinstance(dim, str)}
    open_ = all(isinstance(dim, str) or (dim is None and len(spec) == 1) for dim in first)
    if count < 2 or len(first) != 1 or not open_ or first & others:
        return [feed]
    total = len(feed[spec[0].name])
    each = max(1, total // count)
    return [
        {name: array[start : start + each] for name, array in feed.items()} for start in range(0, max(total, 1), each)
    ]


def _tell(path: Path, parts: Sequence[Feed], need: int, limit: MemoryLimit) -> None:
    rows = [len(next(iter(part.values()))) for part in parts]
    told = (
        f"{path}: {rows[0]} rows at a time instead of {sum(rows)}: that would need {shown_bytes(need)}, "
        f"{shown_bytes(limit.usual or 0)} may be used; allow more with "
    )
    warnings.warn(LoweredWarning(told, option("memory")), stacklevel=2)
