"""The error of a model that torch is not told how to compute, with every node because of which it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....ir.errors import ScissionError
from ....ir.reason import Reason

__all__ = ["Unsupported", "UnsupportedOperatorError"]

SHOWN = 5  # operators in the message; all are in `operators`


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A node that cannot be computed in torch, and why. node: its address; op: its operator, behind a domain where that
    is not ONNX's."""

    node: str
    op: str
    reason: Reason


class UnsupportedOperatorError(ScissionError):
    """A model some of whose operators cannot be computed in torch; `operators` are all of them."""

    def __init__(self, name: str, operators: Sequence[Unsupported]) -> None:
        by_kind: dict[tuple[str, str], list[str]] = {}
        for one in operators:
            by_kind.setdefault((one.op, str(one.reason)), []).append(one.node)
        told = [
            f"{op} ({why}; {nodes[0]}{f' and {len(nodes) - 1} more' if len(nodes) > 1 else ''})"
            for (op, why), nodes in by_kind.items()
        ]
        rest = [f"{len(told) - SHOWN} more operators"] if len(told) > SHOWN else []
        super().__init__(
            f"{name}: cannot be computed in torch, because of {', '.join(told[:SHOWN] + rest)}; split the module that "
            "it was exported from with scission.torch.split and train that"
        )
        self.operators = tuple(operators)
