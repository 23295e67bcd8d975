import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from reference import (
    BIG,
    W,
    elsewhere,
    graph,
    model,
    node,
    product,
    reference_to,
    rich,
    same,
    tensors_of,
    weights_of,
    write,
)

import scission.ir.io.save as store
from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.save import save, save_copy, stage, stage_copy, to_proto
from scission.ir.io.tensors import read
from scission.ir.onnx_ir import onnx_ir as ir

# What goes in comes out.


@pytest.mark.parametrize("source", ["path", "text", "bytes", "proto", "ir"])
def test_saving_what_was_loaded_loses_nothing(tmp_path, source):
    proto = rich()
    if source == "ir":
        del proto.training_info[:], proto.graph.sparse_initializer[:], proto.graph.node[4], proto.graph.output[2]
    path = write(tmp_path / "in.onnx", proto)
    sources = {"path": path, "text": str(path), "bytes": path.read_bytes(), "proto": proto, "ir": ir.from_proto(proto)}
    loaded = load(sources[source])
    assert save(loaded, loaded.graph, tmp_path / "out.onnx") == [tmp_path / "out.onnx"]
    same(onnx.load(tmp_path / "out.onnx"), proto)
    assert path.read_bytes() == proto.SerializeToString()


def test_saving_a_clone_loses_nothing_either(tmp_path):
    loaded = load(write(tmp_path / "in.onnx", rich()))
    save(loaded, loaded.graph.clone(), tmp_path / "out.onnx")
    same(onnx.load(tmp_path / "out.onnx"), rich())


def test_a_proto_is_not_changed_by_loading_and_serialises_back():
    proto = rich()
    loaded = load(proto)
    same(to_proto(loaded, loaded.graph), rich())
    assert proto == rich()


shapes = st.lists(st.integers(0, 40), max_size=3)
dtypes = st.sampled_from(["float32", "float64", "float16", "int64", "int8", "uint8", "bool"])


