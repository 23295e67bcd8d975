import numpy as np
import onnx
import pytest
from mutations import random_model, shuffled

import scission
from scission import ModelError
from scission.ir.io.load import load
from scission.runtime.pipeline.diff import diff

MODEL = random_model(np.random.default_rng(0), 8)


def test_models_of_every_kind(tmp_path):
    onnx.save(MODEL, tmp_path / "a.onnx")
    given = [tmp_path / "a.onnx", str(tmp_path / "a.onnx"), MODEL.SerializeToString(), MODEL, load(MODEL).graph]
    assert all(diff(MODEL, one).same and diff(one, MODEL).same for one in given)
    assert diff(given[0], MODEL).before.name == str(given[0]) and diff(given[0], given[0]).same


def test_external_data_is_the_same_as_inline(tmp_path):
    onnx.save(MODEL, tmp_path / "a.onnx")
    other = onnx.ModelProto.FromString(MODEL.SerializeToString())
    onnx.save(other, tmp_path / "b.onnx", save_as_external_data=True, location="b.data", size_threshold=0)
    assert (tmp_path / "b.data").exists() and diff(tmp_path / "a.onnx", tmp_path / "b.onnx").same
    (tmp_path / "b.data").unlink()
    with pytest.raises(ModelError, match=r"b\.onnx: external data 'b\.data'.*put it beside the model"):
        diff(tmp_path / "a.onnx", tmp_path / "b.onnx")


def test_models_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    for name in ("bad.onnx", "nope.onnx"):
        with pytest.raises(ModelError, match=name):
            diff(MODEL, tmp_path / name)


def test_nothing_is_changed():
    before = MODEL.SerializeToString()
    diff(MODEL, shuffled(np.random.default_rng(0), MODEL))
    assert MODEL.SerializeToString() == before


def test_what_onnx_runtime_makes_of_a_model(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    ort.InferenceSession(MODEL.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = scission.diff(MODEL, tmp_path / "o.onnx")
    assert found.matched + len(found.removed) == len(MODEL.graph.node)
