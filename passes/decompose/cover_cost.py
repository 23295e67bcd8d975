"""What a group of a cover costs: the weights of the sum that `cover` makes least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CoverCost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverCost:
    """The cost of one group of outputs with the inputs that it reads, in units of any kind.

    mac: of an entry inside it; read: of an input; write: of an output; launch: of the group itself; residual: of an
    entry outside all groups; granularity: how many outputs are computed at once; what is missing from the last of these
    costs half as much as an output. The defaults are multiply-adds of one activation row out of 256, on the machine
    that `passes/lowering/machines/cpu.json` has prices of: to copy an input costs as much as 40 multiply-adds, an
    output 20, to start a product 330, and to add a single entry apart 110.

    >>> CoverCost(mac=1, read=0, write=0, launch=10).of(3, 4)
    22.0
    """

    mac: float = 1.0
    read: float = 40.0
    write: float = 20.0
    launch: float = 330.0
    residual: float = 110.0
    granularity: int = 1

    def of(self, inputs: Any, outputs: Any) -> Any:
        """The cost of a group of so many inputs and outputs; arrays are taken element by element."""
        computed = (outputs + -(-outputs // self.granularity) * self.granularity) / 2
        return self.launch + self.read * inputs + self.write * outputs + self.mac * inputs * computed
