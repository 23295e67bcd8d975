"""A forest of decision trees written in other operators: raised to one TreeEnsemble, or lowered from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from ..plural import counted
from ..reason import Reason
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
                raise PlanError(f"forest of {self.nodes[0]}: {name} is {count!r}, which is no number of it")
        if (
            not isinstance(self.passes, int)
            or isinstance(self.passes, bool)
            or not 1 <= self.passes <= max(self.trees, 1)
        ):
            raise PlanError(
                f"forest of {self.nodes[0]}: passes is {self.passes!r}, which is no number of groups of trees"
            )
        if not isinstance(self.form, ForestForm):
            raise PlanError(f"forest of {self.nodes[0]}: form is {self.form!r}, none of {', '.join(ForestForm)}")
        if not isinstance(self.sha256, str) or not SHA256.fullmatch(self.sha256):
            raise PlanError(f"forest of {self.nodes[0]}: sha256 is {self.sha256!r}, which is no SHA-256")

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
    def of(cls, contents: dict[str, Any], *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing, unknown or nonsense."""
        wanted = {"form", "trees", "depth", "sha256"}
        if odd := sorted(wanted ^ (set(contents) - {"passes"})):
            raise PlanError(f"a forest has the fields {', '.join(sorted(wanted))}; {odd[0]!r} is missing or unknown")
        if contents["form"] not in set(ForestForm):
            raise PlanError(f"a forest of form {contents['form']!r}, which is none of {', '.join(ForestForm)}")
        return cls(**{**contents, "form": ForestForm(contents["form"])}, nodes=nodes, gain=gain, reason=reason)
