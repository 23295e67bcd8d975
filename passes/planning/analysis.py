"""What one weight is like, whoever uses it: its components, its blocks, its covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.plan.plan import Decomposition, LoweringName
from ..connectivity.bipartite import Components, components
from ..connectivity.edges import relate
from ..decompose.blocks import decompose
from ..decompose.cover.cover import WORTH, every_cover
from ..decompose.fingerprint import fingerprint
from ..lowering.linear.lowerings import LOWERINGS

if TYPE_CHECKING:
    import torch

__all__ = ["Analysis", "Key", "analyse", "analyse_linear", "analyse_on", "key_of"]

Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """The components of a weight and its blocks; covers: of small groups that share features, where they leave fewer
    multiply-adds than the blocks; sha256: of the stored weight, only where there is something to split; takes: the
    lowerings that can write its entries, none where nothing splits."""

    components: Components
    decomposition: Decomposition
    covers: tuple[Decomposition, ...]
    sha256: str | None
    takes: frozenset[LoweringName]

    @property
    def decompositions(self) -> tuple[Decomposition, ...]:
        """All of them, the blocks first."""
        return (self.decomposition, *self.covers)


def key_of(linear: Linear) -> Key:
    """What a weight is remembered by: the tensor of an initializer is the same in every copy of the graph."""
    return (linear.weight.const_value or linear.weight, linear.transposed, linear.shape)


def analyse_linear(linear: Linear, constants: Constants) -> Analysis:
    """Everything about the weight of a linear. Raises ModelError where it cannot be read."""
    stored = linear.stored(constants)
    return analyse(linear.as_matrix(stored), stored=stored)


def analyse(
    weight: npt.NDArray[Any], *, stored: npt.NDArray[Any] | None = None, parts: Components | None = None
) -> Analysis:
    """Everything about a canonical weight (K, N); parts: its components where they are known already.

    stored: the same as it is stored, of which the fingerprint is taken.

    >>> import numpy as np
    >>> found = analyse(np.kron(np.eye(2), np.ones((2, 3))))
    >>> [block.shape for block in found.decomposition.blocks], found.covers
    ([(2, 3), (2, 3)], ())
    """
    parts = parts or components(weight)
    decomposition = decompose(parts)
    sparse = parts.nonzeros <= (1 - WORTH) * decomposition.mac_share * weight.size
    found = tuple(every_cover(relate(weight), parts)) if sparse else ()
    splits = decomposition.mac_share < 1 or bool(found)
    takes = frozenset(one.name for one in LOWERINGS if one.takes(weight)) if splits else frozenset()
    sha256 = fingerprint(weight if stored is None else stored) if splits else None
    return Analysis(parts, decomposition, found, sha256, takes)


def analyse_on(
    device: torch.device, linears: Iterable[Linear], constants: Constants
) -> Iterator[tuple[Key, Linear, Analysis]]:
    """The same for the weights of many linears on a torch device, several in flight, each read and copied once.

    Weights that cannot be read are passed over.
    """
    from ..connectivity.on_device.pipeline import stream_components

    def weights() -> Iterator[tuple[tuple[Linear, npt.NDArray[Any]], npt.NDArray[Any]]]:
        for linear in linears:
            try:
                stored = linear.stored(constants)
                yield (linear, stored), linear.as_matrix(stored)
            except (ModelError, MemoryError):  # said where its step would be
                continue

    for (linear, stored), weight, parts in stream_components(weights(), device):
        yield key_of(linear), linear, analyse(weight, stored=stored, parts=parts)