@given(st.lists(st.tuples(shapes, dtypes), max_size=4), st.integers(0, 2**32))
def test_every_tensor_comes_back_bit_for_bit(tmp_path_factory, specs, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("bits")
    weights = {f"w{n}": rng.integers(0, 2, shape).astype(dtype) for n, (shape, dtype) in enumerate(specs)}
    proto = model([node("Relu", "x", "y")], ["x"], ["y"], weights)
    loaded = load(write(folder / "in.onnx", proto))
    save(loaded, loaded.graph, folder / "out.onnx")
    same(onnx.load(folder / "out.onnx"), proto)
    for name, array in weights.items():
        back = read(loaded.graph.graph.initializers[name].const_value)
        assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
@pytest.mark.parametrize("elements", [5, 9001])
def test_types_that_numpy_lacks_are_kept_and_read(tmp_path, kind, elements):
    proto = model([node("Relu", "x", "y")], ["x"], ["y"], ir_version=10, opset=21)
    proto.graph.initializer.append(helper.make_tensor("w", kind, [elements], np.arange(elements) % 7))
    packed = numpy_helper.from_array(numpy_helper.to_array(proto.graph.initializer[0]), "w")
    proto.graph.initializer[0].CopyFrom(packed)
    loaded = load(write(tmp_path / "in.onnx", proto))
    save(loaded, loaded.graph, tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx").graph.initializer[0] == packed
    array = read(loaded.graph.graph.initializers["w"].const_value)
    assert array.astype(np.float32).tolist() == (np.arange(elements) % 7).tolist()


def test_a_second_save_is_the_same_as_the_first(tmp_path):
    loaded = load(write(tmp_path / "in.onnx", rich()))
    save(loaded, loaded.graph, tmp_path / "a.onnx")
    save(loaded, loaded.graph, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# Saving.


def snapshot(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def with_data(folder) -> Path:
    """A model with a large weight outside, and small ones inside and in a branch."""
    side = graph([node("Identity", "inner", "z")], [], ["z"], {"inner": W})
    proto = model(
        [
            node("MatMul", "x big", "y"),
            node("MatMul", "x w", "u"),
            node("If", "c", "v", then_branch=side, else_branch=side),
        ],
        {"x": None, "c": ([], np.bool_)},
        ["y", "u", "v"],
        {"w": W, "big": BIG},
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(proto, folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=10_000)
    return folder / "m.onnx"


def test_a_model_with_external_data_is_saved_with_external_data(tmp_path):
    path = with_data(tmp_path / "in")
    loaded = load(path)
    (tmp_path / "out").mkdir()
    files = save(loaded, loaded.graph, tmp_path / "out" / "o.onnx")
    assert sorted(files) == [tmp_path / "out" / "o.onnx", tmp_path / "out" / "o.onnx.data"]
    expected = onnx.load(path)
    for old in (tmp_path / "in").iterdir():
        old.unlink()
    same(onnx.load(tmp_path / "out" / "o.onnx"), expected)
    light = onnx.load(tmp_path / "out" / "o.onnx", load_external_data=False)
    locations = {e.value for t in tensors_of(light) for e in t.external_data if e.key == "location"}
    assert locations == {"o.onnx.data"}


def test_what_passes_the_limit_of_protobuf_goes_outside(tmp_path, monkeypatch):
    path = write(tmp_path / "in.onnx", model([node("MatMul", "x w", "y")], ["x"], ["y"], {"w": BIG, "s": W}))
    loaded = load(path)
    monkeypatch.setattr(store, "PROTOBUF_LIMIT", BIG.nbytes + W.nbytes)
    assert len(save(loaded, loaded.graph, tmp_path / "one.onnx")) == 1
    monkeypatch.setattr(store, "PROTOBUF_LIMIT", BIG.nbytes + W.nbytes - 1)
    assert sorted(save(loaded, loaded.graph, tmp_path / "two.onnx")) == [
        tmp_path / "two.onnx",
        tmp_path / "two.onnx.data",
    ]
    assert (tmp_path / "two.onnx.data").stat().st_size == BIG.nbytes
    same(onnx.load(tmp_path / "two.onnx"), onnx.load(path))
    same(onnx.load(tmp_path / "one.onnx"), onnx.load(path))
    assert (read(loaded.graph.graph.initializers["w"].const_value) == BIG).all()  # still the source's own


def test_a_copy_has_a_data_file_of_its_own(tmp_path):
    path = with_data(tmp_path / "in")
    (tmp_path / "out").mkdir()
    files = save_copy(load(path), tmp_path / "out" / "copy.onnx")
    assert sorted(files) == [tmp_path / "out" / "copy.onnx", tmp_path / "out" / "copy.onnx.data"]
    assert (tmp_path / "out" / "copy.onnx.data").read_bytes() == (tmp_path / "in" / "m.bin").read_bytes()
    same(onnx.load(tmp_path / "out" / "copy.onnx"), onnx.load(path))


def test_a_copy_is_byte_identical_where_its_data_file_already_has_that_name(tmp_path):
    folder = tmp_path / "in"
    onnx.save_model(
        product(BIG), write(folder / "m.onnx", product(W)), save_as_external_data=True, location="m.onnx.data"
    )
    (tmp_path / "out").mkdir()
    save_copy(load(folder / "m.onnx"), tmp_path / "out" / "m.onnx")
    assert snapshot(tmp_path / "out") == snapshot(folder)


def test_a_copy_gathers_the_data_of_several_files_in_one(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for location, data in (("a.bin", W), ("sub/b.bin", W + 1)):
        (tmp_path / "in" / location).write_bytes(b"head" + data.tobytes())
    places = [("a.bin", 4), ("sub/b.bin", 4, W.nbytes), ("sub/../a.bin", 4)]
    path = elsewhere(tmp_path / "in" / "m.onnx", *places)
    proto = onnx.load(path, load_external_data=False)
    proto.training_info.add().algorithm.initializer.append(reference_to("t", "sub/b.bin", 4, W.nbytes))
    proto.training_info[0].algorithm.initializer.append(reference_to("gone", "nowhere.bin"))
    write(path, proto)
    before = snapshot(tmp_path / "in")
    for folder, keep in (
        ("out", save_copy),
        ("edited", lambda model, target: save(model, model.graph.clone(), target)),
    ):
        (tmp_path / folder).mkdir()
        keep(load(path), tmp_path / folder / "o.onnx")
        assert set(snapshot(tmp_path / folder)) == {"o.onnx", "o.onnx.data"}
        assert [array.tolist() for array in weights_of(load(tmp_path / folder / "o.onnx"))] == [
            array.tolist() for array in (W, W + 1, W)
        ]
        light = onnx.load(tmp_path / folder / "o.onnx", load_external_data=False)
        trained, gone = light.training_info[0].algorithm.initializer
        onnx.external_data_helper.load_external_data_for_tensor(trained, str(tmp_path / folder))
        assert (numpy_helper.to_array(trained) == W + 1).all()
        assert gone == reference_to("gone", "nowhere.bin")
    assert snapshot(tmp_path / "in") == before


def test_a_copy_into_the_same_folder_has_data_of_its_own(tmp_path):
    path = with_data(tmp_path)
    assert sorted(save_copy(load(path), tmp_path / "copy.onnx")) == [
        tmp_path / "copy.onnx",
        tmp_path / "copy.onnx.data",
    ]
    assert set(snapshot(tmp_path)) == {"m.onnx", "m.bin", "copy.onnx", "copy.onnx.data"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_outputs_in_one_folder_never_share_or_replace_each_others_weights(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    for number in range(4):
        folder = tmp_path / f"in{number}"
        (folder).mkdir()
        (folder / "w.bin").write_bytes((W + number).tobytes())
        loaded = load(elsewhere(folder / "m.onnx", ("w.bin",)))
        target = tmp_path / "out" / f"{number}.onnx"
        if number % 2:
            save_copy(loaded, target, overwrite)
        else:
            save(loaded, loaded.graph.clone(), target, overwrite)
    for number in range(4):
        assert [array.tolist() for array in weights_of(load(tmp_path / "out" / f"{number}.onnx"))] == [
            (W + number).tolist()
        ]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("target", ["o.onnx", "w.onnx"])
def test_the_weights_of_another_model_are_never_replaced(tmp_path, overwrite, target):
    """`w.onnx` would be written over them itself, `o.onnx` by its data file."""
    name = "o.onnx.data" if target == "o.onnx" else "w.onnx"
    (tmp_path / name).write_bytes(W.tobytes())
    other = elsewhere(tmp_path / "other.onnx", (name,))
    loaded, before = load(with_data(tmp_path / "in")), snapshot(tmp_path)
    for writer in (
        lambda **o: save(loaded, loaded.graph, tmp_path / target, **o),
        lambda **o: save_copy(loaded, tmp_path / target, **o),
    ):
        with pytest.raises(ModelError, match=f"{name}: holds the weights of {other.name}; choose another output$"):
            writer(overwrite=overwrite)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_to_nothing_is_refused_before_any_work(tmp_path, overwrite):
    (link := tmp_path / "out.onnx").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is a link"):
        store.refuse_output(link, [], overwrite)
    assert link.is_symlink() and not link.exists()


def test_an_output_replaces_its_own_earlier_data_when_asked(tmp_path):
    (tmp_path / "out").mkdir()
    loaded, out = load(with_data(tmp_path / "in")), tmp_path / "out" / "o.onnx"
    for writer in (save_copy, lambda model, target, overwrite: save(model, model.graph.clone(), target, overwrite)) * 2:
        writer(loaded, out, overwrite=True)
        same(onnx.load(out), onnx.load(tmp_path / "in" / "m.onnx"))
    with pytest.raises(ModelError, match="exists already"):
        save_copy(loaded, out)


@pytest.mark.parametrize("writer", [stage, stage_copy])
def test_what_is_staged_can_be_opened_and_leaves_nothing_behind(tmp_path, writer):
    path = with_data(tmp_path / "in")
    loaded = load(path)
    (tmp_path / "out").mkdir()
    arguments = (
        (loaded, loaded.graph, tmp_path / "out" / "o.onnx")
        if writer is stage
        else (loaded, tmp_path / "out" / "o.onnx")
    )
    with writer(*arguments) as staged:
        same(onnx.load(staged.path), onnx.load(path))
    assert snapshot(tmp_path / "out") == {}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


BREAKS = {  # where a disk can fill up: while the graph, the data, or the copy is written, and at the last move
    "graph": ("inline", "save.concatenate"),
    "move": ("inline", "save.place"),
    "data": ("external", "external.concatenate"),
    "graph beside data": ("external", "external._write"),
    "copy": ("copy", "external.concatenate"),
    "graph of a copy": ("copy", "external._write"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("where", BREAKS)
def test_a_failure_in_the_middle_leaves_everything_as_it_was(tmp_path, monkeypatch, where, overwrite):
    kind, target = BREAKS[where]
    path = write(tmp_path / "in" / "m.onnx", product(W)) if kind == "inline" else with_data(tmp_path / "in")
    loaded = load(path)
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    if overwrite:
        out.write_bytes(b"old")
        Path(f"{out}.data").write_bytes(b"old data")
    before = snapshot(tmp_path)
    monkeypatch.setattr(f"scission.ir.io.{target}", full)
    with pytest.raises(ModelError, match=r"o\.onnx: No space left on device; nothing was written"):
        save_copy(loaded, out, overwrite) if kind == "copy" else save(loaded, loaded.graph, out, overwrite)
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    assert weights_of(loaded)


def test_a_failure_at_the_very_last_move_puts_the_old_pair_back(tmp_path, monkeypatch):
    loaded = load(with_data(tmp_path / "in"))
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    out.write_bytes(b"old")
    Path(f"{out}.data").write_bytes(b"old data")
    before = snapshot(tmp_path)
    move = os.replace

    def refuse_the_model(source, target):
        if Path(target) == out:
            full()
        move(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_model)
    with pytest.raises(ModelError, match="nothing was written"):
        save(loaded, loaded.graph, out, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("external", [False, True])
def test_of_two_that_write_one_output_at_once_one_does(tmp_path, external):
    loaded = load(with_data(tmp_path / "in") if external else write(tmp_path / "m.onnx", product(W)))
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    with stage(loaded, loaded.graph, out) as first, stage(loaded, loaded.graph, out) as second:
        first.publish()
        written = {path: path.stat().st_ino for path in out.parent.glob("o.*")}
        with pytest.raises(ModelError, match="exists already; choose another output"):
            second.publish()
    assert {path: path.stat().st_ino for path in out.parent.iterdir()} == written
    assert len(written) == 1 + external


def test_what_a_killed_process_placed_of_an_output_is_none(tmp_path, monkeypatch):
    loaded = load(with_data(tmp_path / "in"))
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    code = f"""
import os
from scission.ir.io.load import load
from scission.ir.io.save import save
from scission.ir.staging import place
put = place._put
place._put = lambda move: put(move) if move.target.suffix == ".data" else os._exit(9)
model = load({str(tmp_path / "in" / "m.onnx")!r})
save(model, model.graph, __import__("pathlib").Path({str(out)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert Path(f"{out}.data").exists() and not out.exists()
    save(loaded, loaded.graph, out)
    assert sorted(snapshot(out.parent)) == ["o.onnx", "o.onnx.data"]


def test_a_failure_of_any_other_kind_leaves_nothing_behind_either(tmp_path):
    loaded = load(write(tmp_path / "m.onnx", product(W)))
    with pytest.raises(KeyboardInterrupt), stage(loaded, loaded.graph, tmp_path / "o.onnx"):
        raise KeyboardInterrupt
    assert set(snapshot(tmp_path)) == {"m.onnx"}


def test_an_existing_output_is_replaced_only_when_asked(tmp_path):
    loaded = load(write(tmp_path / "m.onnx", product(W)))
    out = tmp_path / "o.onnx"
    out.write_bytes(b"old")
    for writer in (lambda **o: save(loaded, loaded.graph, out, **o), lambda **o: save_copy(loaded, out, **o)):
        with pytest.raises(ModelError, match="exists already"):
            writer()
        assert out.read_bytes() == b"old"
        writer(overwrite=True)
        same(onnx.load(out), product(W))
        out.write_bytes(b"old")


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize("victim", ["m.onnx", "m.bin"])
def test_an_input_is_never_written_to(tmp_path, link, victim):
    path = with_data(tmp_path / "in")
    target = path.with_name(victim)
    if link is not None:
        link(target, tmp_path / "alias")
        target = tmp_path / "alias"
    loaded, before = load(path), snapshot(tmp_path)
    for writer in (lambda: save(loaded, loaded.graph, target, True), lambda: save_copy(loaded, target, True)):
        with pytest.raises(ModelError, match="is the input itself"):
            writer()
    assert snapshot(tmp_path) == before


def test_the_data_file_of_the_output_may_not_be_the_input_either(tmp_path):
    (tmp_path / "o.onnx.data").write_bytes(W.tobytes())
    loaded = load(elsewhere(tmp_path / "m.onnx", ("o.onnx.data",)))
    with pytest.raises(ModelError, match=r"o\.onnx\.data: is the input itself"):
        save(loaded, loaded.graph, tmp_path / "o.onnx", overwrite=True)


def test_outputs_that_cannot_be_are_refused(tmp_path):
    loaded = load(product(W))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        save(loaded, loaded.graph, tmp_path / "folder", overwrite=True)
    with pytest.raises(ModelError, match="its folder does not exist"):
        save(loaded, loaded.graph, tmp_path / "none" / "o.onnx")


def test_relative_paths_work(tmp_path, monkeypatch):
    with_data(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    loaded = load("in/m.onnx")
    save(loaded, loaded.graph, Path("o.onnx"))
    save_copy(loaded, Path("c.onnx"))
    same(onnx.load("o.onnx"), onnx.load("in/m.onnx"))
    same(onnx.load("c.onnx"), onnx.load("in/m.onnx"))


def test_a_device_is_never_replaced(tmp_path):
    """Nor a pipe, which any user can make."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    loaded = load(write(tmp_path / "m.onnx", product(W)))
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="is a device or a pipe"):
            save(loaded, loaded.graph, pipe, overwrite)
    with pytest.raises(ModelError, match="is not a regular file"):
        load(pipe)
