"""A monitor that looks at the weights of a module every few steps of its training."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from ....ir.errors import ScissionError, option
from ....ir.evidence.null import Null
from ....ir.findings.formation import BlockSigns, EdgeStructure, Look, RunError, WeightLook
from .evidence import SpareTime, initial_null, signs_of
from .looking import look_at
from .run_log import RunLog
from .watching import followed, given, watched

__all__ = ["EvidenceWhen", "Shows", "StructureMonitor"]

EvidenceWhen = Literal["off", "spare", "each"]
SHARE = 0.01  # of the time since the run began that the test of blocks may take


class Shows(Protocol):
    """Something that shows a look, such as `LiveView` and `TensorBoardView`."""

    def show(self, look: Look) -> None:
        """A look that is new."""


class StructureMonitor:
    """Watches the structure of a module's weights while it is trained: call `step` after each step of the optimiser.

    module: every parameter of two dimensions is looked at, but tables of embeddings, and frozen ones that are no
    floating-point numbers; one that another of its name takes the place of is followed. log: a file that gets a line
    of JSON for each look, see `scission monitor`, from one monitor at a time. every: steps from one look to the next.
    initial: the weights before training by name, a state_dict, where the module has been trained already; False: they
    are not known. By default they are those of now, of which a copy is kept beside each weight. evidence: when the test
    of whole blocks looks at weights that are one component, and at their changes: 'spare', in a thread of its own that
    takes a hundredth of the time, 'each' at every look, which training waits for, or 'off'. resume: go on with a log
    that is there, behind the step of the state that is loaded, or of the first number above 1 that `step` is told.
    to: what shows each look.

    A look costs one comparison of each weight where it lies, and a search over its edges packed into bits on the host.
    Raises RunError for a log that is there already, that another monitor writes, or that cannot be written,
    ScissionError for a module without such weights, and for weights without values or of other types of numbers.

    >>> layer = nn.Linear(4, 4, bias=False)
    >>> monitor = StructureMonitor(layer, every=1, evidence="off")
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> layer(torch.tensor([1.0, 1.0, 0.0, 0.0]))[:2].sum().backward()
    >>> optimizer.step()
    >>> look = monitor.step()
    >>> look.weights[0].change.components, look.weights[0].inputs, look.weights[0].outputs
    (1, '0x2,-1x2', '0x2,-1x2')
    """

    def __init__(
        self,
        module: nn.Module,
        log: str | os.PathLike[str] | None = None,
        *,
        every: int = 100,
        initial: Mapping[str, Tensor] | Literal[False] | None = None,
        evidence: EvidenceWhen = "spare",
        resume: bool = False,
        to: Sequence[Shows] = (),
    ) -> None:
        if type(every) is not int or every < 1:
            raise ScissionError(f"{every!r} is no number of steps; use ", option("every", 100))
        if evidence not in get_args(EvidenceWhen):
            raise ScissionError(f"unknown {evidence!r}; use one of {', '.join(get_args(EvidenceWhen))}")
        if not isinstance(module, nn.Module):
            raise ScissionError(f"a module of torch is wanted, not a {type(module).__name__}")
        self._module, self.weights = module, dict(watched(module))
        if not self.weights:
            raise ScissionError("the module has no parameter of two dimensions to look at; give one that has")
        self.initial: dict[str, Tensor] = {}
        if initial is not False:
            own = {name: weight.detach().clone() for name, weight in self.weights.items()}
            self.initial = own if initial is None else given(initial, self.weights)
        self.every, self.evidence, self.steps = every, evidence, 0
        self._log, self._begun = None if log is None else RunLog(log, resume), False
        self._to, self._began = tuple(to), time.monotonic()
        self._spare, self._turn = SpareTime(SHARE), 0
        self._signs: dict[tuple[str, str], BlockSigns] = {}  # by name and relation
        self._labels: dict[str, tuple[str | None, str | None]] = {}

    def step(self, number: int | None = None) -> Look | None:
        """Count a step, or be told its number, from 1; the look where it is time for one, else None.

        Raises RunError for a number that is none or less than the last one, and in a run that goes on with a log and
        begins before its end without the state of the monitor that wrote it.
        """
        before = self.steps
        now = before + 1 if number is None else _whole(number)
        if now < before:
            raise RunError(f"step {now} follows {before}; a run that goes back loads the state of its monitor")
        if not self._begun and self._log is not None:
            if number is not None and now > max(1, self._log.first):
                self._log.resume_after(now - 1)
            self._log.require(now)
        self.steps, self._begun = now, True
        return self.look() if self.steps // self.every > before // self.every else None

    def look(self) -> Look:
        """Look at all weights now, and log and show what is there; in the log it replaces one at the same step.

        Raises ScissionError where a weight is gone, or of another shape or type than before, and RunError for a log
        that cannot be written.
        """
        began = time.monotonic()
        self.weights = followed(self._module, self.weights)
        if self._log is not None and (self._log.refresh() or self._log.last >= self.steps):
            self._labels.clear()  # what it replaces may be where they are
        seen = [look_at(name, weight, self.initial.get(name)) for name, weight in self.weights.items()]
        if self.evidence == "each":
            for found in seen:
                for of, one in _relations(found):
                    self._judge(found.name, of, one, self._values(found.name, of), self.steps)
        elif self.evidence == "spare":
            self._in_spare_time(seen)
        weights = tuple(self._told(found) for found in seen)
        now = time.monotonic()
        look = Look(step=self.steps, seconds=now - self._began, took=now - began, weights=weights)
        if self._log is not None:
            self._log.add(look)
        for each in self._to:
            each.show(look)
        return look

    def close(self) -> None:
        """Wait for what still runs beside the training, and let others write the log."""
        self._spare.wait()
        if self._log is not None:
            self._log.close()

    def state_dict(self) -> dict[str, Any]:
        """What a run that resumes needs: the number of steps, and the initial weights."""
        return {"steps": self.steps, "initial": dict(self.initial)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises ScissionError where it is none, or that of other weights."""
        if not isinstance(state, Mapping) or not {"steps", "initial"} <= state.keys():
            raise ScissionError("this is no state of a monitor; give what its state_dict returned")
        steps, initial = _whole(state["steps"]), state["initial"]
        self.initial = given(initial, self.weights) if initial else self.initial
        self.steps, self._begun = steps, True
        self._labels.clear()
        self._signs.clear()
        if self._log is not None:
            self._log.resume_after(steps)

    def _in_spare_time(self, seen: Sequence[WeightLook]) -> None:
        """Begin the next test, where there is time for it: weights take turns."""
        todo = [(look.name, of, one) for look in seen for of, one in _relations(look) if _is_open(look, one)]
        if not todo:
            return
        name, of, one = todo[self._turn % len(todo)]
        entries = self.weights[name].numel()
        if self._spare.affords(entries):
            self._turn += 1
            values = self._values(name, of)
            self._spare.run(partial(self._judge, name, of, one, values, self.steps), entries)

    def _judge(self, name: str, of: str, one: EdgeStructure, values: Any, step: int) -> None:
        null: Null | None = None
        if of == "weight" and name in self.initial:
            null = initial_null(self.initial[name].float().cpu().numpy())
        if one.edges:
            self._signs[name, of] = signs_of(step, values, null)

    def _values(self, name: str, of: str) -> Any:
        """The weight, or its change, canonical (K, N) on the host."""
        now = self.weights[name].detach()
        values = now if of == "weight" else now - self.initial[name].to(now.device)
        return values.T.to("cpu", torch.float32, copy=True).numpy()

    def _told(self, look: WeightLook) -> WeightLook:
        """With the evidence that is there, and components only where they are news."""
        parts: Any = {of: replace(one, signs=self._signs.get((look.name, of))) for of, one in _relations(look)}
        labels = (look.inputs, look.outputs)
        news = self._labels.get(look.name) != labels
        self._labels[look.name] = labels
        inputs, outputs = labels if news else (None, None)
        return replace(look, inputs=inputs, outputs=outputs, **parts)


def _whole(number: Any) -> int:
    """A number of steps, also one of numpy or torch; raises RunError for anything else."""
    try:
        found = operator.index(number)
    except TypeError:
        found = -1
    if isinstance(number, bool) or found < 0:
        raise RunError(f"{number!r} is no number of a step; count them from 1")
    return found


def _relations(look: WeightLook) -> list[tuple[str, EdgeStructure]]:
    found: list[tuple[str, EdgeStructure]] = [("weight", look.weight)]
    return found if look.change is None else [*found, ("change", look.change)]


def _is_open(look: WeightLook, one: EdgeStructure) -> bool:
    """Whether edges alone do not tell blocks apart: all of them hang together."""
    return one.components == 1 and one.edges > sum(look.shape)
