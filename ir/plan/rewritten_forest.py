"""A forest of decision trees written in other operators: raised to one TreeEnsemble, or lowered from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import PlanError
from .preparation import Preparation

__all__ = ["ForestForm", "RewrittenForest"]

SHA256 = re.compile("[0-9a-f]{64}")


class ForestForm(StrEnum):
    """What operators a forest is written in."""

    ENSEMBLE = "ensemble"  # one operator of ai.onnx.ml, which looks at the tests that a row comes to
    BLOCKS = "blocks"  # a block of tests and leaves for each tree, as one stacked product
    GATHERS = "gathers"  # the place of a row in each tree, looked up level by level


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenForest(Preparation):
    """A forest in another form; form: the new one; trees, depth: how many and how deep; sha256: of all that it
    computes, by which it is known again; passes: in how many groups of trees, one after another, to need less memory.
    """

    kind: ClassVar[str] = "forests"
    became: ClassVar[str] = "written anew with all of its forest"
    form: ForestForm
    trees: int
    depth: int
    sha256: str
    passes: int = 1

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        for name in ("trees", "depth"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise PlanError(f"forest of {self.nodes[0]}: {name} is {shown(count)}, which is no number of it")
        passes = self.passes
        if not isinstance(passes, int) or isinstance(passes, bool) or not 1 <= passes <= max(self.trees, 1):
            raise PlanError(
                f"forest of {self.nodes[0]}: passes is {shown(passes)}, which is no number of groups of trees"
            )
        if not isinstance(self.form, ForestForm):
            raise PlanError(f"forest of {self.nodes[0]}: form is {shown(self.form)}, none of {', '.join(ForestForm)}")
        if not isinstance(self.sha256, str) or not SHA256.fullmatch(self.sha256):
            raise PlanError(f"forest of {self.nodes[0]}: sha256 is {shown(self.sha256)}, which is no SHA-256")

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """For people: '1 forest raised to one operator'."""
        raised = sum(one.form is ForestForm.ENSEMBLE for one in found)
        lowered = len(found) - raised
        told = [f"{counted(raised, 'forest')} raised to TreeEnsemble"] if raised else []
        return ", ".join(told + ([f"{counted(lowered, 'forest')} lowered from TreeEnsemble"] if lowered else []))

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        passes = {"passes": self.passes} if self.passes > 1 else {}
        return {"form": self.form.value, "trees": self.trees, "depth": self.depth, "sha256": self.sha256, **passes}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        form, trees, depth = record.text("form"), record.whole("trees"), record.whole("depth")
        passes, sha256 = record.whole("passes", default=1), record.text("sha256")
        if form not in set(ForestForm):
            raise record.wrong(f"'form' is {shown(form)}, which is none of {', '.join(ForestForm)}")
        sizes = {"trees": trees, "depth": depth, "passes": passes}
        return cls(form=ForestForm(form), sha256=sha256, **sizes, nodes=nodes, gain=gain, reason=reason)
