"""A model with its units in groups: weights between groups shrink while it learns, blocks are fitted, and trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Plan
from ....ir.reason import Cause, Reason
from ....passes.pruning.block_fit import fit_blocks
from ....passes.pruning.greedy import Reading
from ....passes.rewrite.pruning.put_weights import put_weights as put_linears
from ....passes.rewrite.rewrite import rewrite
from ....passes.rewrite.weights.put_weights import put_weights
from ...pipeline.options import PlanOptions
from ...pipeline.plan import plan
from ...retrain.options import RetrainOptions
from ...retrain.state import State
from ...retrain.training import Training, computing_alike
from ...upgrade.interpreter.interpreted import Interpreted
from ...upgrade.interpreter.unsupported import UnsupportedOperatorError
from ...upgrade.to_torch import to_torch
from ..task.method import DecomposeTask, ModelCandidate
from .group_lasso import GroupedWeight, GroupLasso
from .grouping import Grouped, grouped, readings
from .lesson import BlockLesson, block_lesson
from .places import Places

if TYPE_CHECKING:
    from .method import Blocks

__all__ = ["BlockFitting"]

LOOKS = 10  # at what is held back, each time that it learns
SLOWER = (1.0, 0.1)  # rates of learning of what is left, one after the other


@dataclass(frozen=True, slots=True, eq=False)
class BlockFitting:
    """What all candidates of one task are made from. read: what each weight reads in the original, by address."""

    task: DecomposeTask
    seen: View
    places: Places
    lesson: BlockLesson
    how: Blocks
    read: Mapping[str, Reading]

    @staticmethod
    def of(task: DecomposeTask, seen: View, places: Places, how: Blocks) -> BlockFitting | Reason:
        """What is needed of a task, or why its model cannot be trained."""
        try:
            to_torch(task.model.graph)
        except UnsupportedOperatorError as error:
            return Reason(Cause.UNSUPPORTED, str(error))
        lesson = block_lesson(task)
        if isinstance(lesson, Reason):
            return lesson
        read = readings(task, lesson.trained.feeds, seen, task.model.graph, places.places)
        return BlockFitting(task, seen, places, lesson, how, read)

    def candidate(self, count: int, ends: bool) -> ModelCandidate | Reason:
        """The model with so many groups; why there is none where it would not be faster, or does not learn."""
        task = self.task
        chosen = self.places.in_blocks(count, ends)
        groups = grouped(self.read, chosen, self.places.sizes, count, task.seed)
        module = to_torch(task.model.graph)
        for weight in _weights(module, groups):
            weight.project()
        if not self._plan(put_weights(task.model.graph, module.arrays())).rewrites:  # for which numbers do not matter
            return Reason(Cause.NO_GAIN, f"{count} blocks of {groups[0].place.linear.address} would not be faster")
        shrunk, outside = self._shrunk(groups)
        # Where few samples say little more than least squares already do, shrinking may only have done harm.
        starts = {"dropped": task.model.graph, "shrunk": shrunk}
        learnt = {name: self._learnt(graph, groups) for name, graph in starts.items()}
        best = min(learnt, key=lambda name: learnt[name][1].best_look.loss)
        whole, state = learnt[best]
        if not math.isfinite(state.best_look.loss):
            why = f"{task.model.name} does not learn in {count} groups: its loss is no finite number"
            return Reason(Cause.MISFIT, why)
        told = {
            "blocks": count,
            "ends": ends,
            "mac_share": self.places.mac_share(count, ends),
            "kept": {one.place.linear.address: one.kept for one in groups},
            "outside": outside,
            "from": best,
            "losses": {name: one.best_look.loss for name, (_, one) in learnt.items()},
        }
        return ModelCandidate(method="blocks", model=rewrite(whole, self._plan(whole)), settings=told)

    def _shrunk(self, groups: Sequence[Grouped]) -> tuple[ir.Model, float]:
        """The model that learnt while tiles outside of blocks shrank, and the share of squares that is left of them."""
        module = to_torch(self.task.model.graph)
        lasso = GroupLasso(_weights(module, groups), self.how.steps)
        state = self._trained(module, lasso, self.how.steps, self.how.rate)
        _put_back(module, state.weights)
        return put_weights(self.task.model.graph, module.arrays()), lasso.outside

    def _learnt(self, graph: ir.Model, groups: Sequence[Grouped]) -> tuple[ir.Model, State]:
        """The model with blocks that were fitted to its weights, and then learnt, and what learning came to."""
        fitted = self._fitted(graph, groups)
        module = to_torch(fitted)
        held = _weights(module, groups)

        def project(step: int = 0) -> None:
            for one in held:
                one.project()

        project()
        for slower in SLOWER:  # each goes on from the best of the one before
            state = self._trained(module, project, self.how.patience, self.how.rate * slower)
        return put_weights(fitted, module.arrays()), state

    def _trained(self, module: Interpreted, after: Callable[[int], None], patience: int, rate: float) -> State:
        """Learns, with something done to the weights after each step."""
        how = RetrainOptions(
            steps=self.how.steps,
            rate=rate,
            every=max(self.how.steps // LOOKS, 1),
            patience=patience,
            seed=self.task.seed,
        )
        lesson = self.lesson
        with computing_alike(self.task.trials.threads):
            run = Training(module, lesson.objective, lesson.trained, lesson.held_back, how, None, "", after=after)
            return run()[0]

    def _fitted(self, graph: ir.Model, groups: Sequence[Grouped]) -> ir.Model:
        """The model with blocks that come as near to the results of the weights as they are by now as they can."""
        read = readings(self.task, self.lesson.trained.feeds, self.seen, graph, [one.place for one in groups])
        made = {}
        for one in groups:
            address = one.place.linear.address
            weight = fit_blocks(read[address], np.append(one.inputs, -1), one.outputs)
            made[address] = (weight[:-1], weight[-1])
        return put_linears(graph, made)

    def _plan(self, whole: ir.Model) -> Plan:
        """What is split of a model whose weights are in blocks, for as many rows as candidates are timed on."""
        trials = self.task.trials
        asked = PlanOptions(
            provider=trials.provider, threads=trials.threads, custom_ops=trials.custom_ops, batch=_rows(self.task)
        )
        return plan(whole, asked)


def _weights(module: Interpreted, groups: Sequence[Grouped]) -> list[GroupedWeight]:
    """The parameters that the weights are."""
    by_address = {linear.address: linear for linear in module.written.found.linears}
    names = {value: name for name, value in module.written.whole.items()}
    found = []
    for one in groups:
        linear = by_address[one.place.linear.address]
        parameter = module.weights[names[linear.weight]]
        found.append(GroupedWeight(parameter.data, linear.transposed, one.inputs, one.outputs))
    return found


def _put_back(module: Interpreted, weights: Mapping[str, torch.Tensor]) -> None:
    """The weights at the end of training, which are those of the look with the least loss otherwise."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(weights[name])


def _rows(task: DecomposeTask) -> int | None:
    """Rows of the feed of median size, which candidates are timed on; None where the model fixes them."""
    for given in task.model.graph.graph.inputs:
        name = given.name or ""
        if given.shape is None or not len(given.shape):  # a scalar has no rows
            continue
        sizes = sorted(len(feed[name]) for feed in task.selection.feeds if name in feed)
        if sizes:
            return None if isinstance(given.shape[0], int) else sizes[(len(sizes) - 1) // 2]
    return None
