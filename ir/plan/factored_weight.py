"""Weights that are written as the product of block-diagonal ones that they are, with permutations between them: those
of a linear, those that frames of a signal are multiplied by, and those that are hierarchical."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import LARGEST, PlanError
from .preparation import Preparation

__all__ = ["FactoredWeight", "FramedProduct", "HierarchicalWeight"]

SHA256 = re.compile("[0-9a-f]{64}")
MOST_STAGES = 32  # each at least halves what is left of the inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoredWeight(Preparation):
    """A linear whose weight becomes a product of stages, which follow from the weight and from how it is split.

    splits: (stride of the inputs of one slice, step between outputs of one class), one for each stage but the last;
    scaled: whether inputs are scaled first, such as by the window of a transform; sha256: of the stored weight; macs:
    multiply-adds of the stages, for one row; bound: of their rounding error over that of the dense product; rows_first:
    in how many stages, from the first, features stay on the last axis; hidden: whether inputs and outputs are put in
    order first. Raises PlanError when one of them is nonsense.
    """

    kind: ClassVar[str] = "factors"
    became: ClassVar[str] = "written as the product of smaller ones that its weight is"
    splits: tuple[tuple[int, int], ...]
    scaled: bool
    sha256: str
    macs: int
    bound: float
    rows_first: int = 0
    hidden: bool = False

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        where = f"{self.kind} of {self.nodes[0]}"
        if not 1 <= len(self.splits) < MOST_STAGES or not all(map(_is_split, self.splits)):
            raise PlanError(f"{where}: splits are {shown(self.splits)}, which are no pairs of a stride and a step")
        if type(self.rows_first) is not int or not 0 <= self.rows_first <= len(self.splits) + 1:
            raise PlanError(f"{where}: rows_first is {shown(self.rows_first)}, which is no number of its stages")
        for name in ("scaled", "hidden"):
            if not isinstance(value := getattr(self, name), bool):
                raise PlanError(f"{where}: {name} is {shown(value)}, which is neither true nor false")
        _require_certified(where, self.sha256, self.macs, self.bound)

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """For people: '2 weights written as products of smaller ones'."""
        return f"{counted(len(found), 'weight')} written as products of smaller ones"

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        return {
            "splits": [list(one) for one in self.splits],
            "scaled": self.scaled,
            "sha256": self.sha256,
            "macs": self.macs,
            "bound": self.bound,
            "rows_first": self.rows_first,
            "hidden": self.hidden,
        }

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        splits = record.items("splits")
        if not all(isinstance(one, list) for one in splits):
            raise record.wrong(f"'splits' is {shown(splits)}, which is no list of pairs")
        return cls(
            splits=tuple(tuple(one) for one in splits),
            scaled=record.flag("scaled"),
            sha256=record.text("sha256"),
            macs=record.whole("macs"),
            bound=record.number("bound"),
            rows_first=record.whole("rows_first", default=0),
            hidden=record.flag("hidden", default=False),
            nodes=nodes,
            gain=gain,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedProduct(Preparation):
    """A transform of frames of a signal as two stages, which follow from its weights and from how frames are cut.

    places: samples of a piece, of which a frame is several, and which the second stage joins; gap: between the outputs
    of one class; sha256: of the weights of a frame, and of what their power is multiplied by; macs: multiply-adds of a
    frame; bound: of the rounding error over that of the dense product; bands: how many outputs of a product behind the
    power are computed together, of all of them in order, none where there is no such product. Raises PlanError when one
    of them is nonsense.
    """

    kind: ClassVar[str] = "frames"
    became: ClassVar[str] = "written as products of pieces of frames"
    places: int
    gap: int
    sha256: str
    macs: int
    bound: float
    bands: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        where = f"{self.kind} of {self.nodes[0]}"
        if not all(type(one) is int and 1 <= one <= LARGEST for one in self.bands):
            raise PlanError(f"{where}: bands is {shown(self.bands)}, which are no numbers of outputs")
        for name, number in (("places", self.places), ("gap", self.gap)):
            if type(number) is not int or not 1 <= number <= LARGEST:
                raise PlanError(f"{where}: {name} is {shown(number)}, which is no number of places")
        _require_certified(where, self.sha256, self.macs, self.bound)

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """For people: '2 transforms of frames written as products of smaller ones'."""
        return f"{counted(len(found), 'transform')} of frames written as products of smaller ones"

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        held = {name: getattr(self, name) for name in ("places", "gap", "sha256", "macs", "bound")}
        return held | {"bands": list(self.bands)}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        return cls(
            places=record.whole("places"),
            gap=record.whole("gap"),
            sha256=record.text("sha256"),
            macs=record.whole("macs"),
            bound=record.number("bound"),
            bands=tuple(record.items("bands", default=[])),
            nodes=nodes,
            gain=gain,
            reason=reason,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchicalWeight(Preparation):
    """A linear whose weight becomes one level of a hierarchical matrix: what reads one block of inputs, and all else by
    way of a few functionals of each block.

    block: inputs of one; sha256: of the stored weight; macs: multiply-adds of one row; bound: of the rounding error
    over that of the dense product. Raises PlanError when one of them is nonsense.
    """

    kind: ClassVar[str] = "hierarchical"
    became: ClassVar[str] = "written as products of blocks and one of what all blocks tell"
    block: int
    sha256: str
    macs: int
    bound: float

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        where = f"{self.kind} of {self.nodes[0]}"
        if type(self.block) is not int or not 1 <= self.block <= LARGEST:
            raise PlanError(f"{where}: block is {shown(self.block)}, which is no number of inputs")
        _require_certified(where, self.sha256, self.macs, self.bound)

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """For people: '2 weights written as products of blocks and of what these tell'."""
        return f"{counted(len(found), 'weight')} written as products of blocks and of what these tell"

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        return {name: getattr(self, name) for name in ("block", "sha256", "macs", "bound")}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        return cls(
            block=record.whole("block"),
            sha256=record.text("sha256"),
            macs=record.whole("macs"),
            bound=record.number("bound"),
            nodes=nodes,
            gain=gain,
            reason=reason,
        )


def _require_certified(where: str, sha256: Any, macs: Any, bound: Any) -> None:
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise PlanError(f"{where}: sha256 is {shown(sha256)}, which is no SHA-256")
    if type(macs) is not int or macs < 1:
        raise PlanError(f"{where}: macs is {shown(macs)}, which is no number of multiply-adds")
    if isinstance(bound, bool) or not isinstance(bound, float | int) or not 0 <= bound <= 1:
        raise PlanError(f"{where}: bound is {shown(bound)}, which is no share of an error")


def _is_split(one: Any) -> bool:
    return isinstance(one, tuple) and len(one) == 2 and all(type(each) is int and 1 <= each <= LARGEST for each in one)
