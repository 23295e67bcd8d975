"""What a user may ask of a plan, as one value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ...ir.errors import ScissionError
from ...ir.plan.grain import Grain
from ...ir.plan.wanted import Wanted

__all__ = ["Lowerings", "PlanOptions", "resolve"]

Lowerings: TypeAlias = "str | Sequence[str] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What blocks to look for, what to predict for, and what not to leave to prices; each as in `plan`.

    Raises PlanError where it contradicts itself, or names a lowering that there is not.
    """

    provider: str = "auto"
    batch: Sequence[int] | None = None
    sizes: Mapping[str, int] | None = None
    threads: int | None = None
    force: bool = False
    device: str = "auto"
    regions: bool = True
    granularity: int | None = None
    parts: int | None = None
    lowering: Lowerings = None

    def __post_init__(self) -> None:
        _ = self.grain, self.wanted

    @property
    def grain(self) -> Grain:
        """How large blocks are to be."""
        return Grain(granularity=self.granularity, parts=self.parts)

    @property
    def wanted(self) -> Wanted:
        """Which lowerings linears are to have."""
        return Wanted.of(*([self.lowering] if isinstance(self.lowering, str) else self.lowering or ()))


def resolve(provider: str) -> str:
    """'cpu' or 'cuda' for 'auto', without waking ONNX Runtime where there is no NVIDIA driver anyway."""
    if provider in ("cpu", "cuda"):
        return provider
    if provider != "auto":
        raise ScissionError(f"provider {provider!r} is none of auto, cpu, cuda")
    if os.name == "posix" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return "cpu"
    from ..ort.session import cuda_problem

    return "cpu" if cuda_problem() else "cuda"
