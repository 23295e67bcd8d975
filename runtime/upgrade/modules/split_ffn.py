"""A feed-forward net as blocks that keep their hidden units to themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....ir.plan.decomposition import Decomposition
from .index_work import Pick, PutBack, added, rows_of, stacks_of
from .layer_error import LayerError
from .split_module import Origin, SplitModule, entries

__all__ = ["SplitFFN", "require_joint"]


class SplitFFN(SplitModule):
    """y = σ(x U + a) V + b, or σ(x G + c) ∘ (x U + a) in the place of σ(…), in blocks that share no hidden unit.

    up (K, H), down (H, N), gate (K, H) or None: decompositions whose blocks belong together, block i of `down` reading
    what block i of `up` and of `gate` writes; inputs may be shared. activation: a module that works elementwise. bias:
    whether (up and gate, down) have one; hidden units of no block are left out. Hidden features stay where a block has
    them, so that index work is done once on either side. Raises LayerError where blocks do not belong together.

    >>> from scission import Block, Decomposition
    >>> up = Decomposition((2, 4), (Block([0], [0, 2]), Block([1], [1, 3])))
    >>> down = Decomposition((4, 2), (Block([0, 2], [1]), Block([1, 3], [0])))
    >>> net = SplitFFN(up, down, nn.GELU())
    >>> net(torch.zeros(5, 2)).shape, {name: tuple(p.shape) for name, p in net.named_parameters()}["ups.0"]
    (torch.Size([5, 2]), (2, 1, 2))
    """

    def __init__(
        self,
        up: Decomposition,
        down: Decomposition,
        activation: nn.Module,
        gate: Decomposition | None = None,
        bias: tuple[bool, bool] = (True, True),
        *,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        readers = [up] if gate is None else [up, gate]
        require_joint(readers, down)
        super().__init__([up, down, *readers[1:]])
        self.activation, self.out_features, self.in_features = activation, down.shape[1], up.shape[0]
        of = [tuple(one.blocks[i].shape for one in (*readers, down)) for i in range(len(down.blocks))]
        self._stacks = stacks_of([tuple(side for shape in each for side in shape) for each in of])
        made = {"device": device, "dtype": dtype}
        self.pick, self.ups, self.up_biases = _reading(up, self._stacks, bias[0], made)
        if gate is not None:
            self.pick_gate, self.gates, self.gate_biases = _reading(gate, self._stacks, bias[0], made)
        self.has_gate = gate is not None
        self.place = PutBack([down.blocks[i].outputs for own in self._stacks for i in own], self.out_features)
        self.downs = _stacked(down, self._stacks, made)
        self.bias = nn.Parameter(torch.empty(self.out_features, **made)) if bias[1] else None
        self.reset_parameters()
        self.to(device=device)

    @classmethod
    def from_linears(
        cls, up: nn.Linear, down: nn.Linear, activation: nn.Module, found: Sequence[Decomposition]
    ) -> SplitFFN:
        """The blocks of two layers with something elementwise between them; found: their decompositions."""
        weight, bias = up.weight, (up.bias is not None, down.bias is not None)
        made = cls(found[0], found[1], activation, bias=bias, device=weight.device, dtype=weight.dtype)
        parts = {
            f"{side}.{name}": one for side, of in (("up", up), ("down", down)) for name, one in of.named_parameters()
        }
        made.fill(parts)
        made.train(up.training)
        for parameter, part, _ in made.origins():
            parameter.requires_grad_(parts[part].requires_grad)
        return made

    def reset_parameters(self) -> None:
        """Draw every block as torch draws a linear layer of its shape: uniform within ±1/√k."""
        with torch.no_grad():
            for stack in (*self.ups, *self.downs, *(self.gates if self.has_gate else ())):
                stack.uniform_(-1 / math.sqrt(stack.shape[1]), 1 / math.sqrt(stack.shape[1]))
            for bias in (*self.up_biases, *(self.gate_biases if self.has_gate else ())):
                bias.uniform_(-1 / math.sqrt(self.in_features), 1 / math.sqrt(self.in_features))
            if self.bias is not None:
                self.bias.uniform_(-1 / math.sqrt(self.downs[0].shape[1]), 1 / math.sqrt(self.downs[0].shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        """(…, K) -> (…, N)."""
        rows = rows_of(x, self.in_features)
        parts = []
        for index, down in enumerate(self.downs):
            hidden = _read(rows, self.pick[index], self.ups[index], self.up_biases, index)
            if self.has_gate:
                gate = _read(rows, self.pick_gate[index], self.gates[index], self.gate_biases, index)
                hidden = self.activation(gate) * hidden
            else:
                hidden = self.activation(hidden)
            parts.append(torch.bmm(hidden, down))
        y = added(self.place(parts, rows), self.bias)
        return y.reshape(*x.shape[:-1], self.out_features)

    def origins(self) -> Iterator[Origin]:
        """Parts are `up.weight` (H, K), `up.bias`, `down.weight` (N, H), `down.bias`, and the same of a `gate`."""
        readers = [("up", self.decompositions[0], self.ups, self.up_biases)]
        if self.has_gate:
            readers.append(("gate", self.decompositions[2], self.gates, self.gate_biases))
        for name, found, stacks, biases in readers:
            for index, own in enumerate(self._stacks):
                inputs, outputs = _features(found, own)
                yield Origin(stacks[index], f"{name}.weight", entries(inputs, outputs, found.shape[0]))
                if len(biases):
                    yield Origin(biases[index], f"{name}.bias", torch.from_numpy(outputs[:, None, :]))
        for stack, own in zip(self.downs, self._stacks, strict=True):
            inputs, outputs = _features(self.decompositions[1], own)
            yield Origin(stack, "down.weight", entries(inputs, outputs, self.decompositions[1].shape[0]))
        if self.bias is not None:
            yield Origin(self.bias, "down.bias", torch.arange(self.out_features))


def require_joint(readers: Sequence[Decomposition], writer: Decomposition) -> None:
    """Raise LayerError unless block i of the writer reads what block i of each reader writes, and nothing is shared
    or apart where they meet."""
    if any(one.residual for one in (*readers, writer)):
        raise LayerError("blocks of several weights have no entries outside of them; give them without a residual")
    if writer.dormant_outputs.size == writer.shape[1]:
        raise LayerError("there is no block; give decompositions of one block at least")
    for one in readers:
        fits = len(one.blocks) == len(writer.blocks) and one.shape[1] == writer.shape[0]
        if not fits or not all(
            np.array_equal(a.outputs, b.inputs) for a, b in zip(one.blocks, writer.blocks, strict=True)
        ):
            raise LayerError("block i of one weight does not read what block i of the other writes; find them together")


def _read(rows: Tensor, pick: Pick, stack: Tensor, biases: Any, index: int) -> Tensor:
    picked = pick(rows)
    return torch.baddbmm(biases[index], picked, stack) if len(biases) else torch.bmm(picked, stack)


def _features(found: Decomposition, own: Sequence[int]) -> tuple[Any, Any]:
    """(Inputs (B, k), outputs (B, n)) of a stack."""
    blocks = [found.blocks[i] for i in own]
    return np.stack([one.inputs for one in blocks]), np.stack([one.outputs for one in blocks])


def _stacked(found: Decomposition, stacks: Sequence[Sequence[int]], made: dict[str, Any]) -> nn.ParameterList:
    shapes = [(len(own), *found.blocks[own[0]].shape) for own in stacks]
    return nn.ParameterList(nn.Parameter(torch.empty(shape, **made)) for shape in shapes)


def _reading(
    found: Decomposition, stacks: Sequence[Sequence[int]], bias: bool, made: dict[str, Any]
) -> tuple[nn.ModuleList, nn.ParameterList, nn.ParameterList]:
    """What picks the inputs of each stack, its weights, and its biases (B, 1, h)."""
    picks = nn.ModuleList(Pick([found.blocks[i].inputs for i in own]) for own in stacks)
    weights = _stacked(found, stacks, made)
    biases = [nn.Parameter(torch.empty(len(one), 1, one.shape[2], **made)) for one in weights]
    return picks, weights, nn.ParameterList(biases if bias else [])
