"""Where training is, as a file: from it a run goes on as if it had never ended, to the bit."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...ir.files.reading import Kind, UnreadableError, open_file, path_of
from ...ir.io.files import write
from .options import RetrainError

__all__ = ["LookBack", "State", "any_state", "other_run", "read_state", "write_state"]

STATES = Kind("a checkpoint", 1 << 40)
VERSION = 1
AGAIN = "give another file, or remove it to begin anew"


@dataclass(frozen=True, slots=True)
class LookBack:
    """What was held back, at a step. loss: on it; hits: share of its labels that are met, None where they are no
    classes; trained: mean loss of the steps since the look before, None at the first."""

    step: int
    loss: float
    hits: float | None
    trained: float | None


@dataclass(slots=True)
class State:
    """step: of the optimiser; weights: of now; optimiser: its state; best: weights at the look with the smallest loss;
    looks: all so far; run: what the run depends on, as SHA-256."""

    run: str
    step: int
    weights: dict[str, Tensor]
    optimiser: dict[str, Any]
    best: dict[str, Tensor]
    looks: list[LookBack] = field(default_factory=list)

    @property
    def best_look(self) -> LookBack:
        """The look with the smallest loss, of equal ones the first."""
        return min(self.looks, key=lambda look: (look.loss, look.step))

    @property
    def stale(self) -> int:
        """Looks since the best one."""
        return len(self.looks) - 1 - self.looks.index(self.best_look)


def write_state(path: Path, state: State) -> None:
    """Write a state whole, in the place of the one before; raises ScissionError where the system refuses."""
    held = io.BytesIO()
    named = {name: getattr(state, name) for name in ("run", "step", "weights", "optimiser", "best")}
    torch.save({"version": VERSION, **named, "looks": [asdict(look) for look in state.looks]}, held)
    write({path: held.getvalue()}, overwrite=True)


def read_state(path: Path, run: str) -> State | None:
    """The state in a file; None where there is none. Raises RetrainError for a file that is none, or of another run."""
    state = any_state(path)
    if state is not None and state.run != run:
        raise other_run(path)
    return state


def other_run(path: Path) -> RetrainError:
    """What is wrong with a checkpoint of another run."""
    return RetrainError(f"{path}: is a checkpoint of training with other data, weights or options; {AGAIN}")


def any_state(path: Path) -> State | None:
    """The state in a file, of whatever run; None where there is none. Raises RetrainError for a file that is none."""
    if not path.exists():
        return None
    try:
        with open_file(path, STATES) as file:
            held = torch.load(path_of(file), weights_only=True)
        looks = [LookBack(**look) for look in held["looks"]]
        version, known = held["version"], held["run"]
        state = State(known, held["step"], held["weights"], held["optimiser"], held["best"], looks)
    except (MemoryError, UnreadableError):
        raise
    except Exception as error:  # the unpickler raises whatever a damaged stream leads it to
        raise RetrainError(f"{path}: is no checkpoint of training ({type(error).__name__}); {AGAIN}") from error
    if version != VERSION:
        raise other_run(path)
    return state
