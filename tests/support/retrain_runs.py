"""A training run in a process of its own, which is killed at random moments and begun again."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
from reference import model, node

SCRIPT = """
import sys
import numpy as np, torch
from scission.runtime.ort.trials import Trials
from scission.torch import RetrainOptions, retrain
folder, pause = sys.argv[1], float(sys.argv[2])
import time
def progress(done, total, what):
    time.sleep(pause)
held = np.load(f"{folder}/data.npz")
options = RetrainOptions(labels=held["y"], steps=60, every=3, patience=99, bench=False, check=False)
retrain(f"{folder}/model.onnx", f"{folder}/{sys.argv[3]}", options, data={"x": held["x"]},
        trials=Trials(threads=1, provider="cpu"), progress=progress)
"""


def write_run(folder):
    """A net with blocks in its middle, and samples of four classes that it can tell apart."""
    rng = np.random.default_rng(0)
    blocks = np.kron(np.eye(4), np.ones((8, 8))) * rng.standard_normal((32, 32)) / 3
    constants = {"A": rng.standard_normal((8, 32)) / 3, "B": blocks, "C": rng.standard_normal((32, 4)) / 5}
    constants = {name: one.astype(np.float32) for name, one in constants.items()} | {"b": np.zeros(32, np.float32)}
    nodes = [
        node("MatMul", "x A", "h", "first"),
        node("Relu", "h", "r", "relu"),
        node("Gemm", "r B b", "g", "middle"),
        node("Relu", "g", "s", "again"),
        node("MatMul", "s C", "y", "last"),
    ]
    onnx.save(model(nodes, {"x": ["n", 8]}, {"y": ["n", 4]}, constants), folder / "model.onnx")
    y = rng.integers(0, 4, 200)
    x = rng.standard_normal((200, 8)).astype(np.float32) + np.eye(4, 8, dtype=np.float32)[y] * 3
    np.savez(folder / "data.npz", x=x, y=y)


def run(folder, name, pause=0.0):
    """The process of a run, which writes `name`."""
    line = [sys.executable, "-c", SCRIPT, str(folder), str(pause), name]
    return subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)


def finished(process):
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error


def killed_and_begun_again(folder, name, kills, seed=0):
    """Run, kill so many times at random moments of training, run to the end; how often it was killed in training."""
    draw, checkpoint = random.Random(seed), folder / f"{name}.checkpoint"
    before, done = None, 0
    while done < kills and not (folder / name).exists():
        process = run(folder, name, pause=0.03)
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(draw.random() * 0.2)
        done += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    finished(run(folder, name))
    return done
