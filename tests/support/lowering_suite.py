"""What every lowering of a linear has to keep to, whoever wrote it."""

import dataclasses
import math

import numpy as np
import oracles

import scission
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.reason import Reason
from scission.models.planted.products import build, feeds
from scission.passes.lowering.prices import prices_of
from scission.passes.lowering.target import Target

SEED = 5
TARGET = Target()


def check_kind(lowering, kind):
    """Rewrite a planted kind by a lowering, its blocks in order and not, and hold the result beside the original.

    Returns how many linears were written so: those that it does not suit are left to `scatter`.
    """
    return sum(_check(lowering, kind, contiguous=contiguous) for contiguous in (False, True))


def _check(lowering, kind, *, contiguous):
    planted = build(np.random.default_rng(SEED), kind, contiguous=contiguous)
    plan = scission.plan(planted.model, provider="cpu", threads=1, force=True, regions=False)
    truths = oracles.truths(plan, planted)
    survey = view(load(planted.model).graph, plan.inline).found
    written = {}
    for linear in survey.linears:
        found = truths[linear.address]
        why = lowering.why_not(linear, found, TARGET)
        assert why is None or (isinstance(why, Reason) and why.text), "a refusal has a cause, and a sentence for people"
        if why is None and lowering.takes(linear.canonical(survey.constants)):
            check_answers(lowering, linear, found)
            written[linear.address] = found
    if written:
        changed = scission.apply(planted.model, _asked(plan, lowering, written))
        for free in (0, 1, 3):
            data = feeds(np.random.default_rng(free), planted, free)
            optimised = "dequantize" not in kind  # ONNX Runtime's kernel for int8 weights is 1 % off
            before = (oracles.run if free else oracles.runs)(planted.model, data, optimised=optimised)
            rtol = oracles.TOLERANCE["float32"] if kind == "bias-after-cast" else None  # computed in float32 there
            if before is not None:
                oracles.assert_close(before, oracles.run(changed, data, optimised=optimised), rtol)
    return len(written)


def check_answers(lowering, linear, found):
    """What a lowering says of a linear that it suits: prices grow, entries hold all blocks, only the bias goes."""
    assert lowering.why_not(linear, None, TARGET) is None, "what suits some blocks suits the linear"
    for prices in (prices_of("cpu"), prices_of("cuda")):
        spent = [lowering.seconds(linear, found, rows, prices) for rows in (2, 64, 4096)]
        assert 0 < spent[0] <= spent[1] <= spent[2] < math.inf
    inside = sum(k * n for k, n in (block.shape for block in found.blocks))
    assert lowering.entries(found, 1) >= inside and lowering.index_bytes(found) >= 0
    assert lowering.absorbs(linear) <= ({linear.bias.node} if linear.bias is not None else set())


def _asked(plan, lowering, written):
    steps = [
        dataclasses.replace(step, lowering=lowering.name, decomposition=written[step.node])
        if step.node in written
        else dataclasses.replace(step, lowering="dense")
        for step in plan.steps
    ]
    return dataclasses.replace(plan, steps=tuple(steps))
