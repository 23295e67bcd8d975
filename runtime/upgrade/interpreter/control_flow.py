"""If, Loop and Scan: operators that carry out bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .program import Body, Instruction

__all__ = ["CONTROLLED"]

Run: TypeAlias = "Callable[[Body, dict[int, Tensor | None]], list[Tensor]]"
Given: TypeAlias = "Sequence[Tensor | None]"
MOST = (1 << 63) - 1  # rounds of a loop that is told none


def _branch(one: Instruction, given: Given, run: Run) -> list[Tensor]:
    condition = given[0]
    assert condition is not None
    return run(one.bodies[0 if bool(condition.item()) else 1], {})


def _loop(one: Instruction, given: Given, run: Run) -> list[Tensor]:
    body, rounds, goes_on = one.bodies[0], given[0], given[1]
    most = MOST if rounds is None else int(rounds.item())
    alive = goes_on is None or bool(goes_on.item())
    states = list(given[2:])
    scanned: list[list[Tensor]] = [[] for _ in body.writes[1 + len(states) :]]
    step = 0
    while alive and step < most:
        inner = [torch.tensor(step), torch.tensor(True), *states]
        condition, *made = run(body, dict(zip(body.reads, inner, strict=True)))
        states = list(made[: len(states)])
        for held, new in zip(scanned, made[len(states) :], strict=True):
            held.append(new)
        alive, step = bool(condition.item()), step + 1
    of_none = body.shapes[1 + len(states) :]
    return [_tensor(state) for state in states] + [
        torch.stack(held) if held else _nothing(*form) for held, form in zip(scanned, of_none, strict=True)
    ]


def _nothing(dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    """What a body that was never carried out would have made, one behind another."""
    return torch.zeros((0, *shape), dtype=dtype)


def _scan(one: Instruction, given: Given, run: Run) -> list[Tensor]:
    body, call = one.bodies[0], one.call
    read = int(call.get("num_scan_inputs"))
    states, scans = list(given[: len(given) - read]), [_tensor(each) for each in given[len(given) - read :]]
    made_count = len(body.writes) - len(states)
    axes, backwards = _each(call.get("scan_input_axes"), read), _each(call.get("scan_input_directions"), read)
    out_axes = _each(call.get("scan_output_axes"), made_count)
    out_backwards = _each(call.get("scan_output_directions"), made_count)
    scans = [x.movedim(axis, 0) for x, axis in zip(scans, axes, strict=True)]
    scans = [x.flip(0) if back else x for x, back in zip(scans, backwards, strict=True)]
    scanned: list[list[Tensor]] = [[] for _ in range(made_count)]
    for step in range(scans[0].shape[0]):
        inner = [*states, *(x[step] for x in scans)]
        made = run(body, dict(zip(body.reads, inner, strict=True)))
        states = list(made[: len(states)])
        for held, new in zip(scanned, made[len(states) :], strict=True):
            held.append(new)
    found = []
    of_none = body.shapes[len(states) :]
    for held, axis, back, form in zip(scanned, out_axes, out_backwards, of_none, strict=True):
        stacked = torch.stack(held[::-1] if back else held) if held else _nothing(*form)
        found.append(stacked.movedim(0, axis))
    return [_tensor(state) for state in states] + found


def _each(stated: Sequence[int] | None, count: int) -> list[int]:
    return [0] * count if stated is None else [int(one) for one in stated]


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


CONTROLLED: dict[str, Callable[[Instruction, Given, Run], list[Tensor]]] = {
    "If": _branch,
    "Loop": _loop,
    "Scan": _scan,
}
