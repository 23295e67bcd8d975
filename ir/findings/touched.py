"""What a preparation made of one node that it changes without being about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ..plan.preparation import Preparation

__all__ = ["Change", "Touched"]

Shape: TypeAlias = "tuple[int | str | None, ...] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A constant or a result of a node, or one of its attributes, as it was and as it is.

    what: 'constant', 'result' or 'attribute'; name: in the model as it was; before, after: the shapes, None for one
    that is not there or not known, as it always is of an attribute.
    """

    what: str
    name: str
    before: Shape = None
    after: Shape = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        shapes = {"before": self.before and list(self.before), "after": self.after and list(self.after)}
        return {"what": self.what, "name": self.name, **shapes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A preparation, and what became of one node by it: whether it is `gone`, and what changed where it stays."""

    by: Preparation
    gone: bool = False
    changes: tuple[Change, ...] = ()

    @property
    def inside(self) -> bool:
        """Whether the node itself, not only what enters and leaves it, is another."""
        return self.gone or any(one.what != "result" for one in self.changes)
