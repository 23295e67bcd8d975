"""Inputs that the original itself runs: what it refuses says nothing about a rewrite."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt

from ....ir.errors import Remedy, option
from ...ort.library import SessionError
from ...ort.session import Session
from ..canary import Canary
from .size_search import TRIALS

__all__ = ["runnable"]

Feed = dict[str, npt.NDArray[Any]]

PATIENCE = 12  # refusals after which fewer feeds than wanted are enough
SECONDS = 30.0  # spent on the search once the usual sizes were refused


def runnable(
    sessions: Sequence[Session],
    feeds: Iterator[Feed],
    wanted: int = TRIALS,
    *,
    names: Sequence[str] = (),
    seconds: float = SECONDS,
    canary: Canary | None = None,
) -> list[Feed]:
    """The first `wanted` of these feeds that all these models run, or fewer where many are refused.

    names: symbolic dimensions, for the message; canary: runs each before this process does. Raises SessionError that
    names the options which help where none of them runs, InputError where not one can be made.
    """
    found: list[Feed] = []
    refused: list[SessionError] = []
    start = time.monotonic()
    while len(found) < wanted and not (found and len(refused) >= PATIENCE):
        if len(refused) >= TRIALS and time.monotonic() - start > seconds:
            break
        try:
            feed = next(feeds)
            if canary:
                canary.require_alive(feed)
            for session in sessions:
                session.run(feed)
        except StopIteration:
            break
        except SessionError as error:
            refused.append(error)
        else:
            found.append(feed)
    if not found and refused:
        raise SessionError(*refused[0].parts, "; ", *_advice(len(refused), names)) from refused[0]
    return found


def _advice(tries: int, names: Sequence[str]) -> Iterator[str | Remedy]:
    count = f"none of {tries} random inputs suits it" if tries > 1 else "random input does not suit it"
    yield f"{count}: give "
    if names:
        python = ", ".join(f"{name!r}: …" for name in names[:3])
        yield "the sizes that it takes with "
        yield Remedy(f"sizes={{{python}}}", " ".join(f"--size '{name}=N'" for name in names[:3]))
        yield ", what inputs hold with "
        yield option("values", flag="--value")
        yield ", or "
    yield "real ones with "
    yield option("inputs")
