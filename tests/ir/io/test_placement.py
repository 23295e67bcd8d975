"""Every case is also put to ONNX Runtime, whose rule this is."""

import os

import numpy as np
import onnx
import onnxruntime
import pytest
from flipping import flipping
from reference import elsewhere, model, node

import scission
from scission.ir.errors import ModelError
from scission.ir.io.external import data_file
from scission.ir.io.load import load
from scission.ir.io.placement import Home, PlacementError
from scission.ir.io.save import save, save_copy
from scission.ir.io.tensors import read
from scission.ir.plan.plan import PlanError

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
    home = Home.of(tmp_path / "m.onnx")
    assert home.found("w.bin") == (tmp_path.resolve() / "w.bin", W.nbytes)
    with pytest.raises(PlacementError, match="No such file"):
        home.found("none.bin")


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


KINDS = [onnx.TensorProto.FLOAT, onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.BFLOAT16]


@pytest.mark.parametrize("place", [hub, hard_link])
@pytest.mark.parametrize("kind", KINDS)
def test_links_and_hard_links_are_read_for_every_type(place, kind, tmp_path):
    """onnx_ir itself reads neither, and only it unpacks what is smaller than a byte; tensors are asked in every way."""
    path = place(tmp_path)
    numbers = np.arange(16).reshape(4, 4) % 7
    packed = onnx.helper.make_tensor("w", kind, (4, 4), numbers.ravel())
    proto = onnx.load(path, load_external_data=False)
    proto.graph.initializer[0].data_type = kind
    proto.ir_version, proto.opset_import[0].version = 10, 21
    del proto.graph.initializer[0].external_data[1:]
    path.resolve().write_bytes(proto.SerializeToString())
    data = path.parent / proto.graph.initializer[0].external_data[0].value
    data.resolve().write_bytes(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(packed)).raw_data)
    (found,) = load(path).graph.graph.initializers.values()
    tensor = found.const_value
    for array in (read(tensor), tensor.numpy(), np.asarray(tensor)):
        assert (array.astype(int) == numbers).all()
    assert tensor.tobytes() == data.read_bytes()


def test_data_of_a_model_that_onnx_ir_read_lies_in_the_folder_that_it_names(tmp_path):
    import onnx_ir

    assert scission.plan(onnx_ir.load(link_within(tmp_path))).steps is not None
    (folder := tmp_path / "other").mkdir()
    path = link_out(folder)
    model = onnx_ir.load(path)
    with pytest.raises(ModelError, match="outside of the folder"):
        read(next(iter(model.graph.initializers.values())).const_value)


@pytest.mark.parametrize("name", ["w.bin", "m.onnx"])
@pytest.mark.parametrize("write", [save, lambda model, _, path: save_copy(model, path)])
def test_a_link_in_the_place_of_a_file_that_was_read_is_not_followed(name, write, tmp_path):
    path = elsewhere(tmp_path / "m.onnx", ("w.bin",), shape=(4, 4))
    data(tmp_path / "w.bin")
    model = load(path)
    (tmp_path / name).rename(tmp_path / "moved")
    link(tmp_path / name, "moved")
    (tmp_path / "out").mkdir()
    if (name == "w.bin") == (write is save):
        with pytest.raises(ModelError, match="became a link"):
            write(model, model.graph.clone(), tmp_path / "out" / "m.onnx")
        assert list((tmp_path / "out").iterdir()) == []
    if name == "w.bin":
        with pytest.raises(ModelError, match="became a link"):
            read(next(iter(model.graph.graph.initializers.values())).const_value)


@pytest.mark.parametrize("name", ["w.bin", "m.onnx"])
def test_a_link_that_is_flipped_while_a_plan_is_carried_out_leads_nowhere(name, tmp_path):
    """The output has the weights of the model or there is none; what the link leads to is as long, and never in it."""
    (home := tmp_path / "home").mkdir()
    weight = np.kron(np.eye(2), np.ones((24, 24))).astype(np.float32)
    made = model([node("MatMul", "x w", "h", "m"), node("Relu", "h", "y")], {"x": ["n", 48]}, ["y"], {"w": weight})
    external = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    onnx.save(made, home / "m.onnx", **(external if name == "w.bin" else {}))
    plan = scission.plan(home / "m.onnx", force=True, provider="cpu")
    own = (home / name).read_bytes()
    (tmp_path / "secret").write_bytes(own.replace(np.float32(1).tobytes(), np.float32(7).tobytes()))
    outcomes = set()
    ways = (lambda path: path.write_bytes(own), lambda path: path.symlink_to(tmp_path / "secret"))
    with flipping(home / name, *ways):
        for turn in range(30):
            out = tmp_path / f"{turn}.onnx"
            try:
                scission.apply(home / "m.onnx", plan, out)
            except (ModelError, PlanError) as error:
                outcomes.add(type(error))
                assert not out.exists()
                continue
            outcomes.add("written")
            whole = out.read_bytes() + (data_file(out).read_bytes() if data_file(out).exists() else b"")
            assert np.float32(1).tobytes() * 24 in whole and np.float32(7).tobytes() * 24 not in whole
    assert outcomes
