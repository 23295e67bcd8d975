"""How two models are run beside one another: provider, inputs, sizes, tolerances, time and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.errors import ScissionError, option

if TYPE_CHECKING:
    from .session import Choice, GraphChoice

__all__ = ["Trials", "TrialsError"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """How two models are run beside one another.

    provider: 'auto', 'cpu' or 'cuda'; threads: None for ONNX Runtime's own choice; inputs: an .npz with real inputs,
    else random ones from `seed`; sizes: of symbolic dimensions; values: what inputs hold, by name: a number, a list of
    them, or a tuple of such that trials take in turn; ranges: (low, high), both included, of random inputs; likes: what
    they are like: 'ones', 'zeros', 'mask', 'lengths' or 'random'; rtol, atol: instead of the default tolerance;
    seconds: the most that is spent on timing one input size; custom_ops: libraries of custom operators; cuda_graph:
    whether models are timed as CUDA graphs, 'auto' where both can be, 'on' or else an error, or 'off'; memory: bytes
    that running models may take, by default half of what is free and 1 GiB at sizes that were not asked for.
    """

    provider: Choice = "auto"
    threads: int | None = None
    inputs: Path | None = None
    sizes: Mapping[str, int] | None = None
    values: Mapping[str, Any] | None = None
    ranges: Mapping[str, tuple[float, float]] | None = None
    likes: Mapping[str, str] | None = None
    seed: int = 0
    rtol: float | None = None
    atol: float | None = None
    seconds: float = 3.0
    custom_ops: tuple[Path, ...] = ()
    cuda_graph: GraphChoice = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise TrialsError(f"{name} must be a number of at least 0, got {value}: anything would pass")
        if self.inputs is not None and (self.values or self.ranges or self.likes):
            wishes = option("values", flag="--value"), ", ", option("ranges", flag="--range"), " and "
            raise TrialsError(
                *wishes,
                option("likes", flag="--like"),
                " are for random inputs; ",
                option("inputs"),
                " gives real ones",
            )
        if self.cuda_graph not in ("auto", "on", "off"):
            raise TrialsError(f"cuda_graph must be 'auto', 'on' or 'off', got {self.cuda_graph!r}")


class TrialsError(ScissionError):
    """Settings under which a comparison would say nothing."""
