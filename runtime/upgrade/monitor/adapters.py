"""A monitor as a callback of Lightning, and of the Trainer of transformers, neither of which is imported here.

Both ask what they call for methods of a base of their own. Where a library is loaded, which it is where a trainer of it
is, its base is taken; what has no base answers every call and does nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .structure_monitor import StructureMonitor

__all__ = ["lightning_callback", "trainer_callback"]


class _Deaf:
    """Answers every event with nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    """What happens at events that nobody waits for."""


def _base(name: str, *libraries: str) -> type:
    """The base of callbacks in the first of these libraries that is loaded."""
    for library in libraries:
        if library in sys.modules and hasattr(sys.modules[library], name):
            return getattr(sys.modules[library], name)  # type: ignore[no-any-return]
    return _Deaf


def trainer_callback(monitor: StructureMonitor) -> Any:
    """A callback for `transformers.Trainer(callbacks=[…])`, which looks after steps of its optimiser."""

    class StructureCallback(_base("TrainerCallback", "transformers.trainer_callback", "transformers")):  # type: ignore[misc]
        """Tells a monitor of each step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """The optimiser has made a step."""
            monitor.step(state.global_step)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Training is over."""
            monitor.close()

    return StructureCallback()


def lightning_callback(monitor: StructureMonitor) -> Any:
    """A callback for `lightning.Trainer(callbacks=[…])`; checkpoints of the trainer hold the monitor's state.

    Batches whose gradients are only accumulated are no steps.
    """

    class StructureCallback(_base("Callback", "lightning.pytorch", "pytorch_lightning")):  # type: ignore[misc]
        """Tells a monitor of each step."""

        def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
            """A batch is done, and perhaps a step of the optimiser."""
            if trainer.global_step > monitor.steps:
                monitor.step(trainer.global_step)

        def on_fit_end(self, *_: Any, **__: Any) -> None:
            """Training is over."""
            monitor.close()

        def state_dict(self) -> dict[str, Any]:
            """What a checkpoint keeps."""
            return monitor.state_dict()

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            """Go on from a checkpoint."""
            monitor.load_state_dict(state_dict)

    return StructureCallback()
