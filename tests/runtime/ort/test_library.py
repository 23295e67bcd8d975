import os
import subprocess
import sys

import numpy as np
import onnx
from small_models import mlp


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
