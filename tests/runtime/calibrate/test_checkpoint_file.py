import os
import pickle

import ml_dtypes
import numpy as np
import pytest
from checkpoints import INITIAL, STATE, TRAINED, chain, matched, onnx_file, same, write

from scission.runtime.calibrate.checkpoint import CheckpointError


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(dtype, suffix) for dtype in ("float16", "bfloat16", "float64") for suffix in (".pt", ".safetensors")]
    + [("float8_e4m3fn", ".pt"), ("float8_e5m2", ".pt")],  # the safetensors library gives numpy no 8-bit floats
)
def test_every_float_type_is_read_to_the_bit(dtype, suffix, tmp_path):
    torch, save = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    state = {name: torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in STATE.items()}
    path = tmp_path / f"w{suffix}"
    torch.save(state, path) if suffix == ".pt" else save(state, path)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    found = matched(path, chain(TRAINED))
    assert all(w.dtype == kind for w in found.initial.values())
    exact = {name: state[f"{name}.weight"].double().numpy().T for name in INITIAL}
    for w, w0 in zip(found.initial.values(), exact.values(), strict=True):
        np.testing.assert_array_equal(w.astype(np.float64), w0)
    assert f"4 of 4 initial weights: {dtype}, where the trained are float32" in found.notes


# PyTorch's files.


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_a_state_dict_inside_what_a_trainer_saves(key, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.nn.Parameter(torch.from_numpy(w)) for name, w in STATE.items()}
    whole = {"epoch": 3, "loss": torch.tensor(0.5), key: state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    torch.save(whole, tmp_path / "w.ckpt")
    assert same(matched(tmp_path / "w.ckpt", chain(TRAINED)))


def test_the_format_of_torch_before_1_6(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(w) for name, w in STATE.items()}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(matched(tmp_path / "w.pth", chain(TRAINED)))


@pytest.mark.filterwarnings("ignore")  # torch has deprecated quantized tensors; files with them remain
def test_tensors_that_numpy_cannot_hold_are_passed_over(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(w) for name, w in STATE.items()}
    state["head.weight"] = state["head.weight"].to_sparse()
    state["encoder.0.fc.weight"] = torch.quantize_per_tensor(state["encoder.0.fc.weight"], 0.1, 0, torch.qint8)
    torch.save(state, tmp_path / "w.pt")
    found = matched(tmp_path / "w.pt", chain(TRAINED))
    assert len(found.initial) == 2 and len(found.mismatches) == 2


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("how", ["torch", "pickle", "legacy"])
def test_nothing_is_unpickled_but_tensors(how, tmp_path):
    torch = pytest.importorskip("torch")
    path, marker = tmp_path / "w.pt", tmp_path / "sprung"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(marker)))
    else:
        torch.save({"state_dict": Trap(marker)}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"never unpickled; save model\.state_dict"):
        matched(path, chain(TRAINED))
    assert not marker.exists()


def test_a_whole_module_is_no_state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="never unpickled"):
        matched(tmp_path / "w.pt", chain(TRAINED))
    for odd in (torch.ones(2, 2), [1], {"state_dict": 3}, {}):
        torch.save(odd, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="no float matrix"):
            matched(tmp_path / "w.pt", chain(TRAINED))


# Files.


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".onnx"])
@pytest.mark.parametrize("damage", ["empty", "garbage", "cut"])
def test_damaged_files_are_named(suffix, damage, tmp_path):
    path = tmp_path / f"w{suffix}"
    onnx_file(path, chain(INITIAL)) if suffix == ".onnx" else write(path, STATE)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "garbage": b"garbage" * 30, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(CheckpointError, match=rf"w\{suffix}"):
        matched(path, chain(TRAINED))


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "w.h5").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.npz")
    np.save(tmp_path / "one.npy", np.ones((2, 2)))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez(tmp_path / "objects.npz", w=np.array([{}], object))
    reasons = {"folder.pt": "is a folder", "w.h5": r"give \.onnx", "pipe.npz": "not a regular file"}
    reasons |= {"missing.pt": "No such file", "one.npz": "not an .npz file", "objects.npz": "never unpickled"}
    for name, why in reasons.items():
        with pytest.raises(CheckpointError, match=why) as error:
            matched(tmp_path / name, chain(TRAINED))
        assert name in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_that_goes_away_is_named(suffix, tmp_path):
    path = write(tmp_path / f"w{suffix}", STATE)
    found = matched(path, chain(TRAINED))
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=rf"w\{suffix}"):
        found.initial["/head/MatMul"]
    (tmp_path / "elsewhere").rename(path)
    assert same(found)


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    path = tmp_path / {"torch": "w.pt", "safetensors": "w.safetensors"}[package]
    path.write_bytes(b"x")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=f"needs.*{package}"):
        matched(path, chain(TRAINED))
