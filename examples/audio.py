"""The front end of a speech model: frames, a Fourier transform, a power, a mel filter bank; split without an option.

python examples/audio.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from folder import folder
from onnx import helper, numpy_helper

import scission
from scission.models.matrices import mel

WINDOW, STEP, BANDS = 400, 160, 80  # Whisper's: 25 ms of 16 kHz every 10 ms
SAMPLES = WINDOW + 99 * STEP  # a second, in 100 frames


def front_end() -> onnx.ModelProto:
    """signal (batch, samples, 1) -> energies (batch, 100, 80), as an exporter writes it."""
    bins = WINDOW // 2 + 1
    constants = [
        numpy_helper.from_array(np.array(STEP, np.int64), "step"),
        numpy_helper.from_array(np.hanning(WINDOW).astype(np.float32), "window"),
        numpy_helper.from_array(np.array(WINDOW, np.int64), "length"),
        numpy_helper.from_array(np.array([-1], np.int64), "last"),
        numpy_helper.from_array(mel.filters(bins=bins, bands=BANDS).astype(np.float32), "filters"),
    ]
    nodes = [
        helper.make_node("STFT", ["signal", "step", "window", "length"], ["spectrum"], name="stft", onesided=1),
        helper.make_node("ReduceSumSquare", ["spectrum", "last"], ["power"], name="power", keepdims=0),
        helper.make_node("MatMul", ["power", "filters"], ["energies"], name="mel"),
    ]
    signal = helper.make_tensor_value_info("signal", 1, ["batch", SAMPLES, 1])
    energies = helper.make_tensor_value_info("energies", 1, ["batch", 100, BANDS])
    graph = helper.make_graph(nodes, "front", [signal], [energies], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def main(here: Path) -> None:
    """Split it, and print what was done with each of its operators."""
    path, output = here / "front.onnx", here / "front.split.onnx"
    onnx.save(front_end(), path)
    made = scission.optimize(path, output, bench=False, overwrite=True)
    assert made.outcome == "split" and made.verdict is not None and made.verdict.equal
    for one in made.plan.preparations:
        print(f"{', '.join(one.nodes)}: {one.kind}")
    for step in made.plan.rewrites:
        print(f"{step.node}: {len(step.decomposition.blocks)} groups of outputs that share inputs")


if __name__ == "__main__":
    main(folder(sys.argv))
