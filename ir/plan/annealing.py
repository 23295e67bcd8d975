"""An annealing: which weights of one linear are removed, on what evidence, and what is needed to put them back."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..brief import brief
from ..errors import ScissionError
from ..evidence.evidence import Evidence
from ..record import Record, shown
from .codec import blocks_of, pairs_of, shape_of
from .decomposition import Decomposition, to_ranges

__all__ = ["Annealing", "AnnealingError", "pack_mask"]

Mask = npt.NDArray[np.bool_]


class AnnealingError(ScissionError):
    """An annealing that contradicts itself, or belongs to another weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annealing:
    """What annealing does to one linear: everything outside `kept` becomes zero, the residual entries excepted.

    node: address of the linear; weight: name of its constant; shape: canonical (K, N); sha256: of the weight as stored
    in the original, which is where removed weights come back from; blocks: all entries inside them are kept
    (block-fill); mask: instead of blocks, each kept entry on its own, as packed bits in base 64, the paper's literal
    removal of edges; residual: entries (k, n) outside that are kept beside the blocks, exactly; removed: how many
    non-zero entries go; refitted: whether the kept ones were fitted again, so that they are not those of the original;
    confirmed: by the test, before block-fill; evidence: why. Raises AnnealingError when both or neither of blocks and
    mask are given.
    """

    node: str
    weight: str
    shape: tuple[int, int]
    sha256: str
    evidence: Evidence
    removed: int
    blocks: Decomposition | None = None
    mask: str | None = None
    residual: tuple[tuple[int, int], ...] = ()
    refitted: bool = False

    __repr__ = brief

    def __post_init__(self) -> None:
        if (self.blocks is None) == (self.mask is None):
            raise AnnealingError(f"{self.node}: an annealing keeps either blocks or the entries of a mask")
        if min(self.shape) < 1:
            raise AnnealingError(f"{self.node}: a weight of shape {_by(self.shape)} has no entries")
        if self.blocks is not None and self.blocks.shape != self.shape:
            told = f"{_by(self.blocks.shape)}, the weight has {_by(self.shape)}"
            raise AnnealingError(f"{self.node}: blocks are for shape {told}")
        K, N = self.shape
        if any(not (0 <= k < K and 0 <= n < N) for k, n in self.residual):
            raise AnnealingError(f"{self.node}: a residual entry lies outside the weight of shape {_by(self.shape)}")
        if not isinstance(self.removed, int) or isinstance(self.removed, bool) or self.removed < 0:
            raise AnnealingError(f"{self.node}: removed is {shown(self.removed)}, which is no count")

    def kept(self) -> Mask:
        """The entries (K, N) that are kept, residual entries not among them. Raises AnnealingError when the mask is
        damaged."""
        if self.blocks is None:
            assert self.mask is not None
            return _unpack(self.mask, self.shape, self.node)
        return self.blocks.inside()

    def to_dict(self) -> dict[str, Any]:
        """For JSON, blocks as index ranges."""
        rest: dict[str, Any] = {"mask": self.mask}
        if self.blocks is not None:
            parts = self.blocks.blocks
            rest = {"blocks": [{"inputs": to_ranges(b.inputs), "outputs": to_ranges(b.outputs)} for b in parts]}
        return {
            "node": self.node,
            "weight": self.weight,
            "shape": list(self.shape),
            "sha256": self.sha256,
            "removed": self.removed,
            "refitted": self.refitted,
            "residual": [list(entry) for entry in self.residual],
            **rest,
            "evidence": self.evidence.to_dict(),
        }

    @staticmethod
    def from_dict(data: Any) -> Annealing:
        """Inverse of `to_dict`; raises AnnealingError naming the node when it cannot be read."""
        node = data.get("node") if isinstance(data, Mapping) else None
        where = f"annealing of {node if isinstance(node, str) else shown(node)}"
        record = Record.of(data, where, AnnealingError)
        try:
            shape = shape_of(record)
            blocks = record.items("blocks", default=None)
            found = Annealing(
                **{name: record.text(name) for name in ("node", "weight", "sha256")},
                shape=shape,
                evidence=Evidence.from_dict(record.any("evidence")),
                removed=record.whole("removed"),
                blocks=None if blocks is None else Decomposition(shape, blocks_of(record, blocks, shape)),
                mask=record.text("mask", default=None),
                residual=pairs_of(record, "residual"),
                refitted=record.flag("refitted"),
            )
        except AnnealingError:
            raise
        except ScissionError as error:
            raise record.wrong(str(error).removeprefix(f"{where}: ")) from None
        record.done()
        return found


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def pack_mask(mask: Mask) -> str:
    """A Boolean matrix as text: its bits by rows, compressed, in base 64.

    >>> _unpack(pack_mask(np.eye(3, dtype=bool)), (3, 3), "example").sum()
    np.int64(3)
    """
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode()


def _unpack(text: str, shape: tuple[int, int], node: str) -> Mask:
    size = shape[0] * shape[1]
    expected = -(-size // 8)
    try:
        inflater = zlib.decompressobj()
        octets = inflater.decompress(base64.b64decode(text, validate=True), expected + 1)  # a bomb stops here
    except (binascii.Error, zlib.error, TypeError, ValueError, OverflowError, MemoryError):
        raise AnnealingError(f"{node}: its mask is damaged; make a new plan") from None
    if len(octets) != expected or not inflater.eof:
        raise AnnealingError(f"{node}: its mask has not one bit for each of {size:,} entries; make a new plan")
    return np.unpackbits(np.frombuffer(octets, np.uint8), count=size).astype(bool).reshape(shape)
