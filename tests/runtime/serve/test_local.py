import json
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from random_parts import random_feed, run_model

import scission
from scission import ManifestError, ModelError, SessionError


@pytest.fixture
def copied(cut, tmp_path):
    shutil.copytree(cut[1], tmp_path / "parts")
    return tmp_path / "parts"


@pytest.mark.parametrize("rows", [1, 7])
def test_parts_together_compute_what_the_model_does(cut, rows):
    model = onnx.load(cut[0])
    feed = random_feed(np.random.default_rng(1), model, rows)
    made = scission.load_parts(cut[1], threads=1).run(feed)
    assert [*made] == ["y"] and np.allclose(made["y"], run_model(model, feed)["y"], atol=1e-5)


@pytest.mark.parametrize("x", [np.zeros((2, 11), np.float32), np.zeros(12, np.float32), np.float32(3)])
def test_an_input_of_another_size_is_refused(cut, x):
    with pytest.raises(SessionError, match="'x' has the shape"):
        scission.load_parts(cut[1], threads=1).run({"x": x})


def test_an_input_that_is_missing_is_named(cut):
    with pytest.raises(SessionError, match="no value for the input 'x'"):
        scission.load_parts(cut[1], threads=1).run({})


def test_a_part_that_is_another_file_is_refused(copied):
    (copied / "part1.onnx").write_bytes((copied / "part2.onnx").read_bytes())
    with pytest.raises(ManifestError, match=r"part1\.onnx: is not the file"):
        scission.load_parts(copied)


def test_a_part_that_is_a_link_or_is_gone_is_refused(copied):
    (copied / "part1.onnx").rename(copied / "other.onnx")
    with pytest.raises(ManifestError, match="cannot be read"):
        scission.load_parts(copied)
    (copied / "part1.onnx").symlink_to(copied / "other.onnx")
    with pytest.raises(ManifestError, match="is a link"):
        scission.load_parts(copied)


def retold(folder, change):
    """The manifest changed by somebody who knows how its hashes are made."""
    from scission.ir.parts.digest import digest_of

    told = json.loads((folder / "manifest.json").read_text())
    change(told)
    for part in told["parts"]:
        for file in part["files"]:
            file["sha256"] = digest_of([folder / file["file"]])
    (folder / "manifest.json").write_text(json.dumps(told))


def test_a_part_that_is_no_model_is_refused(copied):
    (copied / "part1.onnx").write_bytes(b"nonsense")
    retold(copied, lambda told: None)
    with pytest.raises(ModelError, match="part1"):
        scission.load_parts(copied)


def test_a_part_of_another_interface_is_refused(copied):
    model = onnx.load(copied / "part1.onnx")
    model.graph.input[0].name = "z"
    for node in model.graph.node:
        node.input[:] = ["z" if name == "x" else name for name in node.input]
    onnx.save(model, copied / "part1.onnx")
    retold(copied, lambda told: None)
    with pytest.raises(ManifestError, match="reads or writes other values"):
        scission.load_parts(copied)


def test_weights_outside_of_what_the_manifest_tells_are_refused(copied):
    model = onnx.load(copied / "part1.onnx")
    onnx.save(model, copied / "part1.onnx", save_as_external_data=True, location="more.bin", size_threshold=0)
    retold(copied, lambda told: None)
    with pytest.raises(ModelError, match="does not tell of"):
        scission.load_parts(copied)


@pytest.mark.parametrize("text", ["", "{}", "\udcff"])
def test_a_folder_that_is_none_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        scission.load_parts(tmp_path)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 5), axes=st.integers(0, 2), seed=st.integers(0, 999))
def test_whatever_is_off_the_parts_compute_what_the_model_does(cut, rows, axes, seed):
    """Where what is off is another thing in each row, too, what is known of one row is not put in the others."""
    rng = np.random.default_rng(seed)
    model, shape = onnx.load(cut[0]), (rows, 12)
    off = rng.standard_normal(shape[2 - axes :]).astype(np.float32)
    parts = scission.load_parts(cut[1], threads=1, off={"x": off})
    for _ in range(3):
        x = np.broadcast_to(off, shape).copy()
        for part in parts.manifest.parts:
            own = np.ix_(rng.random(rows) < 0.4, part.reads[0].places[1])
            x[own] += 1
        assert np.allclose(parts.run({"x": x})["y"], run_model(model, {"x": x})["y"], atol=1e-5)


def test_off_that_no_input_holds_is_refused_when_parts_are_loaded(cut):
    with pytest.raises(scission.InputError, match="'x' holds where it is off"):
        scission.load_parts(cut[1], off={"x": "a"})


@pytest.mark.parametrize("parts", [None, 1, 2])
def test_inputs_that_differ_where_the_model_says_that_they_do_not(tmp_path, parts):
    """ONNX Runtime may run it, or refuse it for a reason that has nothing to do with the inputs."""
    made = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "A"], ["a"]),
            helper.make_node("MatMul", ["z", "A"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info(name, 1, ["n", 8]) for name in "xz"],
        [helper.make_tensor_value_info("y", 1, ["n", 8])],
        [numpy_helper.from_array(np.kron(np.eye(4), np.ones((2, 2))).astype(np.float32), "A")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    scission.partition(model, tmp_path / "parts", parts=parts, trials=scission.Trials(provider="cpu", threads=1))
    loaded = scission.load_parts(tmp_path / "parts", threads=1)
    for x, z in ((3, 3), (1, 3), (3, 1), (2, 3), (2, 2)):
        feed = {"x": np.ones((x, 8), np.float32), "z": np.ones((z, 8), np.float32)}
        try:
            assert np.array_equal(loaded.run(feed)["y"], run_model(model, feed)["y"])
        except SessionError as error:
            assert x != z
            assert f"'x' has {x} and 'z' {z} places along axes that the model calls 'n': give both" in str(error)
