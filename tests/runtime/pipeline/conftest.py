"""Models that come out slower than they went in, or wrong."""

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest
from races import told

from scission.runtime.compare import compare
from scission.runtime.pipeline import attempt


@pytest.fixture
def slow(monkeypatch):
    """Benches that measure every rewritten model at half the speed."""
    real = compare.bench

    def bench(*arguments, **options):
        return tuple(dataclasses.replace(b, comparison=told(0.5)) for b in real(*arguments, **options))

    monkeypatch.setattr(compare, "bench", bench)


@pytest.fixture
def broken(monkeypatch):
    """A rewrite that computes something else."""
    real = attempt.rewrite

    def wrong(model, plan):
        changed = real(model, plan)
        for name, value in list(changed.graph.initializers.items()):
            if name.endswith("/weight"):
                value.const_value = ir.Tensor(value.const_value.numpy() * np.float32(1.01), name=name)
        return changed

    monkeypatch.setattr(attempt, "rewrite", wrong)
