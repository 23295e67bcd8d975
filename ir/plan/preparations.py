"""The kinds of preparations: how they are read from plans, and what several of them do, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .decomposition import PlanError
from .merged_branches import MergedBranches
from .preparation import Preparation
from .removed_channels import RemovedChannels
from .rewritten_forest import RewrittenForest

__all__ = ["KINDS", "preparation_from_dict", "told"]

# In the order in which they are done.
KINDS: tuple[type[Preparation], ...] = (RewrittenForest, RemovedChannels, MergedBranches)


def preparation_from_dict(data: Any) -> Preparation:
    """A preparation of any kind from JSON; raises PlanError for a kind that is none, and for malformed fields."""
    if not isinstance(data, dict):
        raise PlanError(f"a preparation is {data!r}, which is no object")
    known = {one.kind: one for one in KINDS}
    if data.get("kind") not in known:
        raise PlanError(f"a preparation is of kind {data.get('kind')!r}, which is none of {', '.join(known)}")
    return known[data["kind"]].from_dict(data)


def told(found: Sequence[Preparation]) -> list[str]:
    """What preparations do, for people, a text a kind."""
    own = [(one, [each for each in found if isinstance(each, one)]) for one in KINDS]
    return [one.total(each) for one, each in own if each]
