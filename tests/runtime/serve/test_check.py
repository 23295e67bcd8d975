import shutil

import numpy as np
import onnx
import pytest

import scission
from scission import ManifestError, Trials
from scission.models.planted import ffn
from scission.runtime.serve.check import check_folder

TRIALS = Trials(provider="cpu", threads=1)


def test_parts_are_equal_to_the_model_that_they_were_cut_from(cut):
    verdict = scission.check_parts(cut[1], cut[0], trials=TRIALS)
    assert verdict.equal and verdict.trials > 1 and [one.name for one in verdict.outputs] == ["y"]
    assert scission.check_parts(cut[1], cut[0], trials=TRIALS, batch=[3]).trials == 1


def test_another_model_is_refused(cut, tmp_path):
    onnx.save(ffn.build(np.random.default_rng(1), d=12, hidden=24, blocks=3).model, tmp_path / "n.onnx")
    with pytest.raises(ManifestError, match="was cut from another model"):
        scission.check_parts(cut[1], tmp_path / "n.onnx", trials=TRIALS)


def test_parts_of_another_model_compute_something_else(cut, tmp_path):
    onnx.save(ffn.build(np.random.default_rng(1), d=12, hidden=24, blocks=3).model, tmp_path / "n.onnx")
    verdict = check_folder(cut[1], tmp_path / "n.onnx", trials=TRIALS)
    assert verdict.different and "y" in verdict.reason


def test_a_folder_without_a_manifest_is_refused(cut, tmp_path):
    shutil.copy(cut[1] / "part0.onnx", tmp_path)
    with pytest.raises(ManifestError, match=r"manifest\.json: cannot be read"):
        scission.check_parts(tmp_path, cut[0], trials=TRIALS)
