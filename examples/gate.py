"""A gate in CI: two models are the same function or a merge stops, by the exit status of a command alone.

python examples/gate.py [FOLDER]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from folder import folder
from onnx import numpy_helper

import scission
from scission.models.planted import ffn


def main(here: Path) -> None:
    """Hold a right and a wrong rewrite against their original."""
    model = ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model
    right = scission.apply(model, scission.plan(model, force=True))
    wrong = onnx.ModelProto.FromString(right.SerializeToString())
    constant = next(one for one in wrong.graph.initializer if one.data_type == onnx.TensorProto.FLOAT)
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * 1.01, constant.name))
    for name, one in (("before", model), ("right", right), ("wrong", wrong)):
        onnx.save(one, here / f"{name}.onnx")
    for name, expected in (("right", 0), ("wrong", 1)):
        command = [sys.executable, "-m", "scission", "check", "before.onnx", f"{name}.onnx", "--quiet"]
        status = subprocess.run(command, cwd=here, stdout=subprocess.DEVNULL).returncode
        print(f"{name}.onnx: exit status {status}, {'merged' if status == 0 else 'stopped'}")
        assert status == expected


if __name__ == "__main__":
    main(folder(sys.argv))
