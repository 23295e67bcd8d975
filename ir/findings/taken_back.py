"""Preparations that a plan had and that the model was made without after all, and what is told of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..brief import brief
from ..plan.plan import told
from ..plan.preparation import Preparation

__all__ = ["TakenBack"]

REPORT = "; please report this"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """Preparations that were taken back; faulty: whether the model was another one with them or did not run, which is
    a defect of theirs, where else it was slower; why: what was found with them, in one line."""

    preparations: tuple[Preparation, ...]
    faulty: bool
    why: str

    __repr__ = brief

    @staticmethod
    def between(
        before: Sequence[Preparation], after: Sequence[Preparation], *, faulty: bool, why: str
    ) -> TakenBack | None:
        """The preparations of which none that they are left with is there any more; None where all are."""
        kept = {one.left_with for one in after}
        gone = tuple(one for one in before if one.left_with not in kept)
        return TakenBack(preparations=gone, faulty=faulty, why=why) if gone else None

    @property
    def text(self) -> str:
        """What was taken back and why, in one line, with the request to report it where it is a defect."""
        what = ", ".join(told(self.preparations))
        if not self.faulty:
            return f"taken back: {what}, with which the model was slower than the original"
        return f"taken back: {what}, since with that {self.why.removesuffix(REPORT)}{REPORT}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the preparations by kind and by the operators that they were about."""
        gone = [{"kind": one.kind, "nodes": list(one.nodes)} for one in self.preparations]
        return {"preparations": gone, "faulty": self.faulty, "why": self.why}
