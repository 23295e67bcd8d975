import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from masked import OPTIMISERS  # noqa: E402
from planted_torch import planted_ffn  # noqa: E402
from torch import nn  # noqa: E402

from scission import Block, Decomposition  # noqa: E402
from scission.runtime.upgrade.structure import ffn_blocks  # noqa: E402
from scission.torch import LayerError, SplitFFN, split  # noqa: E402

SIZES = st.tuples(st.integers(3, 14), st.integers(3, 14), st.integers(3, 14))


class MaskedNet(nn.Module):
    """A net whose weights are held at zero outside of its blocks."""

    def __init__(self, net, found):
        super().__init__()
        self.net = net
        self.masks = [torch.from_numpy(one.inside().T.copy()) for one in found]

    def forward(self, x):
        up, activation, down = self.net
        hidden = activation(nn.functional.linear(x, up.weight * self.masks[0], up.bias))
        return nn.functional.linear(hidden, down.weight * self.masks[1], down.bias)


@pytest.mark.parametrize("name", OPTIMISERS)
@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(2, 3), st.booleans(), st.integers(0, 99))
def test_training_the_blocks_of_a_net_is_training_its_masked_weights(name, sizes, blocks, bias, seed):
    net, _ = planted_ffn(np.random.default_rng(seed), sizes, blocks, bias=bias)
    found = ffn_blocks(net[0], net[2])
    if found is None:  # blocks of such small nets may save too little
        return
    made, masked = SplitFFN.from_linears(net[0], net[2], net[1], found), MaskedNet(net, found)
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 2, sizes[0], generator=draw, dtype=torch.float64)
    assert torch.allclose(made(x), net(x), rtol=0, atol=1e-13)
    steps = [OPTIMISERS[name](each.parameters()) for each in (made, masked)]
    for _ in range(4):
        x = torch.randn(5, sizes[0], generator=draw, dtype=torch.float64)
        target = torch.randn(5, sizes[2], generator=draw, dtype=torch.float64)
        for step, each in zip(steps, (made, masked), strict=True):
            step.zero_grad()
            (each(x) - target).square().mean().backward()
            step.step()
    dense = {f"up.{n}": p for n, p in net[0].named_parameters()} | {
        f"down.{n}": p for n, p in net[2].named_parameters()
    }
    seen = {part: torch.zeros(p.numel(), dtype=torch.bool) for part, p in dense.items()}
    for parameter, part, at in made.origins():
        assert torch.allclose(parameter, dense[part].reshape(-1)[at], rtol=0, atol=1e-9)
        seen[part][at.reshape(-1)] = True
    for part, mask in (("up.weight", masked.masks[0]), ("down.weight", masked.masks[1])):
        assert torch.equal(seen[part], mask.reshape(-1)), "the blocks are the mask"


def test_a_gated_net_is_the_same_as_one_that_is_dense():
    rng = np.random.default_rng(3)
    K, H, N = 6, 8, 6
    halves = lambda k, n: Decomposition(  # noqa: E731
        (k, n), (Block(range(0, k, 2), range(0, n, 2)), Block(range(1, k, 2), range(1, n, 2)))
    )
    up, down, gate = halves(K, H), halves(H, N), halves(K, H)
    made = SplitFFN(up, down, nn.SiLU(), gate, (True, False), dtype=torch.float64)
    dense = {}
    for part, found in (("up", up), ("gate", gate), ("down", down)):
        weight = torch.from_numpy(rng.normal(size=found.shape[::-1]) * found.inside().T)
        dense |= {f"{part}.weight": weight, f"{part}.bias": torch.from_numpy(rng.normal(size=found.shape[1]))}
    made.fill(dense)
    x = torch.from_numpy(rng.normal(size=(7, K)))
    read = lambda part: x @ dense[f"{part}.weight"].T + dense[f"{part}.bias"]  # noqa: E731
    expected = (nn.functional.silu(read("gate")) * read("up")) @ dense["down.weight"].T
    assert torch.allclose(made(x), expected, rtol=0, atol=1e-13) and made.bias is None


def test_units_without_inputs_or_outputs_change_nothing():
    net, _ = planted_ffn(np.random.default_rng(0), (12, 16, 12), 4)
    with torch.no_grad():
        net[0].weight[3] = 0  # a constant, which its outputs read all the same
        net[2].weight[:, 5] = 0  # read by nobody
    x = torch.randn(9, 12, dtype=torch.float64)
    before = net(x)
    found = split(net)
    assert isinstance(found.module[0], SplitFFN) and torch.allclose(found.module(x), before, rtol=0, atol=1e-13)
    assert [type(one) for one in found.module] == [SplitFFN, nn.Identity, nn.Identity]


def test_blocks_have_to_belong_together():
    one = Decomposition((2, 2), (Block([0], [0]), Block([1], [1])))
    other = Decomposition((2, 2), (Block([1], [0]), Block([0], [1])))
    with pytest.raises(LayerError, match="find them together"):
        SplitFFN(one, other, nn.ReLU())
    with pytest.raises(LayerError, match="no entries outside"):
        SplitFFN(one, Decomposition((2, 2), one.blocks, residual=((0, 1),)), nn.ReLU())
    with pytest.raises(LayerError, match="no block"):
        SplitFFN(Decomposition((2, 2), ()), Decomposition((2, 2), ()), nn.ReLU())


def test_a_net_says_what_it_is():
    net, _ = planted_ffn(np.random.default_rng(0), (12, 12, 12), 4)
    assert repr(split(net).module[0]) == "SplitFFN(12x12, 12x12, blocks=4, mac_share=0.25)"
