import json

import pytest
from retrain_runs import write_run

pytest.importorskip("torch")

LINE = "retrain model.onnx out.onnx --data data.npz --steps 40 --every 20 --threads 1 --provider cpu --no-bench"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path)
    return tmp_path


def test_it_tells_how_learning_went(home, scission_cli):
    status, out, _ = scission_cli(LINE)
    assert status == 0 and (home / "out.onnx").exists()
    steps = [row.split()[0] for row in out.splitlines() if row.strip()[:1].isdigit()]
    assert steps[:3] == ["0", "20", "40"] and "wrote out.onnx" in out
    status, _, error = scission_cli(LINE)
    assert status == 2 and "--overwrite" in error


def test_json_has_every_look(home, scission_cli):
    status, out, _ = scission_cli(f"{LINE} --json")
    told = json.loads(out)
    assert status == 0 and [look["step"] for look in told["looks"]] == [0, 20, 40]
    assert told["ok"] and told["written"] == ["out.onnx"]


def test_what_is_missing_is_told_as_it_is_typed(home, scission_cli):
    import numpy as np

    np.savez(home / "bare.npz", x=np.load(home / "data.npz")["x"])
    status, _, error = scission_cli(LINE.replace("data.npz", "bare.npz"))
    assert status == 2 and "give --labels or --teacher" in error
