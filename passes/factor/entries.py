"""What a few entries of weights tell of them, so that nearly all of those of a model are never read whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.linear import Linear
from ...ir.io.tensors import MappedFiles
from ...ir.onnx_ir import onnx_ir as ir
from .hidden_orders import may_be_hidden
from .known_orders import GOLDEN, splits
from .round_shifts import may_be_circulant

__all__ = ["DENSE_SHARE", "Entries", "Told", "is_dense", "may_split"]

SAMPLED = 8, 64  # rows and columns of a weight, which tell that it is mostly zeros, where less than half of that is not
FEW = 8  # entries in no line, of which hardly any weight that is mostly zeros has none
DENSE_SHARE = 0.5  # of the entries that are not zero; what the zeros of others say is worth more


@dataclass(frozen=True, slots=True)
class Told:
    """splits: whether a weight may be a product of stages, or circulant; zeros: whether it is mostly zeros."""

    splits: bool
    zeros: bool


UNKNOWN = Told(splits=True, zeros=False)  # until all of it is computed


@dataclass(frozen=True, slots=True)
class Entries:
    """What is known of weights by now, of each of which entries are read once, in its place."""

    known: dict[tuple[ir.Value, bool], Told] = field(default_factory=dict)
    files: MappedFiles = field(default_factory=MappedFiles)

    def told(self, linear: Linear) -> Told | None:
        """What entries of the weight of a linear tell; None where they cannot be read."""
        key = linear.weight, linear.transposed
        if key not in self.known:
            try:
                weight = self.in_place(linear)
            except (ModelError, MemoryError, OSError, ValueError):
                return None
            self.known[key] = UNKNOWN if weight is None else _told(weight)
        return self.known[key]

    def in_place(self, linear: Linear) -> npt.NDArray[np.floating] | None:
        """The weight (K, N) where it lies, so that of most no more is read than a few entries; None of one that is
        computed otherwise than by turning another one. Raises ModelError or OSError where it cannot be read."""
        source, turned = linear.weight, linear.transposed
        while (node := source.producer()) is not None and node.inputs and node.inputs[0] is not None:
            perm = node.attributes.get("perm")
            if node.op_type != "Transpose" or node.domain or (perm is not None and list(perm.as_ints()) != [1, 0]):
                return None
            source, turned = node.inputs[0], not turned
        tensor, (K, N) = source.const_value, linear.shape
        shape = (N, K) if turned else (K, N)
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tuple(tensor.shape.numpy()) != shape:
            return None
        whole = self.files.array(tensor) if isinstance(tensor, ir.ExternalTensor) else np.asarray(tensor.numpy())
        return whole.T if turned else whole


def may_split(weight: npt.NDArray[np.floating]) -> bool:
    """Whether some entries of a weight (K, N) allow that it is a product of stages."""
    return bool(splits(weight)) or may_be_hidden(weight)


def is_dense(weight: npt.NDArray[np.floating], share: float = DENSE_SHARE) -> bool:
    """Whether at least this share of the entries of a weight is not zero."""
    return bool(np.count_nonzero(weight) >= share * weight.size)


def _told(weight: npt.NDArray[np.floating]) -> Told:
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is told of where all of it is read
        return Told(splits=may_split(weight) or may_be_circulant(weight), zeros=_mostly_zeros(weight))


def _mostly_zeros(weight: npt.NDArray[np.floating]) -> bool:
    """Whether a few entries of a weight tell that it is mostly zeros; of nearly all others very few are read."""
    K, N = weight.shape
    few = np.arange(FEW)
    if weight[(few * GOLDEN % 1 * K).astype(np.int64), (few**2 * GOLDEN % 1 * N).astype(np.int64)].all():
        return False
    rows, columns = (np.arange(count) * GOLDEN % 1 for count in SAMPLED)
    return not is_dense(weight[(rows[:, None] * K).astype(np.int64), (columns * N).astype(np.int64)], DENSE_SHARE / 2)
