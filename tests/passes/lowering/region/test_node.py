"""Every operator inside a region: the ways in which it can be computed, and that it computes the same in all."""

from collections import Counter

import numpy as np
import pytest
from reference import node
from regions import ALL, ROWS, chain, checked, dense_plan, done, grown, ints, joined, looked_at

import scission
from scission.ir.axes.axis_rules import RULES
from scission.ir.graph.operators import BLOCKWISE
from scission.passes.lowering.region.node import EMITTERS

NUMBER, VECTOR = {"c": np.float64(2)}, {"c": np.arange(1.0, 9)}
HEADS = {"s": ints(0, 0, 2, 4), "all": ints(0, 0, 8)}
APART = [("Reshape", "h s", "r"), ("Reshape", "q all", "g")]  # around an operator from r to q
ALONE = {("features_last", False)}


def heads(*between, **attributes):
    """An operator on (batch, positions, 2 heads, 4)."""
    return [APART[0], *between, APART[1]]


def pairs(*between):
    """The same on (batch, 2 heads, positions, 4)."""
    there, back = ("Transpose", "r", "t", {"perm": [0, 2, 1, 3]}), ("Transpose", "o", "q", {"perm": [0, 2, 1, 3]})
    return [APART[0], there, *between, back, APART[1]]


CASES = {  # nodes between two products, constants, the ways with two dimensions and with three (None: not tried)
    "Relu": ([("Relu", "h", "g")], {}, ALL, ROWS),
    "Identity": ([("Identity", "h", "g")], {}, ALL, ROWS),
    "Clip": ([("Clip", "h c", "g")], NUMBER, ALL, ROWS),
    "Clip of one side": ([("Clip", ["h", "", "c"], "g")], NUMBER, ALL, ROWS),
    "Pow": ([("Pow", "h c", "g")], NUMBER, ALL, ROWS),
    "Add": ([("Add", "c h", "g")], VECTOR, ALL, ROWS),
    "Mul by a matrix": ([("Mul", "h c", "g")], {"c": np.arange(8.0).reshape(1, 8)}, ALL, ROWS),
    "Mul by one more axis": ([("Mul", "h c", "g")], {"c": np.arange(8.0).reshape(1, 1, 8)}, ROWS, ROWS),
    "Where": ([("Less", "h c", "m"), ("Where", "m h c", "g")], VECTOR, ALL, ROWS),
    "Max": ([("Max", "h c h", "g")], NUMBER, ALL, ROWS),
    "Dropout": ([("Dropout", "h", "g")], {}, ALL, ROWS),
    "itself": ([("Sigmoid", "h", "m"), ("Mul", "h m", "g")], {}, ALL, ROWS),
    "outside": ([("Add", "h o", "g")], {}, ALONE, ALONE),
    "a number from outside": ([("Mul", "h n", "g")], {}, ALL, ROWS),
    "Transpose": (
        [("Transpose", "h", "t", {"perm": [2, 0, 1]}), ("Transpose", "t", "g", {"perm": [1, 2, 0]})],
        {},
        None,
        ROWS,
    ),
    "Transpose of all": ([("Transpose", "h", "t"), ("Transpose", "t", "g")], {}, ROWS, ROWS),
    "Reshape": (heads(("Tanh", "r", "q")), HEADS, None, ROWS),
    "Unsqueeze": ([("Unsqueeze", "h c", "t"), ("Squeeze", "t c", "g")], {"c": ints(-2)}, ROWS, ROWS),
    "Unsqueeze in front": ([("Unsqueeze", "h c", "t"), ("Squeeze", "t c", "g")], {"c": ints(0)}, ROWS, ROWS),
    "Flatten": ([("Flatten", "h", "g", {"axis": 1})], {}, ALONE, None),
    "Expand": (
        pairs(("Unsqueeze", "t a", "u"), ("Expand", "u e", "w"), ("Squeeze", "w a", "o")),
        {**HEADS, "a": ints(2), "e": ints(1, 1, 1, 4)},
        None,
        ROWS,
    ),
    "Split": (
        [("Split", "h", "a b", {"axis": -1, "num_outputs": 2}), ("Concat", "b a", "g", {"axis": -1})],
        {},
        None,
        None,
    ),
    "Split of heads": (
        heads(
            ("Split", "r", "a b", {"axis": 3, "num_outputs": 2}),
            ("Neg", "b", "n"),
            ("Concat", "n a", "q", {"axis": -1}),
        ),
        HEADS,
        None,
        ROWS,
    ),
    "Split in sizes": (
        heads(("Split", "r z", "a b", {"axis": -1}), ("Concat", "b a", "q", {"axis": 3})),
        {**HEADS, "z": ints(1, 3)},
        None,
        ROWS,
    ),
    "Slice": (
        heads(("Slice", "r i j k", "a"), ("Slice", "r j l k", "b"), ("Concat", "b a", "q", {"axis": -1})),
        {**HEADS, "i": ints(0), "j": ints(2), "k": ints(-1), "l": ints(1 << 62)},
        None,
        ROWS,
    ),
    "Slice beside": ([("Slice", "h i j k", "g")], {"i": ints(0), "j": ints(1), "k": ints(0)}, ROWS, ROWS),
    "Gather": (heads(("Gather", "r i", "q", {"axis": -1})), {**HEADS, "i": ints(3, -4, 1, 2)}, None, ROWS),
    "Gather of one": (
        heads(("Gather", "r i", "b", {"axis": 3}), ("Unsqueeze", "b a", "c"), ("Mul", "r c", "q")),
        {**HEADS, "i": np.int64(-1), "a": ints(3)},
        None,
        ALONE,
    ),
    "Gather beside": ([("Gather", "h i", "g", {"axis": 0})], {"i": ints(0, 0)}, ROWS, ROWS),
    "Softmax": (heads(("Softmax", "r", "q")), HEADS, None, ROWS),
    "LayerNormalization": (
        heads(("LayerNormalization", "r v w", "q")),
        {**HEADS, "v": np.arange(4.0), "w": np.ones(4)},
        None,
        ROWS,
    ),
    "ReduceSum": (heads(("ReduceSum", "r a", "m"), ("Sub", "r m", "q")), {**HEADS, "a": ints(-1)}, None, ROWS),
    "ReduceMax of rows": (
        [("ReduceMax", "h a", "m", {"keepdims": 0}), ("Sub", "h m", "g")],
        {"a": ints(0)},
        None,
        ROWS,
    ),
    "MatMul": (
        pairs(("Transpose", "r", "k", {"perm": [0, 2, 3, 1]}), ("MatMul", "t k", "w"), ("MatMul", "w t", "o")),
        HEADS,
        None,
        ROWS,
    ),
    "MatMul with something": (pairs(("MatMul", "t e", "o")), HEADS, None, ROWS),
    "MatMul after something": (pairs(("MatMul", "p t", "o")), HEADS, None, ROWS),
}
INPUTS = {"o": [8], "n": [], "e": ["N", 1, 4, 4], "p": ["N", 1, "S", "S"]}


