"""Files that public packages ship, where the smallest package could be had: see `tests/bench/zoo.py`."""

import onnx
import pytest
from modules import ROOT

import scission

PACKAGE = ROOT / ".bench" / "zoo" / "onnx-asr"
KINDS = ("gigaam_v3.onnx", "kaldi_conv.onnx", "nemo80.onnx", "resample_22_16.onnx", "nemo128.onnx")


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_file_comes_back_and_computes_what_it_did(kind, tmp_path):
    path = next(PACKAGE.rglob(kind), None)
    if path is None:
        pytest.skip("onnx-asr could not be downloaded")
    plan = scission.plan(path, force=True)
    assert {step.node for step in plan.steps}.isdisjoint(one.node for one in plan.skipped)
    scission.apply(path, plan, tmp_path / "split.onnx")
    onnx.checker.check_model(tmp_path / "split.onnx")
    assert scission.check(path, tmp_path / "split.onnx").equal
