"""Runs of a session on memory that stays the same from call to call: of a small model most time goes into the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .library import Foreign, onnxruntime
from .session import Session

__all__ = ["PreparedRun", "prepare"]

Array = npt.NDArray[Any]
KINDS = "biuf"  # of NumPy's types, those that ONNX Runtime has as well


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRun:
    """A run that reads `inputs` and writes `outputs`, arrays that are filled before and read after a call.

    One thread at a time may use it.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    ort: Foreign
    binding: Foreign

    def __call__(self, how: Foreign) -> None:
        """Run the model; how: options of the run, or None. Whatever ONNX Runtime raises is passed on: another run that
        is not prepared says what is wrong."""
        self.ort.run_with_iobinding(self.binding, how)


def prepare(session: Session, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> PreparedRun | None:
    """A run of these types and shapes; None where memory cannot be shared with the provider.

    inputs, outputs: of a run of the session, by name, all of them.
    """
    arrays = [*inputs.values(), *outputs.values()]
    if session.provider != "cpu" or not all(
        isinstance(array, np.ndarray) and array.dtype.kind in KINDS and array.size for array in arrays
    ):
        return None
    made = PreparedRun(
        {name: np.empty(array.shape, array.dtype) for name, array in inputs.items()},
        {name: np.empty(array.shape, array.dtype) for name, array in outputs.items()},
        session.ort,
        session.ort.io_binding(),
    )
    value = onnxruntime().OrtValue.ortvalue_from_numpy  # shares the array's memory, which `made` keeps
    for name, array in made.inputs.items():
        made.binding.bind_ortvalue_input(name, value(array))
    for name, array in made.outputs.items():
        made.binding.bind_ortvalue_output(name, value(array))
    return made
