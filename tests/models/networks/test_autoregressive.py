import numpy as np
import onnx
import pytest

import scission
from scission.models.networks.autoregressive import build, masks


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_output_depends_on_the_features_before_it_alone(shuffle):
    first, last = masks(np.random.default_rng(0), 12, 50, shuffle)
    depends = first.astype(int) @ last > 0  # feature -> output
    assert not depends.diagonal().any()
    order = np.argsort(depends.sum(0))  # outputs by how many features they read
    assert not np.tril(depends[order][:, order]).any() and depends.any()


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_model_is_cut_into_row_groups_and_stays_the_same(shuffle):
    model, both = build(np.random.default_rng(0), 600, 1600, shuffle)
    onnx.checker.check_model(model, full_check=True)
    made = scission.plan(model, batch=[256], threads=1, force=True)
    assert [step.node for step in made.rewrites] == ["encode", "decode"]
    for step, mask in zip(made.steps, both, strict=True):
        assert step.nonzeros == mask.sum() and step.decomposition.shared.size
        assert step.decomposition.mac_share <= 0.75
    verdict = scission.check(model, scission.apply(model, made))
    assert verdict.equal and all(probe.within for probe in verdict.probes), verdict.reason
