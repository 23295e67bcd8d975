"""Which linears compute queries and keys."""

import numpy as np
import pytest
from reference import model, node

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.passes.anneal.attention import queries_and_keys

D = 4
SIDES = [node("MatMul", "x Q", "q", "query"), node("MatMul", "x P", "p", "key"), node("MatMul", "x L", "l", "value")]
TURNED = node("Transpose", "p", "t", perm=[1, 0])
SCORES = node("MatMul", "q t", "s", "scores")
SOFTMAX = node("Softmax", "s", "e", axis=-1)
MIX = node("MatMul", "e l", "y", "mix")


def found(*nodes, outputs=("y",)):
    constants = {name: np.ones((D, D), np.float32) for name in "QPL"} | {"half": np.float32(0.5)}
    domains = ["com.microsoft"]
    graph = load(model([*SIDES, *nodes], {"x": ["b", D]}, list(outputs), constants, domains=domains)).graph
    return queries_and_keys(survey(graph).linears)


SPELLINGS = {
    "plain": [TURNED, SCORES, SOFTMAX, MIX],
    "scaled and added to": [
        TURNED,
        node("MatMul", "q t", "r"),
        node("Mul", "r half", "h"),
        node("Add", "h half", "s"),
        SOFTMAX,
        MIX,
    ],
    "moved before": [node("Mul", "q half", "a"), TURNED, node("MatMul", "a t", "s"), SOFTMAX, MIX],
    "an operator": [node("MultiHeadAttention", "q p l", "y", domain="com.microsoft", num_heads=1)],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_queries_and_keys_meet_in_a_product_before_a_softmax(name):
    assert found(*SPELLINGS[name]) == {"query", "key"}


OTHERS = {
    "no softmax": ([TURNED, node("MatMul", "q t", "e"), MIX], ("y", "e")),
    "another function": ([TURNED, SCORES, node("Sigmoid", "s", "e"), MIX], ("y", "e")),
    "a function between": ([node("Relu", "q", "a"), TURNED, node("MatMul", "a t", "s"), SOFTMAX, MIX], ("y",)),
    "a softmax of one linear": ([node("Softmax", "q", "e", axis=-1), node("Add", "e l", "y")], ("y", "p")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_products_are_no_attention(name):
    nodes, outputs = OTHERS[name]
    assert found(*nodes, outputs=outputs) == set()
