"""Structure in modules of torch: dense layers as the blocks that they fall apart into, trained as such.

    from scission.torch import carry_state, split

    found = split(model)                      # dense layers with exactly zero structure become blocks
    carry_state(optimizer, found.moved)       # the optimiser goes on with what it knows of them

Needs torch, which `pip install scission[torch]` brings.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError("scission.torch needs torch; install scission[torch]", name="torch")

from .runtime.upgrade.modules.block_linear import BlockLinear as BlockLinear
from .runtime.upgrade.modules.cover_linear import CoverLinear as CoverLinear
from .runtime.upgrade.modules.layer_error import LayerError as LayerError
from .runtime.upgrade.modules.split_attention import SplitAttention as SplitAttention
from .runtime.upgrade.modules.split_ffn import SplitFFN as SplitFFN
from .runtime.upgrade.moving import Moved as Moved
from .runtime.upgrade.moving import carry_state as carry_state
from .runtime.upgrade.split import Left as Left
from .runtime.upgrade.split import Replaced as Replaced
from .runtime.upgrade.split import Split as Split
from .runtime.upgrade.split import split as split

__all__ = [
    *(
        "BlockLinear",
        "CoverLinear",
        "Left",
        "Moved",
        "Replaced",
        "Split",
        "SplitAttention",
        "LayerError",
        "SplitFFN",
    ),
    *("carry_state", "split"),
]
