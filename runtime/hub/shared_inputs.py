"""What is said of inputs and sizes for a whole folder, for each of its models what that one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...ir.io.load import load
from ..inputs.feeds.inputs_file import names_of
from ..inputs.inputs import InputError
from ..inputs.wishes import wishes_of
from ..ort.trials import Trials
from ..pipeline.options import PlanOptions

__all__ = ["shared_inputs"]


def shared_inputs(
    folder: Path, models: Sequence[Path], options: PlanOptions, trials: Trials
) -> list[tuple[PlanOptions, Trials]]:
    """Options and trials for each model of a folder, with values, ranges, sizes and the like of what it has alone.

    Raises InputError for a name that none of them has.
    """
    wishes = wishes_of(trials)
    asked = {*(options.sizes or {}), *(options.fix or {}), *(trials.sizes or {})}
    if not asked and not wishes.named:
        return [(options, trials)] * len(models)
    there = [names_of(load(folder / path)) for path in models]
    for what, names, known in (
        ("input is called", wishes.named, {name for inputs, _ in there for name in inputs}),
        ("input has an open dimension called", asked, {name for _, sizes in there for name in sizes}),
    ):
        if unknown := names - known:
            told = ", ".join(map(repr, sorted(known))) or "none"
            raise InputError(
                f"{folder}: of none of its {len(models)} models an {what} {min(unknown)!r}; there is {told}"
            )
    shared = []
    for inputs, sizes in there:
        own = wishes.without(wishes.named - inputs)
        said: dict[str, Any] = {"values": own.values or None, "ranges": own.ranges or None, "likes": own.likes or None}
        shared.append(
            (
                replace(options, sizes=_of(options.sizes, sizes), fix=_of(options.fix, sizes)),
                replace(trials, sizes=_of(trials.sizes, sizes), **said),
            )
        )
    return shared


def _of(said: Any, names: frozenset[str]) -> dict[str, int] | None:
    return {name: size for name, size in (said or {}).items() if name in names} or None
