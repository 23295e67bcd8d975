"""What lowered products will run on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from ...ir.onnx_ir import onnx_ir as ir
from .prices import Prices, prices_of

__all__ = ["MOST_JOINED", "Target", "threads_of"]

MOST_JOINED = 32  # inputs of one Concat that ONNX Runtime (1.31) can record in a CUDA graph


def threads_of(asked: int | None) -> int:
    """The threads that products run on: those that were asked for, or one for each core.

    >>> threads_of(2), threads_of(0) == threads_of(None) > 0
    (2, True)
    """
    return asked or os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A machine: provider: 'cpu' or 'cuda'; threads: that products run on; cuda_graph: whether launches are recorded as
    a CUDA graph there. The operator set is that of each linear.

    >>> Target(provider="cuda").tile(ir.DataType.FLOAT16)
    8
    """

    provider: str = "cpu"
    threads: int = 1
    cuda_graph: bool = True

    @property
    def prices(self) -> tuple[Prices, ...]:
        """What is predicted with: one thread, and as many as there will be."""
        return _prices(self.provider, self.threads, self.cuda_graph)

    def tile(self, dtype: ir.DataType) -> int:
        """What the sides of padded blocks of such numbers should be multiples of."""
        return prices_of(self.provider).tile(int(dtype.itemsize))


@cache  # every candidate of every linear asks
def _prices(provider: str, threads: int, cuda_graph: bool) -> tuple[Prices, ...]:
    one = prices_of(provider)
    if provider == "cuda":
        return (one if cuda_graph else one.plain(),)
    return (one,) if threads == 1 else (one, one.threaded(threads))
