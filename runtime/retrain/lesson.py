"""What a module is to learn from data: the objective, and the samples that are trained on and held back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ..calibrate.dataset import Labelled, split
from .objective import Objective
from .options import RetrainError, RetrainOptions
from .samples import Samples

__all__ = ["Lesson", "lesson_of"]

Array = npt.NDArray[Any]
TOLD = "scission.told/"  # before the names of a teacher's outputs, among arrays that are divided with the inputs
FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """objective: what is made smaller; trained, held_back: samples, each in one of the two; inside: names of values
    between the layers that the objective is about too."""

    objective: Objective
    trained: Samples
    held_back: Samples
    inside: tuple[str, ...] = ()


def lesson_of(model: Model, data: Labelled, told: Mapping[str, Array], options: RetrainOptions) -> Lesson:
    """What there is to learn. told: what a teacher says, by name, empty where there is none: outputs that the model has
    too, and behind them values inside of both.

    Raises RetrainError where there are neither labels nor a teacher, or labels do not suit the output.
    """
    outputs = {str(value.name): value for value in model.graph.graph.outputs}
    if options.about is not None and options.about not in outputs:
        raise RetrainError(f"{model.name}: has no output {options.about!r}, but {', '.join(outputs)}")
    about = options.about or next((name for name, value in outputs.items() if value.dtype in FLOATS), None)
    if about is None:
        raise RetrainError(f"{model.name}: has no output of floating-point numbers, and others have no gradient")
    if data.targets is None and not told:
        raise RetrainError(
            f"{model.name}: nothing says what is to be learnt; give ", option("labels"), " or ", option("teacher")
        )
    names = list(outputs)
    inside = tuple(name for name in told if name not in outputs)
    sizes = {name: float(np.mean(np.square(array, dtype=np.float64))) for name, array in told.items()}
    producer = outputs[about].producer()
    objective = Objective(
        loss=None if data.targets is None else _loss(model, data.targets, options),
        about=names.index(about),
        probabilities=producer is not None and producer.op_type == "Softmax",
        taught=tuple((names.index(name), size) for name, size in sizes.items() if name in outputs),
        regions=tuple((len(names) + place, sizes[name]) for place, name in enumerate(inside)),
    )
    whole = replace(data, arrays={**data.arrays, **{f"{TOLD}{name}": array for name, array in told.items()}})
    parts = split(whole, 1 - options.held_back, options.seed)
    trained, held_back = (_samples(part) for part in parts)
    return Lesson(objective, trained, held_back, inside)


def _samples(part: Labelled) -> Samples:
    told = tuple(array for name, array in part.arrays.items() if name.startswith(TOLD))
    inputs = {name: array for name, array in part.arrays.items() if not name.startswith(TOLD)}
    return Samples(replace(part, arrays=inputs), told)


def _loss(model: Model, targets: Array, options: RetrainOptions) -> str:
    """The loss of labels: of classes where they are whole numbers."""
    whole = targets.dtype.kind in "iub"
    if targets.dtype.kind not in "iubf":
        raise RetrainError(f"{model.name}: labels of type {targets.dtype} are no numbers; give classes, or values")
    if options.loss == "cross-entropy" and not whole:
        raise RetrainError("cross-entropy needs the numbers of classes, and labels are no whole numbers; use ", _mse())
    return options.loss if options.loss != "auto" else "cross-entropy" if whole else "mse"


def _mse() -> Any:
    return option("loss", "mse")
