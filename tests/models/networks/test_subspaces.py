import numpy as np
import onnx
import pytest
from oracles import covers, run
from reference import constants

from scission.models.networks.subspaces import build

SIZES = {"networks": 3, "features": 16, "hidden": 5, "outputs": 2, "share": 0.5}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("summed", [True, False])
def test_it_computes_what_the_networks_do_one_by_one(summed, shuffle):
    planted = build(np.random.default_rng(0), summed=summed, shuffle=shuffle, **SIZES)
    onnx.checker.check_model(planted.model, full_check=True)
    known, x = constants(planted.model), np.random.default_rng(1).standard_normal((4, 16)).astype(np.float32)
    encode = planted.truth["encode"]
    parts = [
        np.maximum(x[:, b.inputs] @ known["W1"][np.ix_(b.inputs, b.outputs)] + known["b1"][b.outputs], 0)
        @ known["W2"][b.outputs]
        for b in encode.blocks
    ]
    (y,) = run(planted.model, {"x": x})
    assert y.shape == (4, 2 if summed else 6)
    np.testing.assert_allclose(y, sum(parts) + known["b2"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_network_reads_its_share_and_has_units_and_outputs_of_its_own(shuffle):
    planted = build(np.random.default_rng(0), shuffle=shuffle, **SIZES)
    known = constants(planted.model)
    for name, weight, shape in (("encode", "W1", (8, 5)), ("decode", "W2", (5, 2))):
        W, truth = known[weight], planted.truth[name]
        assert [block.shape for block in truth.blocks] == [shape] * 3
        assert covers(W, truth) and all(W[np.ix_(b.inputs, b.outputs)].all() for b in truth.blocks)
    encode, decode = planted.truth["encode"].blocks, planted.truth["decode"].blocks
    assert {tuple(b.outputs) for b in encode} == {tuple(b.inputs) for b in decode}
    assert len({tuple(b.inputs) for b in encode}) == 3 and sum(b.inputs.size for b in encode) > 16
    assert all((np.ptp(b.outputs) == 4) is not shuffle for b in encode)


def test_a_summed_weight_is_dense_and_has_no_truth():
    planted = build(np.random.default_rng(0), summed=True, **SIZES)
    assert list(planted.truth) == ["encode"] and constants(planted.model)["W2"].shape == (15, 2)
    assert constants(planted.model)["W2"].all()


def test_the_same_seed_gives_the_same_model():
    first, second = (build(np.random.default_rng(3), **SIZES) for _ in range(2))
    assert first.model == second.model


@pytest.mark.parametrize("share", [0.01, 1.1])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="of 16 features"):
        build(np.random.default_rng(0), **SIZES | {"share": share})
