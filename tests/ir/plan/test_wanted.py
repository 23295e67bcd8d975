import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import scission
from scission import PlanError
from scission.ir.plan.wanted import WAYS, Wanted
from scission.models.matrix import weight
from scission.models.planted.recurrent import Cell, build_cell
from scission.runtime.cli.app import app

NAMES = st.text("ab/=.", min_size=1, max_size=4)


@given(st.none() | st.sampled_from(WAYS), st.dictionaries(NAMES, st.sampled_from(WAYS), max_size=3))
def test_what_is_wanted_survives_text_and_json(every, nodes):
    texts = [*([every] if every else []), *(f"{node}={way}" for node, way in nodes.items())]
    wanted = Wanted.of(*texts)
    assert wanted == Wanted(every=every, nodes=tuple(nodes.items())) == Wanted.from_dict(wanted.to_dict())
    assert bool(wanted) == bool(texts)
    for name in ("a", "b", "a/b"):
        assert wanted.way("stranger", name) == nodes.get(name, every)
    assert set(wanted.unknown(["a"])) == nodes.keys() - {"a"}


@pytest.mark.parametrize("data", [[], {"all": "split"}, {"nodes": ["a"]}, {"every": "cells"}, {"nodes": {"a": "x"}}])
def test_what_is_no_wish_is_refused(data):
    with pytest.raises(PlanError, match=r"wanted|lowering"):
        Wanted.from_dict(data)


def test_a_recurrent_operator_has_one_way_only():
    model = build_cell(np.random.default_rng(0), Cell(op="GRU", direction="forward", sizes=((4, 8),) * 4)).model
    whole = scission.plan(model, provider="cpu", threads=1, force=True, lowering="scatternd")
    (step,) = whole.steps
    assert step.lowering == "cells"
    for name, why in (("dense", "as asked"), ("split", "'cells'")):
        (step,) = scission.plan(model, provider="cpu", threads=1, force=True, lowering=f"{step.node}={name}").steps
        assert step.lowering == "dense" and why in str(step.reason)


def test_the_command_line_takes_wishes_and_names_the_choices(tmp_path):
    W, _ = weight(np.random.default_rng(0), [(4, 4)] * 4)
    model = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["n", 16]}, {"y": ["n", 16]}, {"W": W})
    path, out = tmp_path / "m.onnx", tmp_path / "p.json"
    path.write_bytes(model.SerializeToString())
    run = CliRunner().invoke
    asked = [
        "plan",
        str(path),
        "--quiet",
        "--overwrite",
        "-o",
        str(out),
        "--provider",
        "cpu",
        "--lowering",
        "n0=scatternd",
    ]
    assert run(app, [*asked, "--parts", "2"]).exit_code == 0
    made = scission.Plan.loads(out.read_text())
    assert made.steps[0].lowering == "scatternd" and len(made.steps[0].decomposition.blocks) == 2
    assert (made.grain.parts, made.wanted.nodes) == (2, (("n0", "scatternd"),))
    with pytest.raises(PlanError, match="one of the two"):
        run(app, [*asked, "--parts", "2", "--granularity", "2"], catch_exceptions=False)
    with pytest.raises(PlanError, match="scatternd"):
        run(app, ["plan", str(path), "--lowering", "fast"], catch_exceptions=False)
