"""No command writes over what it reads, or computes what it cannot write."""

import numpy as np
import onnx
import pytest
from shell import W, model_of
from strange_files import FORMS, is_whole, known, strange

from scission.runtime.pipeline import plan as planning


def test_a_page_is_never_written_over_the_data_of_a_model(scission_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = model_of(W)
    onnx.save(model, "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    onnx.save(model_of(W), "in.onnx")
    before = (tmp_path / "e.bin").read_bytes()
    (tmp_path / "seen").mkdir()
    for name in ("e.onnx", "e.bin"):  # as in a cache: links, of which the folder of the data knows nothing
        (tmp_path / "seen" / name).symlink_to(tmp_path / name)
    for line in (
        "plan seen/e.onnx -o e.bin",
        "diff in.onnx e.onnx --html e.bin",
        "report e.onnx -o e.bin",
        "report in.onnx e.onnx -o e.bin --no-check --no-bench",
    ):
        status, _, err = scission_cli(f"{line} --overwrite")
        assert status == 2 and "e.bin: holds the weights of e.onnx" in err
        assert (tmp_path / "e.bin").read_bytes() == before


def test_nothing_is_written_over_data_that_only_links_lead_to(scission_cli, tmp_path, monkeypatch):
    """The folder of the data holds no model: only what was given tells that it is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "seen").mkdir()
    onnx.save(model_of(W), "in.onnx")
    onnx.save(model_of(W), "seen/e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    blob = tmp_path / "blobs" / "b.png"
    for name, real in (("e.bin", blob), ("e.onnx", tmp_path / "blobs" / "m")):
        (tmp_path / "seen" / name).rename(real)
        (tmp_path / "seen" / name).symlink_to(real)
    np.savez("calib.npz", x=np.zeros((2, len(W)), np.float32))
    before = blob.read_bytes()
    for line in (
        "plan seen/e.onnx -o blobs/b.png",
        "plan in.onnx --anneal update --initial seen/e.onnx -o blobs/b.png",
        "optimize in.onnx blobs/b.png --anneal update --initial seen/e.onnx --data calib.npz --max-drop cosine<=0.1",
        "sweep seen/e.onnx --data calib.npz -o blobs/b.png",
        "sweep seen/e.onnx --data calib.npz --plot blobs/b.png",
        "sweep in.onnx --data calib.npz --anneal update --initial seen/e.onnx -o blobs/b.png",
    ):
        status, _, err = scission_cli(f"{line} --overwrite")
        assert status == 2 and "blobs/b.png: is the input itself" in err, (line, err)
        assert blob.read_bytes() == before and not blob.is_symlink()


def test_a_plan_that_cannot_be_written_is_not_computed(folder, scission_cli, monkeypatch):
    monkeypatch.setattr(planning, "plan", lambda *_, **__: pytest.fail("it was computed"))
    for output, why in (("plan.json", "exists already"), ("nowhere/p.json", "its folder does not exist")):
        status, _, err = scission_cli(f"plan in.onnx -o {output}")
        assert status == 2 and why in err and err.count("\n") == 1


STRANGE = {  # what is read, by the name that it is given below
    "a model": "plan it.onnx",
    "a model of a pair": "diff in.onnx it.onnx",
    "a plan": "apply in.onnx it.json out.onnx",
    "inputs": "check in.onnx split.onnx --inputs it.npz",
    "labels": "sweep noisy.onnx --data calib.npz --labels it.npy",
    "samples": "sweep noisy.onnx --data it.npz",
    "an initial model": "plan noisy.onnx --anneal update --initial it.onnx",
    "an initial checkpoint": "plan noisy.onnx --anneal update --initial it.npz",
    "safetensors": "plan noisy.onnx --anneal update --initial it.safetensors",
    "a state dict": "plan noisy.onnx --anneal update --initial it.pt",
    "an array": "structure it.npy",
    "a sparse matrix": "cover it.mtx",
    "a table": "structure it.csv",
    "a library": "plan in.onnx --custom-ops it.so",
}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_but_a_regular_file_is_read(form, noisy, scission_cli):
    for what, line in STRANGE.items():
        name = next(word for word in line.split() if word.startswith("it."))
        before = known(strange(form, noisy / name))
        status, out, err = scission_cli(line)
        assert (status, out) == (2, "") and name in err and err.startswith("error: ") and err.count("\n") == 1, what
        assert is_whole(noisy / name, before)
        (noisy / name).rename(noisy / f"{what}.seen")


def test_the_command_that_keeps_the_faster_model_is_told_of_cuda_graphs(scission_cli, folder):
    status, _, told = scission_cli("optimize in.onnx out.onnx --provider cpu --force --no-check --cuda-graph on")
    assert status == 2 and "CUDA graphs run on CUDA only" in told and not (folder / "out.onnx").exists()
