import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from scission import Block, Decomposition
from scission.ir.plan.decomposition import from_ranges
from scission.models.matrices import glued, mel, toeplitz
from scission.passes.cocluster.low_rank import LowRank
from scission.runtime.render.text import cover as report
from scission.runtime.render.text.table import SHOWN
from scission.runtime.weights import cover_study as covering
from scission.runtime.weights.cover_study import cover

RESIDUAL = glued.build(np.random.default_rng(0), 8, 128, inputs=0, residual=60).W


@pytest.fixture(autouse=True)
def low_rank(monkeypatch):
    """What is found of blocks and low rank, without looking for it."""
    found = []
    monkeypatch.setattr(covering, "low_rank", lambda _: tuple(found))
    return found


def analysed(exact, close):
    return LowRank(
        blocks=Decomposition((8, 8), (Block(range(4), range(4)), Block(range(4, 8), range(4, 8)))),
        exact=exact,
        close=close,
    )


def text(found, everything=False):
    stream = io.StringIO()
    Console(file=stream, width=200).print(report.cover_view(found, everything))
    return stream.getvalue()


def row(lines, name):
    return next(line.split() for line in lines if line.startswith(name))


def test_the_forms_are_rows():
    found = cover(RESIDUAL, threads=1)
    lines = text(found).splitlines()
    assert lines[0].startswith("weight: 1,024 inputs, 1,024 outputs, float, ") and "1 component" in lines[0]
    assert row(lines, "dense")[:3] == ["dense", "100.0%", "100.0%"]
    residual = next(form for form in found.forms if form.decomposition.residual)
    assert str(len(residual.decomposition.residual)) in row(lines, "groups and residual entries")
    assert sum("takes it" in line for line in lines) == 1
    assert not any("low rank" in line for line in lines)
    assert lines[-1] == found.sentence


def test_blocks_and_low_rank_are_an_analysis_only(low_rank):
    name = "blocks and low rank"
    for one, words in (
        (analysed(1, 1), ["2", "75.0%", "125.0%", "1"]),  # indices of eight bytes beside weights of four
        (analysed(None, 1), ["2", "75.0%", "125.0%", "1", "within", "0.1%"]),
        (analysed(None, None), ["over", "100%", "over", "100%"]),
    ):
        low_rank[:] = [one]
        lines = text(cover(np.ones((8, 8), np.float32))).splitlines()
        assert row(lines, name)[4:] == words and any(line.startswith(f"{name}: an analysis only") for line in lines)


def test_the_groups_of_the_best_form_are_rows():
    found = cover(mel.filters(257, 64), threads=1)
    lines = text(found).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("group "))
    assert lines[start].split() == ["group", "outputs", "inputs", "shared", "inputs", "window", "MACs", "bytes"]
    for index, (line, group) in enumerate(zip(lines[start + 1 :], found.groups, strict=False)):
        inputs, outputs = group.block.shape
        assert line.split()[:5] == [str(index), str(outputs), str(inputs), str(group.shared), "yes"]


def test_split_k_groups_share_outputs():
    reads = np.random.default_rng(0).random((8, 256)) < 0.25
    found = cover(np.repeat(reads, 64, axis=0), threads=1)
    found = replace(found, forms=tuple(form for form in found.forms if form.kind in ("dense", "split-K groups")))
    assert found.best.kind == "split-K groups" and "shared outputs" in text(found)


def test_long_tables_are_cut_unless_everything_is_asked_for():
    found = cover(toeplitz.weight(np.random.default_rng(0), 400, 3), threads=1)
    assert len(found.groups) > SHOWN
    assert f"and {len(found.groups) - SHOWN} more (--all shows them)" in text(found)
    assert "--all" not in text(found, True)


@pytest.mark.parametrize("W", [np.ones((4, 4)), np.zeros((3, 2)), np.random.default_rng(0).standard_normal((50, 60))])
def test_where_nothing_is_to_gain_there_are_no_groups(W):
    found = cover(W)
    view = text(found)
    assert "groups of the form" not in view and found.sentence in view and "takes it" in view
    data = report.to_dict(found)
    assert data["groups"] == [] and data["groups_of"] is None and data["forms"][0]["taken"]


def test_json_holds_everything(low_rank):
    W = RESIDUAL
    low_rank[:] = [analysed(None, 1)]
    found = cover(W, rows=[64, 256], threads=1)
    data = json.loads(json.dumps(report.to_dict(found), allow_nan=False))
    assert data["shape"] == [1024, 1024] and data["rows"] == [64, 256] and data["edges"] == np.count_nonzero(W)
    inside = np.zeros(W.shape, bool)
    for group in data["groups"]:
        inside[np.ix_(from_ranges(group["inputs"], 1024), from_ranges(group["outputs"], 1024))] = True
    best = next(form for form in data["forms"] if form["form"] == data["groups_of"])
    for k, n in best["residual"]:
        inside[k, n] = True
    assert not ((W != 0) & ~inside).any() and inside.mean() == pytest.approx(best["mac_share"])
    assert data["blocks_and_low_rank"][0] == {
        "blocks": 2,
        "rank": None,
        "mac_share": None,
        "rank_within_a_thousandth": 1,
        "mac_share_within_a_thousandth": 0.75,
    }


def test_no_heading_of_the_forms_is_cut_at_80_columns(low_rank):
    low_rank.append(analysed(4, 2))
    stream = io.StringIO()
    triangles = np.kron(np.eye(3, dtype=np.float32), np.triu(np.ones((40, 40), np.float32)))
    Console(file=stream, width=80).print(report.cover_view(cover(triangles)))
    lines = stream.getvalue().splitlines()
    heading = next(line for line in lines if line.startswith("form "))
    assert "predicted" in heading and "lowering" in heading and "MACs left" in heading and "…" not in heading
    assert any(line.startswith("blocks and low rank ") for line in lines)
