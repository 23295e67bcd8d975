"""The bench of a GPU runs without one, at tiny sizes; what was measured outlives a trip that is cut short."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import oracles
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import gpu
import gpu_rows

from scission.models.planted import ffn


def test_every_part_has_its_place():
    assert list(gpu.ORDER) == list(gpu_rows.PARTS)


@pytest.mark.parametrize("part", ["networks", "bias", "closure", "dense", "stream"])
def test_a_part_runs_without_a_gpu(part, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.jsonl"
    gpu.run(part, rows, dry=True)
    figures = gpu.measured(rows, dry=True)
    assert figures and all(np.isfinite(one.value) for one in figures)
    assert part != "networks" or all("2 region" in one.what for one in figures)  # what plans for CUDA write
    assert not gpu.measured(rows, dry=False)


def test_a_trip_goes_on_where_it_stopped(monkeypatch, tmp_path):
    rows, asked = tmp_path / "rows.jsonl", []
    went = {"networks": "ended", "closure": "out of time", "dense": "failed", "stream": "ended"}

    def apart(part, rows, dry, seconds):
        asked.append(part)
        figure = gpu_rows.reported(part, f"run {len(asked)}", len(asked))
        gpu.add(rows, {"kind": "figure", "part": part, "dry": dry, "figure": dataclasses.asdict(figure)})
        return went[part]

    monkeypatch.setattr(gpu, "apart", apart)
    assert dict(gpu.trip(list(went), rows, True, 5)) == went
    with rows.open("a") as file:
        file.write('{"kind": "figu')  # the machine went away
    assert dict(gpu.trip(list(went), rows, True, 5)) == {part: how for part, how in went.items() if how != "ended"}
    assert asked == ["networks", "closure", "dense", "stream", "closure", "dense"]
    assert [(one.row, one.value) for one in gpu.measured(rows, True)] == [
        ("networks", 1),
        ("closure", 5),
        ("dense", 6),
        ("stream", 4),
    ]
    assert dict(gpu.trip(["networks"], rows, False, 5)) == {"networks": "ended"}  # dry rows are no rows
    assert dict(gpu.trip(["closure"], rows, True, 0.01)) == {"closure": "not begun"}


def test_a_part_that_hangs_or_fails_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "__file__", str(tmp_path / "part.py"))
    for program, how in (
        ("import time; time.sleep(60)", "out of time"),
        ("raise SystemExit(3)", "failed"),
        ("", "ended"),
    ):
        (tmp_path / "part.py").write_text(program)
        assert gpu.apart("closure", tmp_path / "rows", True, 3.0 if program.startswith("import") else 60.0) == how


def test_a_model_in_half_precision_computes_the_same_but_for_rounding():
    model = ffn.build(np.random.default_rng(0), 16, 32, 2).model
    x = np.random.default_rng(1).standard_normal((3, 16), np.float32)
    (before,) = oracles.run(model, {"x": x})
    half = gpu_rows.halved(onnx.load_from_string(model.SerializeToString()))
    (after,) = oracles.run(half, {"x": x.astype(np.float16)})
    assert after.dtype == np.float16
    np.testing.assert_allclose(after, before, atol=0.01 * np.abs(before).max())


def test_what_is_kept_is_json_line_by_line(tmp_path):
    rows = tmp_path / "deep" / "rows.jsonl"
    gpu.add(rows, {"kind": "begun", "part": "dense", "dry": True})
    assert [json.loads(line)["part"] for line in rows.read_text().splitlines()] == ["dense"]
