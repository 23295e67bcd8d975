import collections
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scission.ir.reason import Cause, Reason
from scission.runtime.doctor import examination
from scission.runtime.doctor.examination import examined
from scission.runtime.doctor.finding import State
from scission.runtime.ort.library import SessionError

Usage = collections.namedtuple("Usage", "total used free")


def found(what):
    return [one for one in examined().findings if one.what == what]


def test_what_is_there_is_told_with_its_version():
    import numpy

    told = examined()
    assert told.ok
    assert [one.found for one in told.findings if one.what == "numpy"] == [numpy.__version__]
    assert found("providers")[0].found.count("CPUExecutionProvider") == 1
    assert json.loads(json.dumps(told.to_dict()))["ok"] is True


def test_a_library_that_is_missing_is_wrong(monkeypatch):
    version = examination._version
    monkeypatch.setattr(examination, "_version", lambda name: None if name == "scipy" else version(name))
    (one,) = found("scipy")
    assert one.state is State.WRONG and one.advice == "pip install scipy"
    assert not examined().ok


def test_two_packages_of_onnxruntime_are_wrong(monkeypatch):
    version = examination._version
    monkeypatch.setattr(examination, "_version", lambda name: "1.31" if name in examination.RUNTIMES else version(name))
    first, second = found("ONNX Runtime")
    assert first.state is State.WRONG and "onnxruntime-gpu 1.31" in first.found
    assert second.state is State.FINE


def test_without_onnxruntime_nothing_runs(monkeypatch):
    def none():
        raise SessionError("onnxruntime cannot be imported")

    monkeypatch.setattr(examination, "runtime_version", none)
    assert [one.state for one in found("ONNX Runtime")] == [State.WRONG]
    assert not found("CUDA")


@pytest.mark.parametrize(
    ("card", "problem", "state"),
    [
        (None, Reason(Cause.NO_PROVIDER, "built without CUDA"), State.ABSENT),
        ("NVIDIA H200", Reason(Cause.NO_PROVIDER, "cannot load its CUDA libraries"), State.WRONG),
        ("NVIDIA H200", None, State.FINE),
    ],
)
def test_cuda_is_wrong_only_where_there_is_a_card(monkeypatch, card, problem, state):
    monkeypatch.setattr(examination, "gpu_name", lambda: card)
    monkeypatch.setattr(examination, "cuda_problem", lambda: problem)
    assert [one.state for one in found("CUDA")] == [state]


def test_prices_of_another_card_are_said_to_be_so(monkeypatch):
    monkeypatch.setattr(examination, "gpu_name", lambda: "NVIDIA A100")
    (one,) = found("prices, CUDA")
    assert one.state is State.ABSENT and "NVIDIA A100" in one.found and "tuning" in one.advice


def test_places_without_room_or_rights_are_wrong(monkeypatch):
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda _: Usage(10, 9, 1))
    monkeypatch.setattr(examination.os, "access", lambda *_: False)
    (cache,), (files,) = found("tuning cache"), found("temporary files")
    assert "SCISSION_CACHE" in cache.advice and cache.state is State.WRONG
    assert "TMPDIR" in files.advice and files.state is State.WRONG


def test_the_command_prints_lines_or_json():
    command = [Path(sys.executable).with_name("scission"), "doctor"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    assert plain.stdout.rstrip().endswith("everything that is needed is there")
    data = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert {one["what"] for one in data["findings"]} >= {"scission", "ONNX Runtime", "prices, CPU", "memory"}


def test_an_extra_that_cannot_be_imported_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "uvicorn.py").write_text("raise RuntimeError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    (one,) = found("uvicorn")
    assert one.state is State.WRONG and "RuntimeError: broken" in one.found and "pip uninstall uvicorn" in one.advice


@pytest.mark.parametrize("error", ["OSError('libx.so')", "RuntimeError('numpy')", "AttributeError('_ARRAY_API')"])
def test_a_broken_onnxruntime_is_one_finding_among_others(tmp_path, error):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(f"raise {error}")
    command = [Path(sys.executable).with_name("scission"), "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1, done.stderr
    told = {one["what"]: one for one in json.loads(done.stdout)["findings"]}
    assert told["ONNX Runtime"]["state"] == "wrong" and "pip uninstall" in told["ONNX Runtime"]["found"]
    assert {"tuning cache", "temporary files"} <= {*told}


def test_a_cache_that_cannot_be_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "tuning.json").mkdir(parents=True)
    (tmp_path / "link").symlink_to("nowhere")
    for place in ("file", "file/under", "folder", "link"):
        monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / place))
        (one,) = found("tuning cache")
        assert one.state is State.WRONG and "cannot be written" in one.found
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "new" / "one"))
    (one,) = found("tuning cache")
    assert one.state is State.FINE and one.found.endswith("not there yet")


def test_a_cache_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path))
    (tmp_path / "tuning.json").write_text("{{{")
    (one,) = found("tuning cache")
    assert one.state is State.ABSENT and "tuning.json: cannot be read and is begun anew" in one.found


def test_no_place_for_temporary_files_is_wrong(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(examination.tempfile, "gettempdir", none)
    (one,) = found("temporary files")
    assert one.state is State.WRONG and "TMPDIR" in one.advice


def test_what_is_needed_is_what_the_package_says():
    """By the dependencies of the project; the runtime, of which there are two, is looked at by itself."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split(r"[<>=!~\[; ]", one)[0] for one in project["dependencies"]} == {*examination.NEEDED}
