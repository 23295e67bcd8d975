"""Inspect every linear of a model: model -> a row for each, with the shares of blocks and covers and the verdict."""

from __future__ import annotations

from collections.abc import Callable

from ...ir.findings.inspection import Inspected, Inspection
from ...ir.graph.linear import scopes
from ...ir.graph.sizes import Setting
from ...ir.io.load import Model
from ...ir.plan.plan import Decomposition, Plan, Step
from ...ir.progress import Progress
from ..decompose.blocks import group, transposed
from ..decompose.cover.cover import EACH
from ..decompose.recurrent import RecurrentAnalysis
from .analysis import Analysis
from .make_plan import make_plan
from .settings import Observe, PlanSettings

__all__ = ["cover_share", "in_groups", "inspect_model", "row_of", "scopes_of"]


def inspect_model(
    model: Model,
    settings: PlanSettings | None = None,
    *,
    sized: Callable[[], tuple[Setting, ...]] | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> Inspected:
    """Make the plan of a model and keep what was seen of every weight on the way; changes nothing.

    All are those of `make_plan`, so that the verdicts are those of a plan with the same settings. Raises what that
    raises.
    """
    shares: dict[str, tuple[float, float | None]] = {}

    def keep(node: str, found: Analysis | RecurrentAnalysis) -> None:
        covers = found.covers if isinstance(found, Analysis) else ()
        shares[node] = found.decomposition.mac_share, min(map(cover_share, covers), default=None)
        if observe:
            observe(node, found)

    plan = make_plan(model, settings, sized=sized, progress=progress, observe=keep)
    scope = scopes_of(model, plan)
    return Inspected(plan=plan, rows=tuple(row_of(step, scope[step.node], *shares[step.node]) for step in plan.steps))


def cover_share(found: Decomposition) -> float:
    """Share of the multiply-adds that a cover needs in groups of sixteen outputs or so, or inputs for split-K."""
    return in_groups(found).mac_share


def in_groups(found: Decomposition) -> Decomposition:
    """A cover in groups of sixteen outputs or so, or inputs for split-K."""
    if found.residual:
        return found  # merged at least cost already
    whole = transposed(found) if found.split_k else found
    merged = group(whole, max(whole.shape[1] // EACH, 2))
    return transposed(merged) if found.split_k else merged


def row_of(step: Step, scope: str, blocks: float, covers: float | None) -> Inspection:
    """A step of a plan as a row; blocks, covers: the shares of the multiply-adds that these need."""
    return Inspection(
        node=step.node,
        scope=scope,
        operator=step.op,
        weight=step.weight,
        type=step.dtype,
        inputs=step.shape[0],
        outputs=step.shape[1],
        parameters=step.parameters,
        nonzeros=step.nonzeros,
        components=step.components,
        giant=step.giant,
        dormant_inputs=step.dormant_inputs,
        dormant_outputs=step.dormant_outputs,
        blocks=blocks,
        covers=covers,
        left=1.0 if step.lowering == "dense" else step.decomposition.mac_share,
        verdict=step.lowering,
        gain=step.gain,
        reason=step.reason,
        rows=step.rows,
    )


def scopes_of(model: Model, plan: Plan) -> dict[str, str]:
    """The path of the graph that each operator of a plan stands in, without its last slash; '' for the main graph.

    Where a function was put in the place of its calls, or a node has several directions, the address is not one of the
    model: the longest path that it begins with is that of its graph.
    """
    paths: set[str] = set()
    known: dict[str, str] = {}
    for scope in scopes(model.graph):
        paths.add(scope.path)
        known |= dict.fromkeys(scope.addresses.values(), scope.path)
    nodes = [step.node for step in plan.steps] + [skip.node for skip in plan.skipped]
    longest = {node: max((path for path in paths if node.startswith(path)), key=len, default="") for node in nodes}
    return {node: known.get(node, longest[node]).removesuffix("/") for node in nodes}
