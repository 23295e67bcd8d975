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
    from .ir.errors import ScissionError as ScissionError
    from .ir.findings.difference import Difference as Difference
    from .ir.findings.explanation import Explanation as Explanation
    from .ir.findings.explanation import UnknownNodeError as UnknownNodeError
    from .ir.findings.inspection import Inspection as Inspection
    from .ir.findings.structure import Structure as Structure
    from .ir.io.load import ModelError as ModelError
    from .ir.plan.plan import Block as Block
    from .ir.plan.plan import Decomposition as Decomposition
    from .ir.plan.plan import Plan as Plan
    from .ir.plan.plan import PlanError as PlanError
    from .ir.plan.plan import Step as Step
    from .passes.connectivity.digraph.threshold_sweep import structure_sweep as structure_sweep
    from .runtime.calibrate.level_sweep import Validation as Validation
    from .runtime.calibrate.level_sweep import sweep as sweep
    from .runtime.calibrate.prepare import Annealer as Annealer
    from .runtime.compare.compare import bench as bench
    from .runtime.compare.compare import check as check
    from .runtime.ort.trials import Trials as Trials
    from .runtime.pipeline.apply import apply as apply
    from .runtime.pipeline.diff import diff as diff
    from .runtime.pipeline.explain import explain as explain
    from .runtime.pipeline.inspect import inspect as inspect
    from .runtime.pipeline.optimize import optimize as optimize
    from .runtime.pipeline.plan import plan as plan
    from .runtime.pipeline.result import Result as Result
    from .runtime.render.html.report import Report as Report
    from .runtime.render.html.report import report as report
    from .runtime.weights.cover_study import Covering as Covering
    from .runtime.weights.cover_study import cover as cover
    from .runtime.weights.states import structure as structure

__version__ = "0.1.0"

# Importing scission is instant: what a name needs is imported when the name is first used.
_HOMES = {
    "Difference": "ir.findings.difference",
    "ScissionError": "ir.errors",
    "ModelError": "ir.io.load",
    **dict.fromkeys(("Block", "Decomposition", "Plan", "PlanError", "Step"), "ir.plan.plan"),
    "Structure": "ir.findings.structure",
    "Trials": "runtime.ort.trials",
    **dict.fromkeys(("bench", "check"), "runtime.compare.compare"),
    "Result": "runtime.pipeline.result",
    "apply": "runtime.pipeline.apply",
    "optimize": "runtime.pipeline.optimize",
    "plan": "runtime.pipeline.plan",
    "Inspection": "ir.findings.inspection",
    **dict.fromkeys(("Explanation", "UnknownNodeError"), "ir.findings.explanation"),
    "explain": "runtime.pipeline.explain",
    "inspect": "runtime.pipeline.inspect",
    "Annealer": "runtime.calibrate.prepare",
    **dict.fromkeys(("Validation", "sweep"), "runtime.calibrate.level_sweep"),
    **dict.fromkeys(("Covering", "cover"), "runtime.weights.cover_study"),
    **dict.fromkeys(("Report", "report"), "runtime.render.html.report"),
    "diff": "runtime.pipeline.diff",
    "structure": "runtime.weights.states",
    "structure_sweep": "passes.connectivity.digraph.threshold_sweep",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scission' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
