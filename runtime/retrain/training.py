"""Training step by step, with looks at what is held back, that goes on where it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...ir.progress import Progress
from ..upgrade.interpreter.interpreted import Interpreted
from .objective import Objective, hits
from .options import RetrainOptions
from .samples import Piece, Pieces
from .state import LookBack, State, read_state, write_state

__all__ = ["Training", "computing_alike"]

MOMENTUM = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """A module, what it is to do, and on what. inside: names of values inside of it that the objective is about too;
    checkpoint: where its state is kept, None for nowhere; run: what the run depends on, as SHA-256; after: called with
    the number of each step once that is done, to change weights in place."""

    module: Interpreted
    objective: Objective
    trained: Pieces
    held_back: Pieces
    options: RetrainOptions
    checkpoint: Path | None
    run: str
    inside: tuple[str, ...] = ()
    after: Callable[[int], None] | None = None

    def __call__(self, progress: Progress | None = None) -> tuple[State, int]:
        """(The state at the end, the step that it went on from): the module has the weights of the best look.

        The order of samples follows from the step alone, and no number is drawn, so that a run that was killed and
        goes on from its last checkpoint does what one that was not does.
        """
        optimiser = self._optimiser()
        state = None if self.checkpoint is None else read_state(self.checkpoint, self.run)
        began = 0 if state is None else state.step
        if state is None:
            state = State(self.run, 0, _copied(self.module), {}, _copied(self.module), [self._look(0, None)])
        else:
            self._load(state.weights)
            optimiser.load_state_dict(state.optimiser)
        batches = self._from(state.step)
        while state.step < self.options.steps and state.stale < self.options.patience:
            losses = []
            for _ in range(min(self.options.every, self.options.steps - state.step)):
                losses.append(self._step(optimiser, next(batches), state.step))
                state.step += 1
                if self.after:
                    self.after(state.step)
                if progress:
                    progress(state.step, self.options.steps, f"held back {state.looks[-1].loss:.4g}")
            state.looks.append(self._look(state.step, sum(losses) / len(losses)))
            state.weights, state.optimiser = _copied(self.module), optimiser.state_dict()
            if not state.stale:
                state.best = state.weights
            if self.checkpoint is not None:
                write_state(self.checkpoint, state)
        self._load(state.best)
        return state, began

    def _optimiser(self) -> torch.optim.Optimizer:
        parameters = list(self.module.parameters())
        if self.options.optimiser == "sgd":
            return torch.optim.SGD(parameters, lr=self.options.rate, momentum=MOMENTUM)
        return torch.optim.Adam(parameters, lr=self.options.rate)

    def _from(self, step: int) -> Iterator[Piece]:
        """Batches from a step on, without an end."""
        epoch, done = divmod(step, self.trained.rounds)
        while True:
            for index, piece in enumerate(self.trained.batches(epoch, self.options.seed)):
                if index >= done:
                    yield piece
            epoch, done = epoch + 1, 0

    def _step(self, optimiser: torch.optim.Optimizer, piece: Piece, step: int) -> float:
        for group in optimiser.param_groups:
            group["lr"] = self.options.rate_at(step)
        optimiser.zero_grad()
        loss = self.objective(self.module.observe(self.inside, **piece.inputs), piece.labels, piece.told)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    def _look(self, step: int, trained: float | None) -> LookBack:
        """The loss on what is held back, a mean over samples."""
        total, met, count, classes = 0.0, 0, 0, self.objective.loss == "cross-entropy"
        labels = 0
        with torch.no_grad():
            for piece in self.held_back.batches(None, 0):
                made = self.module.observe((), **piece.inputs)
                total += float(self.objective.of_outputs(made, piece.labels, piece.told)) * piece.size
                count += piece.size
                if classes and piece.labels is not None:
                    met += hits(made[self.objective.about], piece.labels)
                    labels += piece.labels.numel()
        loss = total / max(count, 1)
        return LookBack(step, loss if math.isfinite(loss) else math.inf, met / labels if labels else None, trained)

    def _load(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(weights[name])


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@contextmanager
def computing_alike(threads: int | None) -> Iterator[None]:
    """Inside of it torch computes the same each time, with so many threads; settings are put back behind it."""
    before: Any = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(threads or before[0])
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=warned)
