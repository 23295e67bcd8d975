"""What calibration samples show of one linear: which features are active, which are active together, and how strongly.

The evidence of paper section 2.3: a weight receives an update only in a sample in which both of its ends are active
(lemma 2.1), so features that are never linked by such samples form separate classes (definitions 2.1 and 2.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..ir.errors import ScissionError
from ..ir.plan import Decomposition
from .components import Labels, by_smallest_member, numbered

__all__ = [
    "Activity",
    "ActivityError",
    "InputRecorder",
    "Recorder",
    "classes",
    "importance",
    "operator_classes",
    "relative_error",
    "removed_error",
    "veto",
]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"

LIMIT = 1 << 24  # entries of a matrix of evidence: 128 MiB of 64-bit numbers
CHUNK = 1 << 22  # entries of activations or weights turned into float64 at a time
LINKS = 1 << 18  # entries of activity searched for classes at a time


class ActivityError(ScissionError):
    """Activations that do not fit their linear, or evidence that was not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """What M samples (rows of an activation) showed of a linear of shape (K, N).

    samples: M; lost: rows left out for a NaN or an Inf in them; inputs: (K,) samples in which an input was active;
    mean, squares: (K,) mean and sum of squares of each input, so that sqrt(squares) is ‖x_k‖; labels: (K,) classes of
    inputs; gram: (K, K) the normal equations XᵀX; joint: (K, K) samples in which both inputs were active.
    paired: samples whose output is known too; outputs: (N,) samples in which an output was active; exposure: (K, N)
    samples in which both ends of a weight were active; links: the classes of inputs and outputs, see
    `operator_classes`. What was not recorded, or was too large to be, is None.
    """

    shape: tuple[int, int]
    samples: int
    lost: int
    inputs: Labels
    mean: Float64
    squares: Float64
    labels: Labels
    gram: Float64 | None
    joint: Labels | None
    paired: int
    outputs: Labels | None
    exposure: Labels | None
    links: tuple[Labels, Labels] | None


