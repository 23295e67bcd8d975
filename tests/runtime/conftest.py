"""A small model of independent blocks and its folder of parts."""

import numpy as np
import onnx
import pytest

import scission
from scission.models.planted import ffn

TRIALS = scission.Trials(provider="cpu", threads=1)


@pytest.fixture(scope="session")
def cut(tmp_path_factory):
    """(the path of a model, the folder of its three parts); not to be changed."""
    home = tmp_path_factory.mktemp("cut")
    onnx.save(ffn.build(np.random.default_rng(0), d=12, hidden=24, blocks=3).model, home / "m.onnx")
    scission.partition(home / "m.onnx", home / "parts", trials=TRIALS)
    return home / "m.onnx", home / "parts"
