import json
import shutil

import numpy as np
import onnx
import pytest
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
