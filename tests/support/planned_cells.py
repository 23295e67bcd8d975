"""Recurrent operators that are planned in tests."""

import dataclasses

import numpy as np
import oracles

import scission
from scission.ir.graph.recurrent import GATES
from scission.ir.plan.plan import Block, Decomposition

OPERATORS = tuple(GATES)


SEED = 3


def plan(model, **options):
    return scission.plan(model, provider="cpu", threads=1, **{"force": True, **options})


def unmerged(chosen, planted):
    """All true blocks, units without edges in the first."""

    def blocks(step):
        truth = planted.truth.get(step.node)
        if truth is None:
            return step.decomposition.blocks
        I = truth.shape[0] - truth.shape[1]  # noqa: E741
        idle = truth.dormant_outputs
        first, *rest = truth.blocks
        joined = Block(np.union1d(first.inputs, idle + I), np.union1d(first.outputs, idle))
        return (joined, *rest)

    steps = [
        dataclasses.replace(step, lowering="cells", decomposition=Decomposition(step.shape, tuple(blocks(step))))
        if step.node in planted.truth
        else step
        for step in chosen.steps
    ]
    return dataclasses.replace(chosen, steps=tuple(steps))


def rewritten(planted, **options):
    chosen = unmerged(plan(planted.model, **options), planted)
    return chosen, scission.apply(planted.model, chosen)


def assert_same(planted, changed, seed=0, batch=3, positions=(1, 5), rtol=None):
    for length in positions:
        data = planted.feeds(np.random.default_rng(seed), length, batch)
        oracles.assert_close(oracles.run(planted.model, data), oracles.run(changed, data), rtol)