def spelt(nodes):
    made = []
    for index, (op, ins, out, *attributes) in enumerate(nodes):
        made.append(node(op, ins if isinstance(ins, str) else " ".join(ins), out, f"{op}{index}", **dict(*attributes)))
        if not isinstance(ins, str):
            made[-1].input[:] = ins
    return made


def built(case, rank):
    nodes, constants, *_ = CASES[case]
    made = spelt(nodes)
    written = {name for one in made for name in one.output}
    read = {name for one in made for name in one.input} - written
    inputs = {name: (shape, np.float64) for name, shape in INPUTS.items() if name in read and name not in constants}
    return chain(made, rank=rank, constants=constants, inputs=inputs)


RANKED = [(case, rank) for case, (*_, two, three) in CASES.items() for rank, ways in ((2, two), (3, three)) if ways]


@pytest.mark.parametrize(("case", "rank"), RANKED)
def test_every_operator_in_every_way_that_suits_it(case, rank):
    ways, reasons = done(checked(built(case, rank), ((3, 5), (1, 1))))
    expected = CASES[case][rank]
    assert ways == expected
    assert len(reasons) >= (len(ALL) > len(expected))


def test_every_rule_has_an_emitter():
    assert EMITTERS.keys() == BLOCKWISE and RULES.keys() >= BLOCKWISE
    tried = {EMITTERS[op] for nodes, *_ in CASES.values() for op, *_ in nodes}
    assert tried == set(EMITTERS.values())


def test_a_shape_that_is_computed_is_adapted_once_for_all_blocks():
    """Its extents of features are those of a block; Where puts them in."""
    nodes = [
        ("Shape", "h", "z"),
        ("Slice", "z i j", "lead"),
        ("Concat", "lead d", "wide", {"axis": 0}),
        ("Reshape", "h wide", "r"),
        ("Tanh", "r", "q"),
        ("Reshape", "q wide", "k"),
        ("Reshape", "k all", "g"),
    ]
    constants = {"i": ints(0), "j": ints(2), "d": ints(2, 4), "all": ints(0, 0, 8)}
    proto = chain(spelt(nodes), constants=constants)
    assert done(checked(proto))[0] == ROWS
    seen = looked_at(proto)
    (region,) = grown(seen)
    changed = scission.apply(proto, joined(dense_plan(proto), seen, [(region, region.decompositions)]))
    found = Counter(one.op_type for one in changed.graph.node)
    assert found["Where"] == 1 and found["Reshape"] == 6
