"""Training blocks is training the masked weight (eq. 4.7): blocks and covers beside the dense layer with a mask."""

import copy
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from decomposition_examples import covers  # noqa: E402
from masked import OPTIMISERS, Masked, as_linear, dense_of  # noqa: E402

from scission import Block, Decomposition  # noqa: E402
from scission.torch import BlockLinear, CoverLinear, LayerError, carry_state, split  # noqa: E402

ROUNDING = (
    1e-9  # of values of about 1 after a few steps in float64, where quotients of moments magnify the order of sums
)
TWO = Decomposition((4, 4), (Block([0, 2], [1, 3]), Block([1, 3], [0, 2])))


def pair(found, bias=True, seed=0, whole_numbers=False):
    masked = Masked(found, bias, seed, whole_numbers)
    return masked, CoverLinear.from_linear(as_linear(masked), found)


@settings(max_examples=200, deadline=None)
@given(covers(), st.booleans(), st.integers(0, 99))
def test_values_and_gradients_of_whole_numbers_are_those_of_the_masked_weight_to_the_bit(found, bias, seed):
    masked, layer = pair(found, bias, seed, whole_numbers=True)
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(-4, 5, (2, 3, found.shape[0]), generator=draw).double().requires_grad_()
    z = x.detach().clone().requires_grad_()
    delta = torch.randint(-4, 5, (2, 3, found.shape[1]), generator=draw).double()
    y = masked(x)
    assert torch.equal(layer(z), y)
    y.backward(delta)
    layer(z).backward(delta)
    assert torch.equal(z.grad, x.grad)
    assert np.array_equal(dense_of(layer, "grad"), masked.weight.grad.numpy())
    assert not bias or torch.equal(layer.bias.grad, masked.bias.grad)


@pytest.mark.parametrize("name", OPTIMISERS)
@settings(max_examples=200, deadline=None)
@given(found=covers(), seed=st.integers(0, 99))
def test_training_the_blocks_is_training_the_masked_weight(name, found, seed):
    masked, layer = pair(found, seed=seed)
    train(OPTIMISERS[name], masked, seed)
    train(OPTIMISERS[name], layer, seed)
    assert np.abs(dense_of(layer) - masked.weight.detach().numpy()).max(initial=0) <= ROUNDING
    assert (layer.bias - masked.bias).abs().max() <= ROUNDING
    outside = ~torch.from_numpy(found.inside().T.copy())
    assert not (layer.weight * outside).any(), "what is dormant stays so"


def train(optimiser, layer, seed, steps=6):
    """Towards random targets through a nonlinearity."""
    step, draw = optimiser(layer.parameters()), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        one(step, layer, draw)
    return step, draw


def one(step, layer, draw):
    x = torch.randn(7, layer_shape(layer)[0], generator=draw, dtype=torch.float64)
    target = torch.randn(7, layer_shape(layer)[1], generator=draw, dtype=torch.float64)
    step.zero_grad()
    (torch.tanh(layer(x)) - target).square().mean().backward()
    step.step()


def layer_shape(layer):
    return tuple(layer.weight.shape)[::-1]


@pytest.mark.parametrize("name", OPTIMISERS)
@settings(max_examples=30, deadline=None)
@given(found=covers(), seed=st.integers(0, 99))
def test_an_optimiser_goes_on_with_the_blocks_as_it_would_have_with_the_masked_weight(name, found, seed):
    masked = Masked(found, seed=seed)
    step, draw = train(OPTIMISERS[name], masked, seed, 4)
    linear = torch.nn.Linear(*found.shape, dtype=torch.float64)
    linear.weight, linear.bias = masked.weight, masked.bias
    layer = CoverLinear.from_linear(linear, found)
    again = OPTIMISERS[name](linear.parameters())
    again.load_state_dict(step.state_dict())
    carry_state(again, moves(linear, layer))
    state = draw.get_state()
    for _ in range(3):
        one(step, masked, draw)
    draw.set_state(state)
    for _ in range(3):
        one(again, layer, draw)
    assert np.abs(dense_of(layer) - masked.weight.detach().numpy()).max(initial=0) <= ROUNDING


def moves(linear, layer):
    from scission.torch import Moved

    names = {parameter: name for name, parameter in layer.named_parameters()}
    return [Moved(part, getattr(linear, part), new, at, names[new]) for new, part, at in layer.origins()]


