"""Split the dense weights of ONNX models into the independent blocks hidden in them.

    import scission

    result = scission.optimize("model.onnx", "model.split.onnx")   # plan, apply, check, bench
    plan = scission.plan("model.onnx")                             # what would be done, and why
    scission.apply("model.onnx", plan, "model.split.onnx")
    verdict = scission.check("model.onnx", "model.split.onnx")
    rows = scission.inspect("model.onnx")                          # what every linear is like, blocks and covers
    why = scission.explain("model.onnx", "/layer.0/MatMul")        # what was tried with one, what holds it together
    found = scission.structure("model.onnx:lstm")                  # the states of one weight: SCCs, layers, blocks
    groups = scission.cover("model.onnx:mel")                      # groups of outputs that share inputs, their worth
    changes = scission.diff("model.onnx", "model.split.onnx")      # which nodes became which, constants, totals
    seen = scission.sweep("model.onnx", "calib.npz", metric="argmax")   # annealed at many levels beside the original
    page = scission.report("model.onnx", "model.split.onnx", "report.html")   # all of it as one HTML file

Models come as path, bytes, onnx.ModelProto or onnx_ir.Model, and go out as they came in.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ir.difference import Difference as Difference
    from .ir.errors import ScissionError as ScissionError
    from .ir.explanation import Explanation as Explanation
    from .ir.explanation import UnknownNodeError as UnknownNodeError
    from .ir.inspection import Inspection as Inspection
    from .ir.model import ModelError as ModelError
    from .ir.plan import Block as Block
    from .ir.plan import Decomposition as Decomposition
    from .ir.plan import Plan as Plan
    from .ir.plan import PlanError as PlanError
    from .ir.plan import Step as Step
    from .ir.structure import Structure as Structure
    from .passes.sweep import structure_sweep as structure_sweep
    from .runtime.annealer import Annealer as Annealer
    from .runtime.compare import bench as bench
    from .runtime.compare import check as check
    from .runtime.covering import Covering as Covering
    from .runtime.covering import cover as cover
    from .runtime.diff import diff as diff
    from .runtime.explanation import explain as explain
    from .runtime.html_report import Report as Report
    from .runtime.html_report import report as report
    from .runtime.inspection import inspect as inspect
    from .runtime.pipeline import Result as Result
    from .runtime.pipeline import apply as apply
    from .runtime.pipeline import optimize as optimize
    from .runtime.pipeline import plan as plan
    from .runtime.states import structure as structure
    from .runtime.trials import Trials as Trials
    from .runtime.validation import Validation as Validation
    from .runtime.validation import sweep as sweep

__version__ = "0.1.0"

# Importing scission is instant: what a name needs is imported when the name is first used.
_HOMES = {
    "Difference": "ir.difference",
    "ScissionError": "ir.errors",
    "ModelError": "ir.model",
    **dict.fromkeys(("Block", "Decomposition", "Plan", "PlanError", "Step"), "ir.plan"),
    "Structure": "ir.structure",
    "Trials": "runtime.trials",
    **dict.fromkeys(("bench", "check"), "runtime.compare"),
    **dict.fromkeys(("Result", "apply", "optimize", "plan"), "runtime.pipeline"),
    "Inspection": "ir.inspection",
    **dict.fromkeys(("Explanation", "UnknownNodeError"), "ir.explanation"),
    "explain": "runtime.explanation",
    "inspect": "runtime.inspection",
    "Annealer": "runtime.annealer",
    **dict.fromkeys(("Validation", "sweep"), "runtime.validation"),
    **dict.fromkeys(("Covering", "cover"), "runtime.covering"),
    **dict.fromkeys(("Report", "report"), "runtime.html_report"),
    "diff": "runtime.diff",
    "structure": "runtime.states",
    "structure_sweep": "passes.sweep",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scission' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
