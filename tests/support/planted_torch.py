"""Modules of torch with planted blocks, hidden by permutations: what `split` should find."""

import numpy as np
import torch
from torch import nn


def owners(rng, size, blocks):
    """The block of each of `size` features, each block having some, in random order."""
    return rng.permutation(np.arange(size) % blocks)


def keep(weight, inputs, outputs):
    """Zeros in a weight (N, K) wherever the owners of input and output differ."""
    with torch.no_grad():
        weight.mul_(torch.from_numpy(outputs[:, None] == inputs[None, :]))


def planted_ffn(rng, sizes=(12, 18, 9), blocks=3, activation=nn.GELU, bias=True):
    """Two layers with something elementwise between, and the owners of inputs, hidden units and outputs."""
    K, H, N = sizes
    x, h, y = (owners(rng, size, blocks) for size in sizes)
    up, down = (nn.Linear(*shape, bias=bias, dtype=torch.float64) for shape in ((K, H), (H, N)))
    keep(up.weight, x, h)
    keep(down.weight, h, y)
    return nn.Sequential(up, activation(), down), (x, h, y)


def planted_attention(rng, heads=4, size=4, features=12, blocks=2, **options):
    """An attention whose heads fall into blocks, and the owners of features of the query, heads and outputs."""
    made = nn.MultiheadAttention(heads * size, heads, dtype=torch.float64, **options)
    E = heads * size
    h = np.repeat(owners(rng, heads, blocks), size)
    reads, writes = [owners(rng, E, blocks) for _ in range(3)], owners(rng, E, blocks)
    packed = made.in_proj_weight is not None
    weights = (
        made.in_proj_weight.data.chunk(3) if packed else (made.q_proj_weight, made.k_proj_weight, made.v_proj_weight)
    )
    for weight, read in zip(weights, reads, strict=True):
        keep(weight, read[: weight.shape[1]], h)
    keep(made.out_proj.weight, h, writes)
    with torch.no_grad():
        for bias in (made.in_proj_bias, made.out_proj.bias):
            if bias is not None:
                bias.uniform_(-1, 1)
    return made


def trained(monitor, steps, layer):
    """So many steps of a training that moves one entry of a layer, each told to a monitor."""
    for _ in range(steps):
        with torch.no_grad():
            layer.weight[0, 0] += 1
        monitor.step()
