"""What training has to learn: what the model says of the calibration samples, and their labels where a metric has any.

Some of the samples are held back from training, and tell when it has learnt all it can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ...calibrate.metric.kernels import IGNORED
from ...ort.opened import written
from ...ort.session import open_session
from ...retrain.objective import Objective
from ...retrain.samples import Piece
from ...upgrade.interpreter.tensors import tensor_of
from ..task.method import DecomposeTask

__all__ = ["BlockLesson", "FeedPieces", "block_lesson"]

Array = npt.NDArray[Any]
Feed = Mapping[str, Array]

HELD_BACK = 0.2
BATCH = 32  # samples of a step, where feeds can be taken apart
CLASSES, VALUES = ("argmax", "top5", "perplexity"), ("mse",)  # metrics whose labels are learnt, by their loss


@dataclass(frozen=True, slots=True, eq=False)
class FeedPieces:
    """Feeds with what the teacher says of them, `told`, and labels. batch: samples of a step, where every array has a
    row a sample, so that samples may be put together at will; 0 where a feed is a step as it is."""

    feeds: Sequence[Feed]
    told: Sequence[tuple[Array, ...]]
    labels: Sequence[Array] | None
    batch: int

    @property
    def rounds(self) -> int:
        """Batches of an epoch."""
        return max(self.count // self.batch, 1) if self.batch else len(self.feeds)

    @property
    def count(self) -> int:
        """Samples that may be put together at will, or feeds."""
        return len(next(iter(self.feeds[0].values()))) if self.batch else len(self.feeds)

    def batches(self, epoch: int | None, seed: int) -> Iterator[Piece]:
        """All samples once, in an order that depends on the epoch and the seed alone; None: as they are.

        While training, a batch that would not be whole is left out where there is a whole one.
        """
        count = self.count
        order = np.arange(count) if epoch is None else np.random.default_rng((seed, epoch)).permutation(count)
        if not self.batch:
            yield from (self._piece(int(place), slice(None)) for place in order)
            return
        for start in range(0, count, self.batch):
            own = order[start : start + self.batch]
            if epoch is None or own.size == self.batch or count < self.batch:
                yield self._piece(0, own)

    def _piece(self, place: int, rows: Any) -> Piece:
        feed = self.feeds[place]
        own = None if self.labels is None else np.asarray(self.labels[place])
        labels = None if own is None else torch.from_numpy(np.array(own[rows] if self.batch else own))
        inputs = {name: tensor_of(np.asarray(array)[rows] if self.batch else array) for name, array in feed.items()}
        told = tuple(tensor_of(np.asarray(array)[rows] if self.batch else array) for array in self.told[place])
        return Piece(inputs, labels, told, max((len(one) for one in inputs.values() if one.ndim), default=1))


@dataclass(frozen=True, slots=True, eq=False)
class BlockLesson:
    """objective: what is made smaller; trained, held_back: samples, each in one of the two."""

    objective: Objective
    trained: FeedPieces
    held_back: FeedPieces


def block_lesson(task: DecomposeTask) -> BlockLesson | Reason:
    """The lesson of a task, drawn by its seed; why there is none where there are too few samples, or no outputs that
    have a gradient. Raises SessionError where the model does not run."""
    names = [str(value.name) for value in task.model.graph.graph.outputs if _is_float(value)]
    if not names:
        return Reason(
            Cause.UNSUPPORTED, "the model has no output of floating-point numbers, and others cannot be learnt"
        )
    feeds = [{name: np.asarray(array) for name, array in feed.items()} for feed in task.calibration.feeds]
    told = _told(task, feeds, names)
    about = task.goal.metric.name.partition("@")[2] or names[0]
    place = names.index(about) if about in names else 0
    loss = _loss(task, [own[place] for own in told]) if about in names else None
    labels = None if loss is None else [np.asarray(one) for one in task.calibration.labels or ()]
    merged = None if _fixed(task) else _merged(feeds, told, labels)
    whole = FeedPieces(feeds, told, labels, 0) if merged is None else merged
    if whole.count < 2:
        return Reason(Cause.UNTESTED, f"training needs two samples at the least, and there is {whole.count}")
    order = np.random.default_rng(task.seed).permutation(whole.count)
    cut = min(max(round(HELD_BACK * whole.count), 1), whole.count - 1)
    parts = [_part(whole, np.sort(own)) for own in (order[cut:], order[:cut])]
    return BlockLesson(_objective(task, names, names[place], loss, told), *parts)


def _objective(
    task: DecomposeTask, names: Sequence[str], about: str, loss: str | None, told: Sequence[tuple[Array, ...]]
) -> Objective:
    values = {str(value.name): value for value in task.model.graph.graph.outputs}
    places = {name: place for place, name in enumerate(values)}
    squares = [[np.mean(np.square(array, dtype=np.float64)) for array in own] for own in zip(*told, strict=True)]
    producer = values[about].producer()
    return Objective(
        loss=loss,
        about=places[about],
        probabilities=producer is not None and producer.op_type == "Softmax",
        taught=tuple((places[name], float(np.mean(own))) for name, own in zip(names, squares, strict=True)),
    )


def _fixed(task: DecomposeTask) -> bool:
    """Whether the model fixes how many rows an input has, so that its feeds stay as they are."""
    shapes = [value.shape for value in task.model.graph.graph.inputs if value.const_value is None]
    return any(shape is not None and len(shape) and isinstance(shape[0], int) for shape in shapes)


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def _loss(task: DecomposeTask, outputs: Sequence[Array]) -> str | None:
    """The loss of the labels, where the metric says what they are and they suit the outputs; None where they are not
    learnt, whatever the metric then says of them."""
    labels, kind = task.calibration.labels, task.goal.metric.name.partition("@")[0]
    pairs = [] if labels is None else [(np.asarray(a), b) for a, b in zip(labels, outputs, strict=True)]
    if kind in VALUES and pairs and all(a.dtype.kind in "iubf" and a.size == b.size for a, b in pairs):
        return "mse"
    if kind in CLASSES and pairs and all(_are_classes(a, b) for a, b in pairs):
        return "cross-entropy"
    return None


def _are_classes(labels: Array, scores: Array) -> bool:
    """Whether there is the number of a class for each row of scores."""
    if labels.dtype.kind not in "iub" or scores.ndim < 2 or labels.size * scores.shape[-1] != scores.size:
        return False
    counted = labels[labels != IGNORED]
    return not counted.size or bool(counted.min() >= 0 and counted.max() < scores.shape[-1])


def _told(task: DecomposeTask, feeds: Sequence[Feed], names: Sequence[str]) -> list[tuple[Array, ...]]:
    """What the model says of each feed, output by output."""
    trials, model = task.trials, task.model
    with written(model, model.graph.clone(), "teacher") as path:
        session = open_session(path, provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops)
        return [tuple(np.asarray(made[name]) for name in names) for made in map(session.run, feeds)]


def _merged(
    feeds: Sequence[Feed], told: Sequence[tuple[Array, ...]], labels: Sequence[Array] | None
) -> FeedPieces | None:
    """All feeds as one, whose rows are samples; None where an array has no row for each, or other shapes."""
    shapes = set()
    for place, feed in enumerate(feeds):
        arrays = [*feed.values(), *told[place], *([] if labels is None else [labels[place]])]
        rows = {array.shape[0] if array.ndim else -1 for array in arrays}
        if len(rows) != 1 or -1 in rows:
            return None
        shapes.add(tuple(array.shape[1:] for array in arrays))
    if len(shapes) != 1:
        return None
    one = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    said = tuple(np.concatenate(own) for own in zip(*told, strict=True))
    return FeedPieces([one], [said], None if labels is None else [np.concatenate(labels)], BATCH)


def _part(whole: FeedPieces, own: npt.NDArray[np.int64]) -> FeedPieces:
    """Some samples, or some feeds where these cannot be taken apart."""
    labels = whole.labels
    if not whole.batch:
        some = None if labels is None else [labels[place] for place in own]
        return FeedPieces([whole.feeds[place] for place in own], [whole.told[place] for place in own], some, 0)
    feed = {name: array[own] for name, array in whole.feeds[0].items()}
    told = tuple(array[own] for array in whole.told[0])
    return FeedPieces([feed], [told], None if labels is None else [labels[0][own]], whole.batch)
