import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from small_models import mlp

from scission.runtime.ort.library import SessionError, onnxruntime


def test_a_command_that_runs_models_leaves_no_file_of_telemetry(tmp_path):
    folders = {name: tmp_path / name.lower() for name in ("HOME", "TMPDIR")}
    for folder in folders.values():
        folder.mkdir()
    onnx.save(mlp(np.random.default_rng(0))[0], tmp_path / "m.onnx")
    said = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-m", "scission", "check", "m.onnx", "m.onnx"],
        cwd=tmp_path,
        env=said | {name: str(folder) for name, folder in folders.items()},  # nothing that turns telemetry off
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not [path for folder in folders.values() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("raise ModuleNotFoundError('no', name='onnxruntime')", "pip install onnxruntime"),
        ("raise ImportError('libcudart')", "pip uninstall onnxruntime onnxruntime-gpu`, then `pip install onnxruntime"),
        (
            "raise OSError('libx.so: cannot open')",
            "pip uninstall onnxruntime onnxruntime-gpu`, then `pip install onnxruntime",
        ),
        (
            "",
            "pip uninstall onnxruntime onnxruntime-gpu`, then `pip install onnxruntime",
        ),  # what an uninstallation leaves behind
    ],
)
def test_an_onnxruntime_that_cannot_be_imported(tmp_path, monkeypatch, text, advice):
    (tmp_path / "onnxruntime.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(SessionError, match="onnxruntime cannot be imported") as caught:
        onnxruntime()
    assert f"run `{advice}`" in str(caught.value)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
