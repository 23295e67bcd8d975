import io
import json

import pytest
from rich.console import Console

from scission.ir.findings.formation import BlockSigns, EdgeStructure, Look, WeightLook


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


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_tells_names_apart_and_wraps_no_column(width):
    pytest.importorskip("torch")  # which the folder of the monitor needs
    from scission.runtime.upgrade.monitor.shown import look_view

    said = BlockSigns(step=6, blocks=4, existence=0.01, accepted=False, reason="")
    seen = EdgeStructure(edges=4, components=1, giant=1.0, dormant=0, sccs=1, layers=1, signs=said)
    names = [f"transformer.encoder.layers.{i}.linear.weight" for i in range(2)]
    weights = tuple(WeightLook(name=name, shape=(1024, 1024), weight=seen, change=seen) for name in names)
    terminal = Console(width=width, file=io.StringIO())
    terminal.print(look_view(Look(step=7, seconds=0.0, took=0.0, weights=weights)))
    rows = terminal.file.getvalue().splitlines()[1:]
    assert rows[0].split() == ["weight", "of", "edges", "components", "largest", "dormant", "SCCs", "layers"]
    assert [row.split()[-7:] for row in rows[1:5]] == [
        [of, "0.0%", "1", "100.0%", "0", "1", "1"] for of in ("weight", "change") * 2
    ]
    assert rows[1].split()[0] != rows[3].split()[0] and rows[2].split()[0] == "1024x1024"
    assert f"{names[0]}, weight: 4 blocks refused at step 6" in rows and all(len(row) <= width for row in rows)


def test_numbers_that_no_picture_holds_are_refused(log, scission_cli):
    pytest.importorskip("matplotlib")
    line = json.loads((log / "run.jsonl").read_text().splitlines()[0])
    wide = {"shape": [1 << 26, 1 << 26], "inputs": f"0x{1 << 26}", "outputs": f"0x{1 << 26}"}
    wrong = [line | {"seconds": 10**400}, line | {"step": 10**400}, line | {"weights": [line["weights"][0] | wide]}]
    for one in wrong:
        (log / "other.jsonl").write_text(json.dumps(one) + "\n")
        status, _, err = scission_cli("monitor other.jsonl --picture out.svg")
        assert status == 2 and "other.jsonl:1" in err
    assert scission_cli("monitor run.jsonl --every nan")[0] == 2