def test_float32_stays_within_the_bound_of_the_sum():
    rng = torch.Generator().manual_seed(1)
    found = Decomposition((64, 48), tuple(Block(range(i, 64, 4), range(i, 48, 4)) for i in range(4)))
    masked, layer = pair(found)
    masked, layer = masked.float(), layer.float()
    x = torch.randn(9, 64, generator=rng)
    bound = 18 * 2**-23 * (x.abs() @ masked.weight.abs().T + masked.bias.abs())
    assert ((layer(x) - masked(x)).abs() <= bound).all()


def test_state_comes_back_and_only_into_the_same_blocks():
    _, layer = pair(TWO)
    other = CoverLinear(TWO, dtype=torch.float64)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight, layer.weight)
    moved = Decomposition((4, 4), (Block([0, 1], [1, 3]), Block([2, 3], [0, 2])))
    with pytest.raises(RuntimeError, match="other blocks"):
        CoverLinear(moved, dtype=torch.float64).load_state_dict(layer.state_dict())


def test_copies_files_types_and_devices():
    _, layer = pair(TWO)
    x = torch.randn(3, 4, dtype=torch.float64)
    stream = io.BytesIO()
    torch.save(layer, stream)
    stream.seek(0)
    for same in (copy.deepcopy(layer), torch.load(stream, weights_only=False)):
        assert torch.equal(same(x), layer(x))
    half = copy.deepcopy(layer).to(torch.bfloat16)
    assert half(x.bfloat16()).dtype is torch.bfloat16 and half.layout.dtype is torch.int64
    assert {p.device.type for p in copy.deepcopy(layer).to("meta").parameters()} == {"meta"}
    with torch.autocast("cpu", torch.bfloat16):
        assert copy.deepcopy(layer).float()(x.float()).dtype is not torch.float64


def test_a_layer_becomes_dense_again_and_keeps_what_is_frozen():
    linear = as_linear(Masked(TWO))
    linear.weight.requires_grad_(False)
    layer = BlockLinear.from_linear(linear.eval(), TWO)
    assert not layer.training and not layer.blocks[0].requires_grad and layer.bias.requires_grad
    back = layer.to_linear()
    assert torch.equal(back.weight, linear.weight) and torch.equal(back.bias, linear.bias) and not back.training
    assert repr(layer) == "BlockLinear(4x4, blocks=2, mac_share=0.5)"


def test_a_weight_without_any_block_is_its_bias():
    found = Decomposition((3, 2), ())
    masked, layer = pair(found)
    assert torch.equal(layer(torch.ones(5, 3, dtype=torch.float64)), masked.bias.expand(5, 2))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4), (0,), (2, 5), (0, 5)])
def test_inputs_without_rows_and_of_another_size(shape):
    masked, layer = pair(TWO)
    x = torch.zeros(shape, dtype=torch.float64)
    if shape[-1] == 4:
        assert layer(x).shape == masked(x).shape
    else:
        with pytest.raises(LayerError, match="last size is to be 4"):
            layer(x)


@settings(max_examples=50, deadline=None)
@given(covers(), st.booleans())
def test_the_type_under_autocast_is_that_of_a_dense_layer(found, bias):
    layer = pair(found, bias)[1].float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(3, found.shape[0])).dtype is torch.bfloat16


def test_blocks_that_share_features_are_no_independent_ones():
    shared = Decomposition((3, 2), (Block([0, 1], [0]), Block([1, 2], [1])))
    with pytest.raises(LayerError, match="CoverLinear"):
        BlockLinear(shared)
    with pytest.raises(LayerError, match="CoverLinear"):
        BlockLinear(Decomposition((2, 2), (Block([0], [0]),), residual=((1, 1),)))


def test_new_blocks_are_drawn_as_torch_draws_layers_of_their_shape():
    torch.manual_seed(0)
    layer = BlockLinear(Decomposition((200, 200), tuple(Block(range(i, 200, 2), range(i, 200, 2)) for i in range(2))))
    drawn = layer.blocks[0]
    assert drawn.abs().max() <= 0.1 and abs(float(drawn.detach().std()) - 0.1 / 3**0.5) < 1e-3


def test_split_takes_a_layer_that_is_the_whole_module():
    linear = as_linear(Masked(TWO))
    found = split(linear)
    assert isinstance(found.module, BlockLinear) and found.replaced[0].path == ""
