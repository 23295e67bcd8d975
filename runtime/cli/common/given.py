"""What commands are given: plans, weights, and models that are broken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ....ir.errors import ScissionError
from ...say import say

if TYPE_CHECKING:
    from ....ir.plan.plan import Plan
    from ...weights.source import Weight

__all__ = ["CHOICES", "read_plan", "read_weight", "say_refused"]

LEAST = 1 << 22  # indices that any plan may name: the weights of some models are computed
NAMED = 16  # indices to a byte of a model: a weight of four bits names two, in a step, a region, an annealing and so on
CHOICES = 40  # weights of a model that are listed when none is named


def say_refused(*models: Path) -> None:
    """A broken model can be looked at, but not without being told that it is broken."""
    from ....ir.io.load import load
    from ...ort.validity import refusal

    for path in models:
        if problem := refusal(load(path), path):
            say(f"warning: {ScissionError(f'{path}: ', *problem).for_shell}", err=True)


def read_plan(path: Path, model: Path) -> Plan:
    """A plan for a model from its file. Raises PlanError when it cannot be read as one, or names more than the model
    can have, ModelError where the model cannot be read.
    """
    from ....ir.files.reading import PLAN, read_text
    from ....ir.io.load import load
    from ....ir.io.save import files_read
    from ....ir.plan.plan import Plan, PlanError

    size = sum(file.stat().st_size for file in files_read(load(model)) if file.exists())
    try:
        return Plan.loads(read_text(path, PLAN), most=max(LEAST, NAMED * size))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise PlanError(f"{path}: cannot be read as a plan ({why}); make one with `scission plan -o`") from None
    except PlanError as error:
        raise PlanError(f"{path}: ", *error.parts) from None


def read_weight(source: str, everything: bool) -> Weight:
    """The weight to look at; where there are several, they are listed and the exit status is 2."""
    from ...weights.source import AmbiguousError
    from ...weights.source import read_weight as read

    try:
        return read(source)
    except AmbiguousError as error:
        say(f"error: {error.for_shell}", err=True)
        shown = error.choices if everything else error.choices[:CHOICES]
        for name, shape in shown:
            say(f"  {name}  {shape}", err=True)
        if len(shown) < len(error.choices):
            say(f"  … and {len(error.choices) - len(shown)} more (--all shows them)", err=True)
        raise typer.Exit(2) from None
