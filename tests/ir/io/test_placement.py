"""Every case is also put to ONNX Runtime, whose rule this is."""

import os

import numpy as np
import onnx
import onnxruntime
import pytest
from reference import elsewhere, model, node

import scission
from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.placement import PlacementError, size_of_data
from scission.ir.io.tensors import read

W = np.arange(16, dtype=np.float32).reshape(4, 4)


def data(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(W.tobytes())


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def hub(folder):
    """The cache of the Hugging Face hub: both files are links into one folder of blobs."""
    data(folder / "blobs" / "2222")
    elsewhere(folder / "blobs" / "1111", ("model.onnx_data",), shape=(4, 4))
    link(folder / "snapshots" / "abc" / "model.onnx", "../../blobs/1111")
    link(folder / "snapshots" / "abc" / "model.onnx_data", "../../blobs/2222")
    return folder / "snapshots" / "abc" / "model.onnx"


def link_within(folder):
    data(folder / "real.bin")
    link(folder / "w.bin", "real.bin")
    return elsewhere(folder / "m.onnx", ("w.bin",), shape=(4, 4))


def below_the_target(folder):
    data(folder / "a" / "deep" / "w.bin")
    elsewhere(folder / "a" / "m.onnx", ("w.bin",), shape=(4, 4))
    link(folder / "b" / "m.onnx", "../a/m.onnx")
    link(folder / "b" / "w.bin", "../a/deep/w.bin")
    return folder / "b" / "m.onnx"


def linked_folder(folder):
    data(folder / "a" / "w.bin")
    elsewhere(folder / "a" / "m.onnx", ("w.bin",), shape=(4, 4))
    link(folder / "b", "a")
    return folder / "b" / "m.onnx"


def hard_link(folder):
    data(folder / "a" / "w.bin")
    (folder / "b").mkdir()
    os.link(folder / "a" / "w.bin", folder / "b" / "w.bin")
    return elsewhere(folder / "b" / "m.onnx", ("w.bin",), shape=(4, 4))


def link_out(folder):
    data(folder / "a" / "w.bin")
    link(folder / "b" / "w.bin", "../a/w.bin")
    return elsewhere(folder / "b" / "m.onnx", ("w.bin",), shape=(4, 4))


def beside_neither(folder):
    path = hub(folder)
    data(folder / "other" / "w.bin")
    (path.parent / "model.onnx_data").unlink()
    link(path.parent / "model.onnx_data", "../../other/w.bin")
    return path


def beside_a_link_on_the_way(folder):
    data(folder / "b" / "w.bin")
    elsewhere(folder / "a" / "m.onnx", ("w.bin",), shape=(4, 4))
    link(folder / "b" / "m.onnx", "../a/m.onnx")
    link(folder / "c" / "m.onnx", "../b/m.onnx")
    link(folder / "c" / "w.bin", "../b/w.bin")
    return folder / "c" / "m.onnx"


def traversal(folder):
    data(folder / "a" / "w.bin")
    (folder / "b").mkdir()
    return elsewhere(folder / "b" / "m.onnx", ("../a/w.bin",), shape=(4, 4))


def absolute(folder):
    data(folder / "w.bin")
    return elsewhere(folder / "m.onnx", (str(folder / "w.bin"),), shape=(4, 4))


def not_beside_the_link(folder):
    data(folder / "a" / "w.bin")
    elsewhere(folder / "a" / "m.onnx", ("w.bin",), shape=(4, 4))
    link(folder / "b" / "m.onnx", "../a/m.onnx")
    return folder / "b" / "m.onnx"


def runs(path):
    try:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception:
        return False
    return True


@pytest.mark.parametrize("place", [hub, link_within, below_the_target, linked_folder, hard_link])
def test_what_onnx_runtime_opens_is_opened(place, tmp_path):
    path = place(tmp_path)
    assert runs(path)
    (found,) = load(path).graph.graph.initializers.values()
    assert (read(found.const_value) == W).all()


@pytest.mark.parametrize(
    "place", [link_out, beside_neither, beside_a_link_on_the_way, traversal, absolute, not_beside_the_link]
)
def test_what_leads_out_of_both_folders_is_refused(place, tmp_path):
    path = place(tmp_path)
    assert not runs(path)
    with pytest.raises(ModelError, match=r"outside the model's folder|No such file"):
        load(path)


def test_the_size_is_that_of_the_file(tmp_path):
    data(tmp_path / "w.bin")
    assert size_of_data(tmp_path / "m.onnx", "w.bin") == W.nbytes
    with pytest.raises(PlacementError, match="No such file"):
        size_of_data(tmp_path / "m.onnx", "none.bin")


def test_a_split_model_of_a_cache_is_proved_product_by_product(tmp_path):
    """What is exposed of it is opened as bytes, for which ONNX Runtime follows no link out of the folder."""
    weight = np.kron(np.eye(2), np.ones((8, 8))).astype(np.float32)
    made = model([node("MatMul", "x w", "h", "m"), node("Relu", "h", "y")], {"x": ["n", 16]}, ["y"], {"w": weight})
    blobs, shown, plain = (tmp_path / name for name in ("blobs", "snapshots", "plain"))
    for folder in (blobs, shown, plain):
        folder.mkdir()
    onnx.save(made, plain / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    for name in ("m.onnx", "w"):
        (plain / name).rename(blobs / f"hash of {name}")
        link(shown / name, blobs / f"hash of {name}")
    scission.apply(shown / "m.onnx", scission.plan(shown / "m.onnx", force=True), tmp_path / "out.onnx")
    verdict = scission.check(shown / "m.onnx", tmp_path / "out.onnx")
    assert verdict.equal and verdict.probes
