"""Recorders of activity: they gather, batch by batch, what calibration samples show of one linear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...connectivity.bipartite import Labels, by_smallest_member
from .activity import Activity, ActivityError

__all__ = ["InputRecorder", "Recorder"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"

LIMIT = 1 << 24  # entries of a matrix of evidence: 128 MiB of 64-bit numbers
CHUNK = 1 << 22  # entries of activations turned into float64 at a time
LINKS = 1 << 18  # entries of activity searched for classes at a time


class _Classes:
    """Classes of features under 'both active in one sample', closed transitively, kept up to date sample by sample.

    They are the components of the bipartite graph of samples and features, so no (K, K) matrix is needed.
    """

    def __init__(self, size: int) -> None:
        self.labels: Labels = np.arange(size)

    def update(self, active: Mask) -> None:
        """Take in samples (M, features) of Booleans."""
        step = max(1, LINKS // max(self.labels.size, 1))
        for start in range(0, len(active), step):
            self._update(active[start : start + step])

    def _update(self, active: Mask) -> None:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        order = np.argsort(self.labels, kind="stable")
        count = int(self.labels.max(initial=-1)) + 1
        starts = np.searchsorted(self.labels[order], np.arange(count))
        met = np.logical_or.reduceat(active[:, order], starts, axis=1) if count else active
        met = met[np.count_nonzero(met, axis=1) > 1]  # a sample inside one class says nothing new
        if not met.size:
            return
        sample, found = np.nonzero(met)
        graph = csr_array((np.ones(sample.size, np.int8), (sample + count, found)), shape=(count + len(met),) * 2)
        merged = connected_components(graph, directed=False)[1][:count]
        self.labels = by_smallest_member(merged[self.labels])


class InputRecorder:
    """Gathers what samples show of an activation with K features; linears that read the same one can share it.

    threshold: an entry is active when |x| is above it; gram: whether this (K, K) matrix is kept, which it never is
    beyond `limit` entries. Memory: 8 K² bytes at most, and a few chunks.
    """

    def __init__(self, features: int, *, threshold: float = 0.0, gram: bool = True, limit: int = LIMIT) -> None:
        if not threshold >= 0:
            raise ActivityError(f"the threshold of activity must be at least 0, got {threshold}")
        small = features * features <= limit
        self.threshold, self.limit = threshold, limit
        self.samples = self.lost = 0
        self.counts: Labels = np.zeros(features, np.int64)
        self.gram = np.zeros((features, features)) if gram and small else None
        self.classes = _Classes(features)

    def update(self, x: Array) -> None:
        """Take in samples x (M, K). Raises ActivityError when x does not fit, or an Activity has been handed out."""
        if not self.counts.flags.writeable:
            raise ActivityError("its evidence has been handed out already; start another recorder")
        for part in _chunks(x, self.counts.size):
            finite = np.isfinite(part).all(axis=1)
            self.lost += len(part) - int(finite.sum())
            rows = part if finite.all() else part[finite]
            active = np.abs(rows) > self.threshold
            self.samples += len(rows)
            self.counts += np.count_nonzero(active, axis=0)
            if self.gram is not None:
                self.gram += rows.T @ rows
            self.classes.update(active)


class Recorder:
    """Gathers what samples show of a linear of shape (K, N): `update` once a batch, then `activity`.

    inputs: what gathers the activation, when several linears share it and its owner feeds it; else one is made with
    the other options, see `InputRecorder`.

    >>> recorder = Recorder((3, 2))
    >>> recorder.update(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> activity = recorder.activity()
    >>> activity.inputs.tolist(), activity.labels.tolist(), activity.exposure.tolist()
    ([1, 1, 1], [0, 0, 1], [[1, 0], [1, 0], [0, 1]])
    """

    def __init__(self, shape: tuple[int, int], inputs: InputRecorder | None = None, **options: Any) -> None:
        self.shape = K, N = shape
        self.inputs = InputRecorder(K, **options) if inputs is None else inputs
        self._own = inputs is None
        self._paired = 0
        self._outputs: Labels = np.zeros(N, np.int64)
        self._exposure: Labels | None = np.zeros(shape, np.int64) if self.inputs.limit >= K * N else None
        if self.inputs.counts.size != K:
            raise ActivityError(f"a linear of shape {shape} cannot share an activation of {self.inputs.counts.size}")

    def update(self, x: Array, y: Array | None = None) -> None:
        """Take in samples x (M, K) and, where known, what came out of them, y (M, N), behind its activation function.

        A weight's update needs an error signal at its output. An output whose activation function returns 0 passes
        none on, so the activity of y stands in for that of the error signal, which inference does not have.
        Raises ActivityError when a shape does not fit, or an Activity has been handed out.
        """
        if self._own:
            self.inputs.update(x)
        if y is None:
            return
        if len(x) != len(y):
            raise ActivityError(f"{len(x)} rows of inputs with {len(y)} rows of outputs; give the same samples of both")
        K, N = self.shape
        for rows, results in zip(_chunks(x, K, K + N), _chunks(y, N, K + N), strict=True):
            finite = np.isfinite(rows).all(axis=1) & np.isfinite(results).all(axis=1)
            entering = np.abs(rows[finite]) > self.inputs.threshold
            leaving = np.abs(results[finite]) > self.inputs.threshold
            self._paired += len(entering)
            self._outputs += np.count_nonzero(leaving, axis=0)
            if self._exposure is not None:
                _count(self._exposure, entering, leaving)

    def activity(self) -> Activity:
        """What was gathered; nothing can be added after it. Raises ActivityError without a single finite sample."""
        seen, known = self.inputs, self._paired > 0
        if not seen.samples:
            why = f"all {seen.lost} rows hold a NaN or an Inf" if seen.lost else "no sample was given"
            raise ActivityError(f"nothing is known of an activation of {self.shape[0]} features: {why}")
        return Activity(
            shape=self.shape,
            samples=seen.samples,
            lost=seen.lost,
            inputs=_final(seen.counts),
            labels=_final(seen.classes.labels),
            gram=None if seen.gram is None else _final(seen.gram),
            paired=self._paired,
            outputs=_final(self._outputs) if known else None,
            exposure=_final(self._exposure) if known and self._exposure is not None else None,
        )


def _chunks(samples: Array, features: int, width: int = 0) -> Iterator[Float64]:
    """Rows (M, features) in float64, so many that CHUNK entries of `width` (or `features`) hold them."""
    if samples.ndim != 2 or samples.shape[1] != features:
        raise ActivityError(f"activations of shape {samples.shape} where rows of {features} features belong")
    step = max(1, CHUNK // max(width or features, 1))
    for start in range(0, len(samples), step):
        yield samples[start : start + step].astype(np.float64)


def _count(counts: Labels, left: Mask, right: Mask) -> None:
    """Add the samples in which both are active, for each pair; float32 is exact up to 2^24, more than a chunk has."""
    if left.all() and right.all():
        counts += len(left)
    else:
        counts += (left.T.astype(np.float32) @ right.astype(np.float32)).astype(np.int64)


def _final(array: Array) -> Array:
    array.setflags(write=False)
    return array
