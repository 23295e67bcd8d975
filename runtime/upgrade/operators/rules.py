"""The rule of each operator that is known."""

from __future__ import annotations

from ....ir.graph.operators import STANDARD
from .call import Rule
from .elementwise import ELEMENTWISE
from .moving import MOVING
from .products import PRODUCTS
from .reducing import REDUCING
from .sizes import SIZES
from .windows import WINDOWS

__all__ = ["rule_of"]

RULES: dict[str, Rule] = {**ELEMENTWISE, **PRODUCTS, **WINDOWS, **MOVING, **REDUCING, **SIZES}
# Of ONNX Runtime's own domain; others there may share a name with one of ONNX and compute something else.
MICROSOFT = frozenset({"BiasGelu", "FastGelu", "FusedGemm", "FusedMatMul", "Gelu", "QuickGelu"})
MICROSOFT |= {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}


def rule_of(domain: str, op: str) -> Rule | None:
    """What an operator computes; None for one that is not known.

    >>> rule_of("", "Relu") is None, rule_of("com.microsoft", "Relu") is None
    (False, True)
    """
    known = domain in STANDARD or (domain == "com.microsoft" and op in MICROSOFT)
    return RULES.get(op) if known else None
