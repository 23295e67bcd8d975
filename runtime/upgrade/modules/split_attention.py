"""Attention as blocks of heads, each with the inputs that its heads read and the outputs that they write."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ....ir.plan.decomposition import Decomposition
from .index_work import Pick, PutBack, added, rows_of, stacks_of
from .layer_error import LayerError
from .split_ffn import require_joint
from .split_module import Origin, SplitModule, entries

__all__ = ["SplitAttention"]

SIDES = ("q", "k", "v")


class SplitAttention(SplitModule):
    """`nn.MultiheadAttention` in blocks of whole heads, called in the same way and with the same result.

    parts: decompositions of the weights of queries, keys and values, each (E, H), and of the output (H, N), block i of
    the last reading what block i of the others writes; heads: of equal size, each in one block. bias: whether the four
    have one; dropout: of the attention weights in training; batch_first: as torch has it. Raises LayerError where
    blocks do not belong together or cut a head.

    >>> from scission import Block, Decomposition
    >>> halves = Decomposition((4, 4), (Block([0, 1], [0, 1]), Block([2, 3], [2, 3])))
    >>> attention = SplitAttention([halves] * 4, heads=2, batch_first=True)
    >>> attention(*[torch.zeros(1, 5, 4)] * 3)[0].shape
    torch.Size([1, 5, 4])
    """

    # What `nn.TransformerEncoderLayer` asks its attention before it takes a kernel of its own, which knows no blocks.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    def __init__(
        self,
        parts: Sequence[Decomposition],
        heads: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        require_joint(parts[:3], parts[3])
        super().__init__(parts)
        out = parts[3]
        self.num_heads, self.head_dim, self.out_features = heads, out.shape[0] // heads, out.shape[1]
        self.dropout, self.batch_first, self.packed = dropout, batch_first, False
        self._heads = [_whole_heads(block.inputs, self.head_dim) for block in out.blocks]
        if sorted(np.concatenate(self._heads).tolist()) != list(range(heads)):
            raise LayerError("some heads are in no block; give blocks that hold all of them")
        shapes = [tuple(side for one in parts for side in one.blocks[i].shape) for i in range(len(out.blocks))]
        self._stacks = stacks_of(shapes)
        made = {"device": device, "dtype": dtype}
        order = np.concatenate([self._heads[i] for own in self._stacks for i in own])
        self.register_buffer("head_order", torch.from_numpy(order), persistent=False)
        for side, found in zip((*SIDES, "o"), parts, strict=True):
            shapes = [(len(own), *found.blocks[own[0]].shape) for own in self._stacks]
            setattr(self, f"{side}_blocks", nn.ParameterList(nn.Parameter(torch.empty(s, **made)) for s in shapes))
            if side == "o":
                continue
            biases = [nn.Parameter(torch.empty(s[0], 1, s[2], **made)) for s in shapes] if bias else []
            setattr(self, f"{side}_biases", nn.ParameterList(biases))
            picks = (Pick([found.blocks[i].inputs for i in own]) for own in self._stacks)
            setattr(self, f"{side}_pick", nn.ModuleList(picks))
        self.place = PutBack([out.blocks[i].outputs for own in self._stacks for i in own], self.out_features)
        self.bias = nn.Parameter(torch.empty(self.out_features, **made)) if bias else None
        self.reset_parameters()
        self.to(device=device)

    @classmethod
    def from_multihead(cls, attention: nn.MultiheadAttention, parts: Sequence[Decomposition]) -> SplitAttention:
        """The blocks of an attention of torch; parts: as above."""
        weight = attention.out_proj.weight
        made = cls(
            parts,
            attention.num_heads,
            bias=attention.in_proj_bias is not None,
            dropout=attention.dropout,
            batch_first=attention.batch_first,
            device=weight.device,
            dtype=weight.dtype,
        )
        made.packed = attention.in_proj_weight is not None
        dense = dict(attention.named_parameters())
        made.fill(dense)
        made.train(attention.training)
        for parameter, part, _ in made.origins():
            parameter.requires_grad_(dense[part].requires_grad)
        return made

    def reset_parameters(self) -> None:
        """Draw every block uniform within ±1/√k; biases are zero, as torch has it for attention."""
        with torch.no_grad():
            for side in (*SIDES, "o"):
                for stack in getattr(self, f"{side}_blocks"):
                    stack.uniform_(-1 / math.sqrt(stack.shape[1]), 1 / math.sqrt(stack.shape[1]))
            for bias in (*self.q_biases, *self.k_biases, *self.v_biases, *([] if self.bias is None else [self.bias])):
                bias.zero_()

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(Output, weights of the attention or None), as `nn.MultiheadAttention` has them; `is_causal` is a hint that
        `attn_mask` is causal. Raises LayerError for shapes and masks that torch refuses too."""
        if is_causal and attn_mask is None:
            raise LayerError("is_causal says what attn_mask is; give that as well")
        batched = query.dim() == 3
        turned = _batch_first((query, key, value), self.batch_first)
        q, k, v = (self._heads_of(side, one) for side, one in zip(SIDES, turned, strict=True))
        mask = self._mask(attn_mask, key_padding_mask, turned[1].shape[1], q, batched)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = torch.softmax(scores if mask is None else scores + mask, -1)
            weights = functional.dropout(weights, dropout) if dropout else weights
            mixed = weights @ v
            ordered = torch.empty_like(self.head_order)
            ordered[self.head_order] = torch.arange(self.num_heads, device=ordered.device)
            weights = weights.index_select(1, ordered)
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights[0]
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        out = self._out(mixed)
        out = out if self.batch_first or not batched else out.transpose(0, 1)
        return (out if batched else out[0]), weights

    def origins(self) -> Iterator[Origin]:
        """Parts are called as in `nn.MultiheadAttention`: `in_proj_weight`, or `q_proj_weight` …, `out_proj.weight`."""
        H = self.decompositions[3].shape[0]
        for number, side in enumerate(SIDES):
            found = self.decompositions[number]
            part = "in_proj_weight" if self.packed else f"{side}_proj_weight"
            biases = getattr(self, f"{side}_biases")
            for index, own in enumerate(self._stacks):
                inputs = np.stack([found.blocks[i].inputs for i in own])
                outputs = np.stack([found.blocks[i].outputs for i in own])
                at = entries(inputs, outputs, found.shape[0], number * H if self.packed else 0)
                yield Origin(getattr(self, f"{side}_blocks")[index], part, at)
                if len(biases):
                    yield Origin(biases[index], "in_proj_bias", torch.from_numpy(outputs[:, None, :] + number * H))
        out = self.decompositions[3]
        for stack, own in zip(self.o_blocks, self._stacks, strict=True):
            inputs = np.stack([out.blocks[i].inputs for i in own])
            yield Origin(stack, "out_proj.weight", entries(inputs, np.stack([out.blocks[i].outputs for i in own]), H))
        if self.bias is not None:
            yield Origin(self.bias, "out_proj.bias", torch.arange(self.out_features))

    def _heads_of(self, side: str, x: Tensor) -> Tensor:
        """(N, L, E) -> (N, heads, L, head_dim), heads in the order of the stacks."""
        width = self.decompositions[SIDES.index(side)].shape[0]
        rows, biases = rows_of(x, width), getattr(self, f"{side}_biases")
        parts = []
        for index, (pick, stack) in enumerate(
            zip(getattr(self, f"{side}_pick"), getattr(self, f"{side}_blocks"), strict=True)
        ):
            made = torch.bmm(pick(rows), stack)
            made = added(made, biases[index] if len(biases) else None)
            of_heads = (len(stack), x.shape[0], x.shape[1], stack.shape[2] // self.head_dim, self.head_dim)
            parts.append(made.reshape(of_heads).permute(1, 0, 3, 2, 4).flatten(1, 2))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def _out(self, mixed: Tensor) -> Tensor:
        """(N, heads, L, head_dim) -> (N, L, outputs)."""
        N, _, L, _ = mixed.shape
        parts, start = [], 0
        for stack in self.o_blocks:
            B, heads = len(stack), stack.shape[1] // self.head_dim
            own = mixed[:, start : start + B * heads].reshape(N, B, heads, L, self.head_dim)
            parts.append(torch.bmm(own.permute(1, 0, 3, 2, 4).reshape(B, N * L, stack.shape[1]), stack))
            start += B * heads
        y = added(self.place(parts, mixed.new_empty(N * L, 0)), self.bias)
        return y.reshape(N, L, self.out_features)

    def _mask(self, attend: Tensor | None, padding: Tensor | None, keys: int, like: Tensor, batched: bool) -> Any:
        """What is added to scores, None for nothing; masks of single heads come in the order of the stacks."""
        N, _, L, _ = like.shape
        S, mask = keys, None
        if attend is not None:
            heads = (N * self.num_heads, L, S)
            _require_mask("attn_mask", attend, heads if attend.dim() == 3 else (L, S))
            mask = _added(attend, like)
            if mask.dim() == 3:
                mask = mask.reshape(N, self.num_heads, L, S).index_select(1, self.head_order)
        if padding is not None:
            _require_mask("key_padding_mask", padding, (N, S) if batched else (S,))
            hidden = _added(padding, like).reshape(N, 1, 1, S)
            mask = hidden if mask is None else mask + hidden
        return mask


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask, true where nothing is to be seen, as what is added to scores."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)


def _batch_first(given: Sequence[Tensor], first: bool) -> list[Tensor]:
    """Query, key and value with a batch before all; raises LayerError where they do not belong together."""
    dims = {one.dim() for one in given}
    if dims not in ({2}, {3}):
        raise LayerError(f"{_shapes(given)}; give three of two dimensions, or of three with a batch")
    turned = [one[None] if dims == {2} else one if first else one.transpose(0, 1) for one in given]
    if torch.jit.is_tracing():
        return turned
    query, key, value = (one.shape for one in turned)
    if key[:2] != value[:2] or query[0] != key[0]:
        raise LayerError(f"{_shapes(given)}; give them of one batch, and a value for each key")
    return turned


def _shapes(given: Sequence[Tensor]) -> str:
    return f"query, key and value are of shapes {', '.join(str(tuple(one.shape)) for one in given)}"


def _require_mask(name: str, mask: Tensor, shape: tuple[int, ...]) -> None:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise LayerError(f"{name} is of {mask.dtype}; give one of booleans, or of floating-point numbers to add")
    if mask.dim() != len(shape) or not (torch.jit.is_tracing() or mask.shape == shape):
        raise LayerError(f"{name} is of shape {tuple(mask.shape)}; give one of shape {shape}")


def _whole_heads(features: Any, size: int) -> Any:
    """The heads that these hidden features make up, sorted; raises LayerError where one is not whole."""
    heads = np.unique(features // size)
    if not np.array_equal(features, (heads[:, None] * size + np.arange(size)).reshape(-1)):
        raise LayerError("a block cuts a head; give blocks of whole heads")
    return heads
