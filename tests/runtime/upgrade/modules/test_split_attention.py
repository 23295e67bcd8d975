import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from masked import OPTIMISERS  # noqa: E402
from planted_torch import planted_attention  # noqa: E402
from torch import nn  # noqa: E402

from scission import Block, Decomposition  # noqa: E402
from scission.runtime.upgrade.structure import attention_blocks  # noqa: E402
from scission.torch import LayerError, SplitAttention, split  # noqa: E402

CLOSE = {"rtol": 0, "atol": 1e-12}


def both(seed=0, **options):
    dense = planted_attention(np.random.default_rng(seed), **options)
    return dense, SplitAttention.from_multihead(dense, attention_blocks(dense))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "causal", "float", "heads"]),
)
def test_the_result_and_the_weights_are_those_of_the_dense_attention(seed, first, bias, padded, weights, mask):
    dense, made = both(seed, batch_first=first, bias=bias)
    N, L, S, E = 2, 3, 5, 16
    shapes = [(N, L, E), (N, S, E), (N, S, E)] if first else [(L, N, E), (S, N, E), (S, N, E)]
    args = [drawn(*shape, seed=seed + i) for i, shape in enumerate(shapes)]
    options = {"need_weights": weights, "average_attn_weights": bool(seed % 2)}
    if padded:
        options["key_padding_mask"] = torch.tensor([[False] * S, [False, False, True, False, True]])
    if mask is not None:
        causal = torch.triu(torch.ones(L, S, dtype=torch.bool), 1)
        options["attn_mask"] = {
            "causal": causal,
            "float": drawn(L, S, seed=9),
            "heads": torch.from_numpy(np.random.default_rng(seed).random((N * 4, L, S)) < 0.3) & causal,
        }[mask]
    for expected, got in zip(dense(*args, **options), made(*args, **options), strict=True):
        assert (expected is None and got is None) or torch.allclose(got, expected, **CLOSE)


def test_a_sequence_without_a_batch():
    dense, made = both()
    x = drawn(4, 16)
    for expected, got in zip(dense(x, x, x), made(x, x, x), strict=True):
        assert got.shape == expected.shape and torch.allclose(got, expected, **CLOSE)


def test_keys_and_values_of_other_sizes():
    dense, made = both(kdim=6, vdim=10)
    args = drawn(3, 2, 16), drawn(5, 2, 6), drawn(5, 2, 10)
    assert torch.allclose(made(*args)[0], dense(*args)[0], **CLOSE)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_the_blocks_is_training_the_masked_attention(name):
    dense, made = both(1)
    masks = {part: torch.zeros(p.numel(), dtype=torch.bool) for part, p in dense.named_parameters()}
    for _, part, at in made.origins():
        masks[part][at.reshape(-1)] = True
    parts = dict(dense.named_parameters())
    for part, parameter in parts.items():  # the masked whole: gradients outside of the blocks do not count
        mask = masks[part].reshape(parameter.shape)
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
    steps = [OPTIMISERS[name](each.parameters()) for each in (dense, made)]
    for turn in range(4):
        x, target = drawn(5, 2, 16, seed=turn), drawn(5, 2, 16, seed=50 + turn)
        for step, each in zip(steps, (dense, made), strict=True):
            step.zero_grad()
            (each(x, x, x, need_weights=False)[0] - target).square().mean().backward()
            step.step()
    for parameter, part, at in made.origins():
        assert torch.allclose(parameter, parts[part].reshape(-1)[at], rtol=0, atol=1e-9), part


@pytest.mark.parametrize("trains", [True, False])
def test_a_layer_of_torch_works_with_it_in_the_place_of_its_own(trains):
    layer = nn.TransformerEncoderLayer(16, 4, 8, dropout=0.0, batch_first=True, dtype=torch.float64)
    layer.self_attn = planted_attention(np.random.default_rng(0), batch_first=True)
    layer.train(trains)
    x = drawn(2, 5, 16)
    with torch.set_grad_enabled(trains):
        before = layer(x)
        found = split(layer)
        assert [one.path for one in found.replaced] == ["self_attn"]
        assert torch.allclose(layer(x), before, **CLOSE)


def test_dropout_is_for_training_alone():
    _, made = both(dropout=0.5)
    x = drawn(5, 2, 16)
    assert not torch.equal(made(x, x, x)[0], made(x, x, x)[0])
    made.eval()
    assert torch.equal(made(x, x, x)[0], made(x, x, x)[0])


def test_a_block_does_not_cut_a_head():
    halves = Decomposition((4, 4), (Block([0, 1], [0, 2]), Block([2, 3], [1, 3])))
    out = Decomposition((4, 4), (Block([0, 2], [0]), Block([1, 3], [1])))
    with pytest.raises(LayerError, match="cuts a head"):
        SplitAttention([halves] * 3 + [out], heads=2)
    half = Decomposition((4, 4), (Block([0, 1], [0, 1]),))
    with pytest.raises(LayerError, match="in no block"):
        SplitAttention([half] * 4, heads=2)


def refused(attention, *args, **options):
    with pytest.raises((RuntimeError, AssertionError)):
        attention[0](*args, **options)
    with pytest.raises(LayerError) as error:
        attention[1](*args, **options)
    return str(error.value)


@pytest.mark.parametrize("weights", [True, False])
def test_masks_that_torch_refuses_are_refused(weights):
    x, pair, options = drawn(5, 2, 16), both(), {"need_weights": weights}
    assert "give that as well" in refused(pair, x, x, x, is_causal=True, **options)
    for shape in [(5,), (1, 5), (5, 1), (2, 5, 5), (1, 1, 5, 5)]:
        assert f"attn_mask is of shape {shape}" in refused(pair, x, x, x, attn_mask=torch.zeros(shape) > 0, **options)
    for shape in [(5,), (1, 5), (2, 1), (5, 2)]:
        assert "key_padding_mask" in refused(pair, x, x, x, key_padding_mask=torch.zeros(shape) > 0, **options)
    assert "booleans" in refused(pair, x, x, x, attn_mask=torch.ones(5, 5, dtype=torch.int64), **options)
    assert "key_padding_mask" in refused(pair, x[:, 0], x[:, 0], x[:, 0], key_padding_mask=torch.zeros(1, 5) > 0)


def test_shapes_that_torch_refuses_are_refused():
    pair, x = both(), drawn(5, 2, 16)
    assert "one batch" in refused(pair, x, x[:, :1], x[:, :1])
    assert "one batch" in refused(pair, x, x, x[:3])
    assert "of two dimensions" in refused(pair, x, x[:, 0], x[:, 0])
    assert "of two dimensions" in refused(pair, x[0, 0], x[0, 0], x[0, 0])
    assert "last size is to be 16" in refused(pair, x[..., :8], x[..., :8], x[..., :8])


@pytest.mark.parametrize(("N", "L", "S"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
@pytest.mark.parametrize("weights", [True, False])
def test_sizes_of_zero(N, L, S, weights):
    dense, made = both(batch_first=True)
    args = drawn(N, L, 16), drawn(N, S, 16), drawn(N, S, 16)
    for expected, got in zip(dense(*args, need_weights=weights), made(*args, need_weights=weights), strict=True):
        assert (expected is None and got is None) or (got.shape == expected.shape and torch.equal(got, expected))
