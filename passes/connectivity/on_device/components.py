"""Components of the bipartite graph of a weight by Boolean matrix products, on any torch device.

The relation is closed on its smaller side: rows that share a column are joined by A At, and the closure of that is the
component of every row. Everything is queued without waiting for the device, so many weights can be in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from ..boolean import Arithmetic, multiply, row_counts
from ..closure import closure
from ..digraph.products import first_true

if TYPE_CHECKING:
    import torch

__all__ = ["Pending", "edges_on_device", "finish", "is_supported", "join"]

Tensor: TypeAlias = "torch.Tensor"
FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """The components of one weight (rows, columns), still being computed on the device; labels not yet canonical.

    rows, columns: the component of each, named by one of its members on the smaller side, -1 for dormant ones; counts
    (2,): edges, and whether one squaring added to the rows that share a column, so that it may not be the closure yet;
    joined: what came of it.
    """

    rows: Tensor
    columns: Tensor
    counts: Tensor
    joined: Tensor
    turned: bool


def is_supported(weight: npt.NDArray[Any]) -> bool:
    """Whether a weight can be looked at on a device: a matrix of one of the four floating-point types, not empty."""
    return weight.ndim == 2 and weight.size > 0 and weight.dtype.name in FLOATS


def edges_on_device(octets: Tensor, shape: tuple[int, int], itemsize: int) -> Tensor:
    """The Boolean matrix of edges of a weight given by its bytes; NaN is one, no zero is, whatever its sign."""
    import torch

    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[itemsize]
    # The bits are compared, not the numbers: nothing flushes a subnormal number to zero on the way.
    return ((octets.view(integer) & torch.iinfo(integer).max) != 0).view(shape)


def join(edges: Tensor, arithmetic: Arithmetic = "auto") -> Pending:
    """Queue the search for components of a Boolean matrix (rows, columns)."""
    import torch

    turned = edges.shape[0] > edges.shape[1]
    small = edges.t().contiguous() if turned else edges.contiguous()
    shared = multiply(small, small.t(), arithmetic)
    joined = multiply(shared, shared.t(), arithmetic)  # symmetric: the transpose lies as the units read it
    counts = torch.stack([row_counts(edges).sum(), (shared != joined).any()])
    rows, columns = _labels(small, joined)
    return Pending(*((columns, rows) if turned else (rows, columns)), counts, joined, turned)


def _labels(small: Tensor, joined: Tensor) -> tuple[Tensor, Tensor]:
    """Component of each row and column of the smaller-side-first matrix, named by its smallest row, -1 without edge."""
    import torch

    octets = small.view(torch.uint8)
    rows = torch.where(small.any(1), first_true(joined), -1)
    columns = torch.where(small.any(0), rows[octets.argmax(0)], -1)
    return rows, columns


def finish(pending: Pending, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The labels (rows,) and (columns,), of a matrix for which one squaring was not the closure."""
    small = edges.t().contiguous() if pending.turned else edges.contiguous()
    found = _labels(small, closure(pending.joined))
    return found[::-1] if pending.turned else found
