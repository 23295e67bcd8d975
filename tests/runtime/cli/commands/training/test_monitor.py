import json

import pytest
from shell import typed

from scission.ir.findings.formation import EdgeStructure, Look, WeightLook


@pytest.fixture
def scission_cli(monkeypatch, capfd):
    return typed(monkeypatch, capfd)


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The log of a run in which two features met at its second look, and no more came of it."""
    monkeypatch.chdir(tmp_path)
    lines = []
    for step, (components, dormant) in enumerate([(0, 4), (1, 2), (1, 2)], 1):
        seen = EdgeStructure(edges=components, components=components, giant=components / 2, dormant=dormant)
        labels = "-1x2" if not components else "0,-1"
        one = WeightLook(name="up", shape=(2, 2), weight=seen, change=seen, inputs=labels, outputs=labels)
        lines.append(Look(step=100 * step, seconds=float(step), took=0.002, weights=(one,)).to_line())
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_it_tells_when_structure_became_another_and_how_it_is_now(log, scission_cli):
    status, out, _ = scission_cli("monitor run.jsonl")
    rows = out.partition("step 300")[0].splitlines()
    assert status == 0 and [row.split()[-4:] for row in rows[2:]] == [
        ["100", "0", "0.0%", "4"],
        ["200", "1", "50.0%", "2"],
    ]
    assert "this look took 2.0 ms" in out
    assert " 300 " in scission_cli("monitor run.jsonl --all")[1].partition("step 300")[0]


def test_json_and_a_picture(log, scission_cli):
    pytest.importorskip("matplotlib")
    status, out, _ = scission_cli("monitor run.jsonl --json --picture out.svg --picture out.png")
    assert status == 0 and [look["step"] for look in json.loads(out)] == [100, 200, 300]
    assert b"up, 2x2" in (log / "out.svg").read_bytes() and (log / "out.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = scission_cli("monitor run.jsonl --picture out.svg")
    assert status == 2 and "--overwrite" in err


def test_what_is_no_log_is_refused(log, scission_cli):
    (log / "other.jsonl").write_text("{}\n")
    for name, said in (
        ("other.jsonl", "other.jsonl:1: 'version' is missing"),
        ("none.jsonl", "none.jsonl: No such file"),
    ):
        status, _, err = scission_cli(f"monitor {name}")
        assert status == 2 and said in err