class _Classes:
    """Classes of features under 'both active in one sample', closed transitively, kept up to date sample by sample.

    They are the components of the bipartite graph of samples and features, so no (K, K) matrix is needed.
    """

    def __init__(self, size: int) -> None:
        self.labels: Labels = np.arange(size)
        self.seen: Mask = np.zeros(size, bool)

    def update(self, active: Mask) -> None:
        """Take in samples (M, features) of Booleans."""
        step = max(1, LINKS // max(self.labels.size, 1))
        for start in range(0, len(active), step):
            self._update(active[start : start + step])

    def _update(self, active: Mask) -> None:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        self.seen |= active.any(axis=0)
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

    threshold: an entry is active when |x| is above it; gram, joint: whether these (K, K) matrices are kept, which they
    never are beyond `limit` entries. Memory: 16 K² bytes at most, and a few chunks.
    """

    def __init__(
        self, features: int, *, threshold: float = 0.0, gram: bool = True, joint: bool = True, limit: int = LIMIT
    ) -> None:
        if not threshold >= 0:
            raise ActivityError(f"the threshold of activity must be at least 0, got {threshold}")
        small = features * features <= limit
        self.threshold, self.limit = threshold, limit
        self.samples = self.lost = 0
        self.counts: Labels = np.zeros(features, np.int64)
        self.sums, self.squares = np.zeros(features), np.zeros(features)
        self.gram = np.zeros((features, features)) if gram and small else None
        self.joint: Labels | None = np.zeros((features, features), np.int64) if joint and small else None
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
            self.sums += rows.sum(axis=0)
            self.squares += np.einsum("mk,mk->k", rows, rows)
            if self.gram is not None:
                self.gram += rows.T @ rows
            if self.joint is not None:
                _count(self.joint, active, active)
            self.classes.update(active)


class Recorder:
    """Gathers what samples show of a linear of shape (K, N): `update` once a batch, then `activity`.

    inputs: what gathers the activation, when several linears share it and its owner feeds it; else one is made with
    the other options, see `InputRecorder`.

    >>> recorder = Recorder((3, 2))
    >>> recorder.update(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> activity = recorder.activity()
    >>> activity.inputs.tolist(), classes(activity).tolist(), activity.exposure.tolist()
    ([1, 1, 1], [0, 0, 1], [[1, 0], [1, 0], [0, 1]])
    """

    def __init__(self, shape: tuple[int, int], inputs: InputRecorder | None = None, **options: Any) -> None:
        self.shape = K, N = shape
        self.inputs = InputRecorder(K, **options) if inputs is None else inputs
        self._own = inputs is None
        self._paired = 0
        self._outputs: Labels = np.zeros(N, np.int64)
        self._exposure: Labels | None = np.zeros(shape, np.int64) if self.inputs.limit >= K * N else None
        self._links = _Classes(K + N)
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
            both = entering.any(axis=1) & leaving.any(axis=1)
            self._links.update(np.hstack([entering[both], leaving[both]]))

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
            mean=seen.sums / seen.samples,
            squares=_final(seen.squares),
            labels=_final(seen.classes.labels),
            gram=None if seen.gram is None else _final(seen.gram),
            joint=None if seen.joint is None else _final(seen.joint),
            paired=self._paired,
            outputs=_final(self._outputs) if known else None,
            exposure=_final(self._exposure) if known and self._exposure is not None else None,
            links=self._linked() if known else None,
        )

    def _linked(self) -> tuple[Labels, Labels]:
        labels = np.where(self._links.seen, self._links.labels, -1)
        found = numbered(labels[: self.shape[0]], labels[self.shape[0] :], 0)
        return found.inputs, found.outputs


def classes(activity: Activity, least: int = 1) -> Labels:
    """Co-occurrence classes of the inputs (K,), numbered by smallest member (paper, definitions 2.1 and 2.2).

    Two inputs are in one class when a chain of inputs joins them, neighbours being active together in at least `least`
    samples; an input that never is stays alone. More than one sample needs `joint`: raises ActivityError without it.
    """
    if least <= 1:
        return activity.labels
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if activity.joint is None:
        raise ActivityError(f"inputs active together in {least} samples cannot be told: their counts were not recorded")
    return by_smallest_member(connected_components(csr_array(activity.joint >= least), directed=False)[1])


def operator_classes(activity: Activity, least: int = 1) -> tuple[Labels, Labels]:
    """Classes of inputs (K,) and outputs (N,) over the weights that could have been updated, numbered by first input.

    They are the components of the bipartite graph of all (k, n) active in at least `least` common samples; -1 is a
    feature without any. Where learning was plain and local, every weight between two classes is as it was initialised.
    Outputs stand in for error signals, see `Recorder.update`. Raises ActivityError when outputs were not recorded, or
    their exposure was not and `least` needs it.
    """
    if activity.links is None:
        raise ActivityError("the outputs were not recorded, so it cannot be told which weights could be updated")
    if least <= 1:
        return activity.links
    from .components import components
    from .edges import relate

    if activity.exposure is None:
        raise ActivityError(f"weights exposed in {least} samples cannot be told: their exposure was not recorded")
    found = components(relate(activity.exposure, least - 1))
    return found.inputs, found.outputs


def importance(weight: Array, activity: Activity) -> Array:
    """|w_kn| · ‖x_k‖ of each weight (K, N), in float32 at least.

    Source: Sun et al., A Simple and Effective Pruning Approach for Large Language Models (Wanda), 2023.
    """
    _fit(weight, activity.shape)
    score: Array = np.abs(weight if weight.dtype.itemsize >= 4 else weight.astype(np.float32))
    score *= np.sqrt(activity.squares)[:, None].astype(score.dtype)
    return score


def veto(weight: Array, decomposition: Decomposition, activity: Activity) -> float:
    """Share of the squared importance of a weight (K, N) that lies outside the blocks, 0 to 1.

    What a decomposition would remove, as far as the inputs tell: exact for its output error where inputs are
    uncorrelated. Raises ActivityError when shapes differ or a weight is NaN or infinite.
    """
    _fit(weight, activity.shape)
    _fit(weight, decomposition.shape)
    whole = sum(float(activity.squares @ np.square(part).sum(axis=1)) for _, part in _columns(weight))
    removed = sum(float(activity.squares @ np.square(part).sum(axis=1)) for part in _removed(weight, decomposition))
    return min(removed / whole, 1.0) if removed else 0.0


def removed_error(weight: Array, decomposition: Decomposition, gram: Float64) -> float:
    """‖X R‖_F / ‖X W‖_F for the part R of a weight (K, N) outside the blocks, from gram = XᵀX (K, K).

    The relative error of the product, over the samples, when that part is removed; biases do not count.
    Raises ActivityError when shapes differ or a weight is NaN or infinite.
    """
    _fit(weight, decomposition.shape)
    return _relative(_removed(weight, decomposition), weight, gram)


def relative_error(weight: Array, other: Array, gram: Float64) -> float:
    """‖X (W - V)‖_F / ‖X W‖_F for two weights W and V (K, N), from gram = XᵀX (K, K).

    Infinite when nothing but V reaches the output. Raises ActivityError as `removed_error` does.

    >>> relative_error(np.array([[3.0], [4.0]]), np.array([[3.0], [0.0]]), np.eye(2))
    0.8
    """
    _fit(other, weight.shape)
    pairs = zip(_columns(weight), _columns(other), strict=True)
    return _relative((part - changed for (_, part), (_, changed) in pairs), weight, gram)


def _relative(parts: Iterator[Float64], weight: Array, gram: Float64) -> float:
    if gram.shape != (weight.shape[0],) * 2:
        raise ActivityError(f"the normal equations have shape {gram.shape}, the weight {weight.shape}")
    error = sum(_energy(part, gram) for part in parts)
    whole = sum(_energy(part, gram) for _, part in _columns(weight))
    if not error > 0:
        return 0.0
    return float(np.sqrt(error / whole)) if whole > 0 else float("inf")


def _energy(weight: Float64, gram: Float64) -> float:
    """‖X W‖² as trace(Wᵀ G W)."""
    return float(np.vdot(weight, gram @ weight))


def _columns(weight: Array) -> Iterator[tuple[slice, Float64]]:
    """A weight in float64, a run of columns at a time."""
    step = max(1, CHUNK // max(weight.shape[0], 1))
    for start in range(0, weight.shape[1], step):
        run = slice(start, start + step)
        part = weight[:, run].astype(np.float64)
        if not np.isfinite(part).all():
            raise ActivityError("the weight holds a NaN or an Inf, so no error can be foretold; leave it dense")
        yield run, part


def _removed(weight: Array, decomposition: Decomposition) -> Iterator[Float64]:
    """The same, zero inside the blocks."""
    owner = np.full(weight.shape[1], -1)
    for index, block in enumerate(decomposition.blocks):
        owner[block.outputs] = index
    for run, part in _columns(weight):
        for index in set(owner[run].tolist()) - {-1}:
            part[np.ix_(decomposition.blocks[index].inputs, owner[run] == index)] = 0
        yield part


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


def _fit(weight: Array, shape: tuple[int, ...]) -> None:
    if weight.shape != shape:
        raise ActivityError(f"the weight has shape {weight.shape}, its evidence is for {shape}")


def _final(array: Array) -> Array:
    array.setflags(write=False)
    return array
