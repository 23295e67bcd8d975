import numpy as np
from mutations import mutated, random_model

import scission
from scission.ir.findings.difference import Became, NodeAt
from scission.runtime.render.text import diff_lines

NODES = tuple(NodeAt(address=f"n{index}", op=op) for index, op in enumerate(("MatMul", "Add", "MatMul")))


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
