import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient
from google.protobuf import text_format
from onnx import helper as h
from onnx import numpy_helper as nh
from random_parts import random_feed, run_model

import scission
from scission.ir.parts.digest import digest_of
from scission.ir.parts.manifest import FILE, Manifest, PartFile, PartValue
from scission.ir.parts.share import Share, share_of
from scission.runtime.export.options import TritonOptions
from scission.runtime.export.triton import export_triton
from scission.runtime.ort.session import open_session
from scission.runtime.serve.local import load_parts

TRIALS = scission.Trials(provider="cpu", threads=1)


def schema():
    """Triton's own description of its configuration; the rest of that package needs gRPC."""
    path = Path(tritonclient.__file__).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCHEMA = schema()


def config(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), SCHEMA.ModelConfig())


def run_repository(repository, name, feed):
    """The slow oracle: what Triton does with an ensemble, tensor by tensor, held against what it was told."""
    whole = config(repository / name)
    there = {one.name: feed[one.name] for one in whole.input}
    for step in whole.ensemble_scheduling.step:
        folder = repository / step.model_name
        own = config(folder)
        assert own.name == step.model_name
        session = open_session(folder / "1" / (own.default_model_filename or "model.onnx"), threads=1)
        assert {one.name for one in session.inputs} == {one.name for one in own.input} == {*step.input_map}
        assert {one.name for one in session.outputs} == {one.name for one in own.output} == {*step.output_map}
        fed = {inner: there[outer] for inner, outer in step.input_map.items()}
        for one in own.input:
            shape = list(fed[one.name].shape)
            dims = list(one.reshape.shape) if one.HasField("reshape") else list(one.dims)
            dims = [-1] * (own.max_batch_size > 0) + dims
            assert len(shape) == len(dims)
            assert all(size in (-1, real) for size, real in zip(dims, shape, strict=True))
        for inner, array in session.run(fed).items():
            assert step.output_map[inner] not in there
            there[step.output_map[inner]] = array
    return {one.name: there[one.name] for one in whole.output}


@pytest.mark.parametrize("batch", [0, 16])
def test_what_triton_would_run_computes_what_the_model_does(cut, tmp_path, batch):
    model = onnx.load(cut[0])
    feed = random_feed(np.random.default_rng(1), model, 5)
    export_triton(cut[1], tmp_path / "out", TritonOptions(batch=batch, instances=2, kind="cpu"))
    made = run_repository(tmp_path / "out", "m", feed)
    assert np.allclose(made["y"], run_model(model, feed)["y"], atol=1e-5)
    part = config(tmp_path / "out" / "m.part0")
    assert (part.max_batch_size, part.HasField("dynamic_batching")) == (batch, batch > 0)
    assert (part.instance_group[0].count, part.instance_group[0].kind) == (2, 2)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "m",
        *("m.join", "m.part0", "m.part1", "m.part2", "m.take"),
    ]


def small(folder, name, op, reads, writes):
    """A part of one operator, and what a manifest says of it."""
    value = {share.value: h.make_tensor_value_info(share.value, 1, ["n", size]) for share, size in (reads, writes)}
    inner = [h.make_node(op, [reads[0].value], [writes[0].value], name=op)]
    graph = h.make_graph(inner, name, [value[reads[0].value]], [value[writes[0].value]])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), folder / f"{name}.onnx")
    files = {f"{name}.onnx": digest_of([folder / f"{name}.onnx"])}
    return PartFile(name=name, files=files, reads=(reads[0],), writes=(writes[0],), macs=1, bytes_=1)


def test_values_between_parts_are_joined_and_taken(tmp_path):
    """Two parts make halves of `h`, shuffled, of which two others read other halves, and one reads all of the end."""
    folder = tmp_path / "parts"
    folder.mkdir()

    def of(value, places):
        mask = np.zeros(4, bool)
        mask[places] = True
        return share_of(value, {1: mask}), len(places)

    def all_of(value):
        return Share(value, {}, {}), 4

    parts = (
        small(folder, "a", "Neg", of("x", [0, 2]), of("h", [1, 2])),
        small(folder, "b", "Exp", of("x", [1, 3]), of("h", [0, 3])),
        small(folder, "c", "Abs", of("h", [0, 1]), of("y", [0, 1])),
        small(folder, "d", "Sqrt", of("h", [0, 3]), of("y", [2, 3])),
        small(folder, "e", "Neg", all_of("y"), all_of("z")),
    )
    value = {name: PartValue(name, "float32", ("n", 4)) for name in "xhyz"}
    manifest = Manifest(
        name="chain.onnx",
        original="0" * 64,
        inputs=(value["x"],),
        outputs=(value["y"], value["z"]),
        between=(value["h"],),
        parts=parts,
    )
    (folder / FILE).write_text(manifest.dumps())
    feed = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    export_triton(folder, tmp_path / "out")
    made, wanted = run_repository(tmp_path / "out", "chain", feed), load_parts(folder, threads=1).run(feed)
    assert made.keys() == wanted.keys() == {"y", "z"}
    assert all(np.array_equal(made[name], wanted[name]) for name in wanted)


def test_texts_of_strangers_are_quoted(tmp_path):
    strange = 'a"\\\n\x1b}é'
    node = [h.make_node("MatMul", [strange, "W"], ["y"])]
    weight = nh.from_array(np.kron(np.eye(2), np.ones((2, 2))).astype(np.float32), "W")
    value = [h.make_tensor_value_info(name, 1, ["n", 4]) for name in (strange, "y")]
    graph = h.make_graph(node, "g", value[:1], value[1:], [weight])
    path = tmp_path / "odd.onnx"
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    scission.partition(path, tmp_path / "parts", trials=TRIALS)
    export_triton(tmp_path / "parts", tmp_path / "out")
    assert [one.name for one in config(tmp_path / "out" / "odd").input] == [strange]


def test_what_is_there_stays(cut, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(scission.ExportError, match="exists already"):
        export_triton(cut[1], tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_part_that_was_changed_is_not_exported(cut, tmp_path):
    shutil.copytree(cut[1], tmp_path / "parts")
    (tmp_path / "parts" / "part1.onnx").write_bytes(b"")
    with pytest.raises(scission.ManifestError, match=r"part1\.onnx"):
        export_triton(tmp_path / "parts", tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["parts"]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"shape": None}, "not even the rank of 'x' is known"),
        ({"dtype": "int4"}, "no type for 'x'"),
    ],
)
def test_what_triton_has_no_words_for(cut, tmp_path, change, says):
    shutil.copytree(cut[1], tmp_path / "parts")
    told = json.loads((tmp_path / "parts" / FILE).read_text())
    told["inputs"][0] |= change
    (tmp_path / "parts" / FILE).write_text(json.dumps(told))
    with pytest.raises(scission.ScissionError, match=says):
        export_triton(tmp_path / "parts", tmp_path / "out")


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 300])
def test_a_name_that_is_none(cut, tmp_path, name):
    with pytest.raises(scission.ExportError, match="name"):
        export_triton(cut[1], tmp_path / "out", TritonOptions(name=name or "é"))


def test_the_command(cut, tmp_path, monkeypatch, capfd):
    from scission.runtime.cli.app import app

    monkeypatch.chdir(tmp_path)
    app(["export", "triton", str(cut[1]), "repository", "--name", "net"], standalone_mode=False)
    assert "--model-repository=repository" in capfd.readouterr().out
    assert config(tmp_path / "repository" / "net").platform == "ensemble"
