"""All lowerings of a linear alone, one object each: to add one, write its file and put it into the tuple."""

from __future__ import annotations

from ....ir.graph.linear import Linear
from ....ir.plan.plan import PlanError
from ..target import Target
from .batched import Batched
from .dense import Dense
from .grouped import Grouped
from .permute import Permute
from .protocol import LinearLowering
from .scatter import Scatter
from .scatternd import ScatterNd
from .select import Select
from .split import Split
from .stacked import Stacked

__all__ = ["DENSE", "LOWERINGS", "ON_ANY", "lowering_of", "suited"]

DENSE = Dense()
ON_ANY = Scatter()  # suits every linear that can be split at all, and every decomposition
LOWERINGS: tuple[LinearLowering, ...] = (  # of equal ones the first is taken
    *(Split(), ON_ANY, Permute(), Batched(), Grouped(), Select(), ScatterNd(), Stacked()),
)


def lowering_of(name: str) -> LinearLowering:
    """The lowering of a name, 'dense' included; raises PlanError where a linear alone has none of that name.

    >>> lowering_of("split").name
    'split'
    """
    found = next((one for one in (DENSE, *LOWERINGS) if one.name == name), None)
    if found is None:
        raise PlanError(f"'{name}' is no lowering of a linear alone; use '{ON_ANY.name}'")
    return found


def suited(linear: Linear, target: Target) -> tuple[LinearLowering, ...]:
    """The ways in which a linear can be lowered, if its blocks and its weight allow it, without being asked for."""
    offered = (one for one in LOWERINGS if not one.on_request and one.only_on in (None, target.provider))
    return tuple(one for one in offered if one.why_not(linear, None, target) is None)
