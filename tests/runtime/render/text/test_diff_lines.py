import numpy as np
from mutations import mutated, random_model
from onnx import helper

import scission
from scission.ir.findings.difference import Became, NodeAt
from scission.runtime.render.text import diff_lines

NAMES = ("Sin", "Cos", "Abs", "Exp", "Neg", "Tan")
NODES = tuple(NodeAt(address=f"n{index}", op=op) for index, op in enumerate(("MatMul", "Add", "MatMul")))


def chain(*ops):
    """A model of operators one after another."""
    nodes = [helper.make_node(op, [f"v{place}"], [f"v{place + 1}"]) for place, op in enumerate(ops)]
    x, y = (helper.make_tensor_value_info(f"v{place}", 1, ["n"]) for place in (0, len(ops)))
    return helper.make_model(helper.make_graph(nodes, "chain", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])


def test_operators_and_sources():
    assert diff_lines.operators(NODES) == "2 MatMul, Add" and diff_lines.operators(()) == "nothing"
    assert diff_lines.sources(Became(before=NODES, after=(), by="matching")) == "n0 and 2 more"
    assert diff_lines.sources(Became(before=(), after=NODES, by="provenance", of=("m",))) == "m"


def test_every_constant_is_in_one_list():
    rng = np.random.default_rng(0)
    model = random_model(rng, 15)
    found = scission.diff(model, mutated(rng, model, "weight")[0])
    assert len(diff_lines.drifts(found)) == 1 and diff_lines.relations(found) == []
    assert diff_lines.totals(found)[0] == ("nodes", "15", "15", "")


def test_operators_of_equal_change_are_in_the_order_of_their_names():
    found = scission.diff(chain("Sin", "Cos", "Abs"), chain("Exp", "Neg", "Tan"))
    kinds = [row[0].strip() for row in diff_lines.totals(found)]
    assert [kind for kind in kinds if kind in NAMES] == sorted(NAMES)
