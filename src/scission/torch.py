"""Structure in modules of torch: dense layers as the blocks that they fall apart into, trained as such.

    from scission.torch import carry_state, split

    found = split(model)                      # dense layers with exactly zero structure become blocks
    carry_state(optimizer, found.moved)       # the optimiser goes on with what it knows of them

    module = to_torch("model.onnx", plan)     # a model of ONNX, its linears as the blocks of a plan, to be trained
    onnx_ir.save(to_onnx(module), "trained.onnx")

    monitor = StructureMonitor(model, "run.jsonl")   # before training: it keeps what the weights are now
    monitor.step()                            # after each step of the optimiser; then `scission monitor run.jsonl`

Needs torch, which `pip install scission[torch]` brings.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ModuleNotFoundError("scission.torch needs torch; install scission[torch]", name="torch")

from .runtime.retrain.options import RetrainError as RetrainError
from .runtime.retrain.options import RetrainOptions as RetrainOptions
from .runtime.retrain.result import Retrained as Retrained
from .runtime.retrain.retrain import retrain as retrain
from .runtime.retrain.state import LookBack as LookBack
from .runtime.upgrade.interpreter.interpreted import Interpreted as Interpreted
from .runtime.upgrade.interpreter.roles import Held as Held
from .runtime.upgrade.interpreter.unsupported import Unsupported as Unsupported
from .runtime.upgrade.interpreter.unsupported import UnsupportedOperatorError as UnsupportedOperatorError
from .runtime.upgrade.modules.block_linear import BlockLinear as BlockLinear
from .runtime.upgrade.modules.cover_linear import CoverLinear as CoverLinear
from .runtime.upgrade.modules.layer_error import LayerError as LayerError
from .runtime.upgrade.modules.split_attention import SplitAttention as SplitAttention
from .runtime.upgrade.modules.split_ffn import SplitFFN as SplitFFN
from .runtime.upgrade.monitor.adapters import lightning_callback as lightning_callback
from .runtime.upgrade.monitor.adapters import trainer_callback as trainer_callback
from .runtime.upgrade.monitor.run_file import read_run as read_run
from .runtime.upgrade.monitor.structure_monitor import StructureMonitor as StructureMonitor
from .runtime.upgrade.monitor.views import LiveView as LiveView
from .runtime.upgrade.monitor.views import TensorBoardView as TensorBoardView
from .runtime.upgrade.moving import Moved as Moved
from .runtime.upgrade.moving import carry_state as carry_state
from .runtime.upgrade.split import Left as Left
from .runtime.upgrade.split import Replaced as Replaced
from .runtime.upgrade.split import SplitResult as SplitResult
from .runtime.upgrade.split import split as split
from .runtime.upgrade.to_onnx import to_onnx as to_onnx
from .runtime.upgrade.to_torch import to_torch as to_torch

__all__ = [
    *("BlockLinear", "CoverLinear", "Held", "Interpreted", "LayerError", "Left", "LiveView", "Moved", "Replaced"),
    *(
        "SplitAttention",
        "SplitFFN",
        "SplitResult",
        "StructureMonitor",
        "TensorBoardView",
        "carry_state",
        "lightning_callback",
        "read_run",
        "split",
        "to_onnx",
        "to_torch",
    ),
    *("LookBack", "RetrainError", "RetrainOptions", "Retrained", "retrain"),
    *("Unsupported", "UnsupportedOperatorError", "trainer_callback"),
]
