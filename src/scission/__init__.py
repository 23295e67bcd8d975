"""Split the dense weights of ONNX models into the independent blocks hidden in them.

    import scission

    result = scission.optimize("model.onnx", "model.split.onnx")   # plan, apply, check, bench
    all_of = scission.optimize_folder("bert", "bert-split")        # a folder of a hub: its models, and all else
    plan = scission.plan("model.onnx")                             # what would be done, and why
    scission.apply("model.onnx", plan, "model.split.onnx")
    scission.fix_shapes("model.onnx", {"batch": 1}, "fixed.onnx")  # open dimensions get sizes for good
    verdict = scission.check("model.onnx", "model.split.onnx")
    rows = scission.inspect("model.onnx")                          # what every linear is like, blocks and covers
    why = scission.explain("model.onnx", "/layer.0/MatMul")        # what was tried with one, what holds it together
    found = scission.structure("model.onnx:lstm")                  # the states of one weight: SCCs, layers, blocks
    groups = scission.cover("model.onnx:mel")                      # groups of outputs that share inputs, their worth
    changes = scission.diff("model.onnx", "model.split.onnx")      # which nodes became which, constants, totals
    seen = scission.sweep("model.onnx", "calib.npz", metric="argmax")   # annealed at many levels beside the original
    page = scission.report("model.onnx", "model.split.onnx", "report.html")   # all of it as one HTML file

    made = scission.export(module, args, "model.onnx")             # torch.onnx.export, split and proved
    passes = onnx_ir.passes.Sequential(scission.SplitPass())       # among passes of onnx_ir, in place

Models come as path, bytes, onnx.ModelProto, onnx_ir.Model, onnx_graphsurgeon.Graph or program of torch.onnx.export,
and go out as they came in. Functions for graphs of graphsurgeon alone are in `scission.graphsurgeon`, what trains
blocks with torch is in `scission.torch`.

All of it runs in the process that calls it: a model with which ONNX Runtime crashes, or that it never finishes, takes
that process along. The command line runs in a process of its own, which `scission check --timeout 60 …` ends.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # but for type checkers; `typing` takes as long to import as all else that a command waits for
if TYPE_CHECKING:
    from typing import Any

    from .ir.errors import ModelError as ModelError
    from .ir.errors import ScissionError as ScissionError
    from .ir.evidence.evidence import EvidenceError as EvidenceError
    from .ir.evidence.null import NullError as NullError
    from .ir.findings.decomposability import ModelReport as ModelReport
    from .ir.findings.difference import Difference as Difference
    from .ir.findings.explanation import Explanation as Explanation
    from .ir.findings.explanation import UnknownNodeError as UnknownNodeError
    from .ir.findings.formation import RunError as RunError
    from .ir.findings.inspection import Inspection as Inspection
    from .ir.findings.level_sweep import LevelError as LevelError
    from .ir.findings.level_sweep import Sweep as Sweep
    from .ir.findings.simulation import Simulation as Simulation
    from .ir.findings.structure import Structure as Structure
    from .ir.findings.taken_back import TakenBack as TakenBack
    from .ir.given.sources import SourceTypeError as SourceTypeError
    from .ir.graph.sizes import InputError as InputError
    from .ir.graph.skipped import Skipped as Skipped
    from .ir.io.placement import PlacementError as PlacementError
    from .ir.parts.activation import Activation as Activation
    from .ir.parts.manifest import Manifest as Manifest
    from .ir.parts.share import ManifestError as ManifestError
    from .ir.plan.annealing import Annealing as Annealing
    from .ir.plan.annealing import AnnealingError as AnnealingError
    from .ir.plan.axis_order import Reordering as Reordering
    from .ir.plan.decomposition import PlanError as PlanError
    from .ir.plan.grain import Grain as Grain
    from .ir.plan.plan import Block as Block
    from .ir.plan.plan import Decomposition as Decomposition
    from .ir.plan.plan import Plan as Plan
    from .ir.plan.plan import Step as Step
    from .ir.plan.preparation import Preparation as Preparation
    from .ir.plan.preparation import Refused as Refused
    from .ir.plan.region_split import RegionSplit as RegionSplit
    from .ir.plan.wanted import Wanted as Wanted
    from .ir.reason import Cause as Cause
    from .ir.reason import Reason as Reason
    from .passes.anneal.activity.activity import ActivityError as ActivityError
    from .passes.anneal.activity.refit import RefitError as RefitError
    from .passes.anneal.edges.decision import AnnealError as AnnealError
    from .passes.anneal.edges.schemes import SchemeError as SchemeError
    from .passes.connectivity.device import DeviceError as DeviceError
    from .passes.connectivity.digraph.threshold_sweep import Level as Level
    from .passes.connectivity.digraph.threshold_sweep import structure_sweep as structure_sweep
    from .passes.connectivity.tensor_cores.tuning import TileError as TileError
    from .passes.experts.expert_split import ExpertError as ExpertError
    from .passes.rewrite.extract import ExtractError as ExtractError
    from .runtime.calibrate.annealer import Annealer as Annealer
    from .runtime.calibrate.annealer import AnnealOptionsError as AnnealOptionsError
    from .runtime.calibrate.checkpoint_file import CheckpointError as CheckpointError
    from .runtime.calibrate.level_sweep import Validation as Validation
    from .runtime.calibrate.level_sweep import sweep as sweep
    from .runtime.calibrate.metric.kernels import MetricError as MetricError
    from .runtime.calibrate.selection import Selection as Selection
    from .runtime.calibrate.sources.columns import LabelledError as LabelledError
    from .runtime.calibrate.sweep_options import SweepOptions as SweepOptions
    from .runtime.compare.compare import bench as bench
    from .runtime.compare.compare import check as check
    from .runtime.compare.evaluator import UnprovableError as UnprovableError
    from .runtime.compare.rounding import RoundingError as RoundingError
    from .runtime.compare.verdict import EquivalenceError as EquivalenceError
    from .runtime.compare.verdict import Verdict as Verdict
    from .runtime.decompose.decompose import decompose as decompose
    from .runtime.decompose.options import DecomposeOptions as DecomposeOptions
    from .runtime.decompose.result import DecomposeResult as DecomposeResult
    from .runtime.decompose.result import Judged as Judged
    from .runtime.decompose.task.goal import Goal as Goal
    from .runtime.decompose.task.method import Declined as Declined
    from .runtime.decompose.task.method import DecomposeTask as DecomposeTask
    from .runtime.decompose.task.method import Learning as Learning
    from .runtime.decompose.task.method import Method as Method
    from .runtime.decompose.task.method import ModelCandidate as ModelCandidate
    from .runtime.decompose.task.method import Removed as Removed
    from .runtime.decompose.task.samples import Samples as Samples
    from .runtime.decompose.task.samples import SampleSets as SampleSets
    from .runtime.decompose.trying import TriedCandidate as TriedCandidate
    from .runtime.export.compose import export_compose as export_compose
    from .runtime.export.kserve import export_kserve as export_kserve
    from .runtime.export.options import ComposeOptions as ComposeOptions
    from .runtime.export.options import KServeOptions as KServeOptions
    from .runtime.export.options import TritonOptions as TritonOptions
    from .runtime.export.triton import ExportError as ExportError
    from .runtime.export.triton import export_triton as export_triton
    from .runtime.fleet.options import FleetOptions as FleetOptions
    from .runtime.fleet.serve_fleet import serve_fleet as serve_fleet
    from .runtime.http.options import ServeOptions as ServeOptions
    from .runtime.http.refusal import RefusalError as RefusalError
    from .runtime.http.serve import serve as serve
    from .runtime.hub.optimize_folder import FolderResult as FolderResult
    from .runtime.hub.optimize_folder import optimize_folder as optimize_folder
    from .runtime.inputs.rows import CalibrationError as CalibrationError
    from .runtime.measure.bench import Bench as Bench
    from .runtime.measure.comparison import Speed as Speed
    from .runtime.measure.race import BenchError as BenchError
    from .runtime.measure.race import NoGraphError as NoGraphError
    from .runtime.ort.library import SessionError as SessionError
    from .runtime.ort.memory import NoMemoryError as NoMemoryError
    from .runtime.ort.trials import Trials as Trials
    from .runtime.ort.trials import TrialsError as TrialsError
    from .runtime.pipeline.apply import apply as apply
    from .runtime.pipeline.diff import diff as diff
    from .runtime.pipeline.explain import explain as explain
    from .runtime.pipeline.inspect import inspect as inspect
    from .runtime.pipeline.optimize import optimize as optimize
    from .runtime.pipeline.options import OptimizeOptions as OptimizeOptions
    from .runtime.pipeline.options import PlanOptions as PlanOptions
    from .runtime.pipeline.options import ReportOptions as ReportOptions
    from .runtime.pipeline.plan import plan as plan
    from .runtime.pipeline.result import Result as Result
    from .runtime.render.html.document import Report as Report
    from .runtime.render.html.report import report as report
    from .runtime.render.picture.dot import DotError as DotError
    from .runtime.render.picture.structure import PictureError as PictureError
    from .runtime.render.text.inspection import InspectionError as InspectionError
    from .runtime.retrain.options import RetrainError as RetrainError
    from .runtime.serve.check import check_parts as check_parts
    from .runtime.serve.count import count_activation as count_activation
    from .runtime.serve.local import LocalParts as LocalParts
    from .runtime.serve.local import load_parts as load_parts
    from .runtime.serve.options import PartitionOptions as PartitionOptions
    from .runtime.serve.partition import Partitioned as Partitioned
    from .runtime.serve.partition import PartitionError as PartitionError
    from .runtime.serve.partition import partition as partition
    from .runtime.simulate.options import SimulateOptions as SimulateOptions
    from .runtime.simulate.simulate import simulate as simulate
    from .runtime.simulate.trace import TraceError as TraceError
    from .runtime.static.fix_shapes import fix_shapes as fix_shapes
    from .runtime.tools.export import NoTorchError as NoTorchError
    from .runtime.tools.export import export as export
    from .runtime.tools.proved import SplitError as SplitError
    from .runtime.tools.split_pass import SplitPass as SplitPass
    from .runtime.tune.cached_units import CachedUnitError as CachedUnitError
    from .runtime.tune.fallback import Fallback as Fallback
    from .runtime.tune.tuned import Tuned as Tuned
    from .runtime.upgrade.interpreter.unsupported import Unsupported as Unsupported
    from .runtime.upgrade.interpreter.unsupported import UnsupportedOperatorError as UnsupportedOperatorError
    from .runtime.upgrade.modules.layer_error import LayerError as LayerError
    from .runtime.validation import OptionError as OptionError
    from .runtime.weights.cover_study import Covering as Covering
    from .runtime.weights.cover_study import CoveringError as CoveringError
    from .runtime.weights.cover_study import cover as cover
    from .runtime.weights.source import AmbiguousError as AmbiguousError
    from .runtime.weights.source import WeightError as WeightError
    from .runtime.weights.states import StatesError as StatesError
    from .runtime.weights.states import structure as structure

__version__ = "0.1.0"

# Importing scission is instant: what a name needs is imported when the name is first used.
_MODULES = {
    "ir.errors": ("ModelError", "ScissionError"),
    "ir.findings.decomposability": ("ModelReport",),
    "ir.findings.difference": ("Difference",),
    "ir.findings.explanation": ("Explanation", "UnknownNodeError"),
    "ir.findings.formation": ("RunError",),
    "ir.findings.inspection": ("Inspection",),
    "ir.findings.level_sweep": ("LevelError", "Sweep"),
    "ir.findings.simulation": ("Simulation",),
    "ir.findings.structure": ("Structure",),
    "ir.findings.taken_back": ("TakenBack",),
    "ir.graph.sizes": ("InputError",),
    "ir.graph.skipped": ("Skipped",),
    "ir.io.placement": ("PlacementError",),
    "ir.given.sources": ("SourceTypeError",),
    "ir.parts.activation": ("Activation",),
    "ir.parts.manifest": ("Manifest",),
    "ir.parts.share": ("ManifestError",),
    "ir.plan.annealing": ("Annealing", "AnnealingError"),
    "ir.plan.axis_order": ("Reordering",),
    "ir.plan.decomposition": ("PlanError",),
    "ir.evidence.evidence": ("EvidenceError",),
    "ir.plan.grain": ("Grain",),
    "ir.evidence.null": ("NullError",),
    "ir.plan.plan": ("Block", "Decomposition", "Plan", "Step"),
    "ir.plan.preparation": ("Preparation", "Refused"),
    "ir.plan.region_split": ("RegionSplit",),
    "ir.plan.wanted": ("Wanted",),
    "ir.reason": ("Cause", "Reason"),
    "passes.anneal.activity.activity": ("ActivityError",),
    "passes.anneal.activity.refit": ("RefitError",),
    "passes.anneal.edges.decision": ("AnnealError",),
    "passes.anneal.edges.schemes": ("SchemeError",),
    "passes.connectivity.device": ("DeviceError",),
    "passes.connectivity.digraph.threshold_sweep": ("Level", "structure_sweep"),
    "passes.connectivity.tensor_cores.tuning": ("TileError",),
    "passes.experts.expert_split": ("ExpertError",),
    "passes.rewrite.extract": ("ExtractError",),
    "runtime.calibrate.checkpoint_file": ("CheckpointError",),
    "runtime.calibrate.sources.columns": ("LabelledError",),
    "runtime.calibrate.level_sweep": ("Validation", "sweep"),
    "runtime.calibrate.metric.kernels": ("MetricError",),
    "runtime.calibrate.sweep_options": ("SweepOptions",),
    "runtime.calibrate.annealer": ("AnnealOptionsError", "Annealer"),
    "runtime.compare.compare": ("bench", "check"),
    "runtime.compare.evaluator": ("UnprovableError",),
    "runtime.compare.rounding": ("RoundingError",),
    "runtime.compare.verdict": ("EquivalenceError", "Verdict"),
    "runtime.decompose.decompose": ("decompose",),
    "runtime.decompose.task.goal": ("Goal",),
    "runtime.decompose.task.method": ("Declined", "DecomposeTask", "Learning", "Method", "ModelCandidate", "Removed"),
    "runtime.decompose.options": ("DecomposeOptions",),
    "runtime.decompose.result": ("DecomposeResult", "Judged"),
    "runtime.decompose.task.samples": ("SampleSets", "Samples"),
    "runtime.decompose.trying": ("TriedCandidate",),
    "runtime.inputs.rows": ("CalibrationError",),
    "runtime.measure.bench": ("Bench",),
    "runtime.measure.comparison": ("Speed",),
    "runtime.measure.race": ("BenchError", "NoGraphError"),
    "runtime.ort.library": ("SessionError",),
    "runtime.ort.memory": ("NoMemoryError",),
    "runtime.ort.trials": ("Trials", "TrialsError"),
    "runtime.pipeline.apply": ("apply",),
    "runtime.pipeline.diff": ("diff",),
    "runtime.pipeline.explain": ("explain",),
    "runtime.pipeline.inspect": ("inspect",),
    "runtime.pipeline.optimize": ("optimize",),
    "runtime.pipeline.options": ("OptimizeOptions", "PlanOptions", "ReportOptions"),
    "runtime.pipeline.plan": ("plan",),
    "runtime.pipeline.result": ("Result",),
    "runtime.render.html.report": ("report",),
    "runtime.render.picture.dot": ("DotError",),
    "runtime.render.picture.structure": ("PictureError",),
    "runtime.render.text.inspection": ("InspectionError",),
    "runtime.export.compose": ("export_compose",),
    "runtime.export.kserve": ("export_kserve",),
    "runtime.export.options": ("ComposeOptions", "KServeOptions", "TritonOptions"),
    "runtime.export.triton": ("ExportError", "export_triton"),
    "runtime.fleet.options": ("FleetOptions",),
    "runtime.fleet.serve_fleet": ("serve_fleet",),
    "runtime.http.options": ("ServeOptions",),
    "runtime.http.refusal": ("RefusalError",),
    "runtime.http.serve": ("serve",),
    "runtime.hub.optimize_folder": ("FolderResult", "optimize_folder"),
    "runtime.retrain.options": ("RetrainError",),
    "runtime.serve.check": ("check_parts",),
    "runtime.serve.count": ("count_activation",),
    "runtime.serve.local": ("LocalParts", "load_parts"),
    "runtime.serve.options": ("PartitionOptions",),
    "runtime.serve.partition": ("PartitionError", "Partitioned", "partition"),
    "runtime.simulate.options": ("SimulateOptions",),
    "runtime.simulate.simulate": ("simulate",),
    "runtime.simulate.trace": ("TraceError",),
    "runtime.static.fix_shapes": ("fix_shapes",),
    "runtime.tools.export": ("NoTorchError", "export"),
    "runtime.tools.proved": ("SplitError",),
    "runtime.tools.split_pass": ("SplitPass",),
    "runtime.tune.cached_units": ("CachedUnitError",),
    "runtime.tune.fallback": ("Fallback",),
    "runtime.tune.tuned": ("Tuned",),
    "runtime.upgrade.interpreter.unsupported": ("Unsupported", "UnsupportedOperatorError"),
    "runtime.upgrade.modules.layer_error": ("LayerError",),
    "runtime.validation": ("OptionError",),
    "runtime.weights.cover_study": ("Covering", "CoveringError", "cover"),
    "runtime.weights.source": ("AmbiguousError", "WeightError"),
    "runtime.weights.states": ("StatesError", "structure"),
    "runtime.calibrate.selection": ("Selection",),
    "runtime.render.html.document": ("Report",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scission' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
