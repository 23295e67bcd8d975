"""Networks as they are pruned: a part of their heads, units and channels dead or constant, or never there at all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import nn

__all__ = ["Encoder", "MobileNet", "ResNet", "exported", "kill"]

OPSET = 17


class Attention(nn.Module):
    """Self-attention whose heads have `each` features, of which `served` share keys and values."""

    def __init__(self, width: int, heads: int, each: int, served: int = 1) -> None:
        super().__init__()
        self.heads, self.each, self.served = heads, each, served
        self.query = nn.Linear(width, heads * each)
        self.key, self.value = (nn.Linear(width, heads // served * each) for _ in range(2))
        self.output = nn.Linear(heads * each, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lead = x.shape[:-1]
        parts = (own(x).view(*lead, -1, self.each) for own in (self.query, self.key, self.value))
        query, key, value = (part.transpose(1, 2) for part in parts)
        if self.served > 1:
            key, value = (self._shared(part) for part in (key, value))
        weights = torch.softmax(query @ key.transpose(2, 3) * self.each**-0.5, -1)
        return self.output((weights @ value).transpose(1, 2).reshape(*lead, self.heads * self.each))

    def _shared(self, part: torch.Tensor) -> torch.Tensor:
        """Each head of keys or values once for each head of the queries that it serves."""
        batch, length, count = part.shape[0], part.shape[2], self.heads // self.served
        wide = part[:, :, None].expand(batch, count, self.served, length, self.each)
        return wide.reshape(batch, self.heads, length, self.each)


class Layer(nn.Module):
    """A layer of an encoder, norms behind the sums; the feed-forward network gated where that is asked for."""

    def __init__(self, width: int, heads: int, each: int, hidden: int, gated: bool, served: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads, each, served)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.gate = nn.Linear(width, hidden) if gated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](x + self.attention(x))
        hidden = nn.functional.gelu(self.up(x))
        if self.gate is not None:
            hidden = hidden * self.gate(x)
        return self.norms[1](x + self.down(hidden))


@dataclass(frozen=True)
class Encoder:
    """Sizes of an encoder like BERT: of its heads and hidden units so many are dead or constant.

    run: how many hidden units beside one another are alive or not together; constants: whether some that go are numbers
    that are not zero; served: heads that share keys and values, and are dead together.
    """

    layers: int = 2
    width: int = 384
    heads: int = 12
    hidden: int = 1536
    dead_heads: int = 5
    dead_share: float = 0.6
    gated: bool = False
    run: int = 1
    constants: bool = True
    served: int = 1

    @property
    def dead_hidden(self) -> int:
        return int(self.dead_share * self.hidden / self.run) * self.run

    def pruned(self, rng: np.random.Generator) -> nn.Module:
        """Weights of zeros: dead heads have a value bias that is alive, every other unit is dead, the rest constant."""
        each = self.width // self.heads
        net = self._built(self.heads, self.hidden)
        with torch.no_grad():
            for layer in net:
                attention = layer.attention
                keys = np.sort(rng.permutation(self.heads // self.served)[: self.dead_heads // self.served])
                heads = (keys[:, None] * self.served + np.arange(self.served)).reshape(-1)
                places, shared = ((one[:, None] * each + np.arange(each)).reshape(-1) for one in (heads, keys))
                attention.query.weight[places] = attention.query.bias[places] = 0
                attention.key.weight[shared] = attention.value.weight[shared] = attention.key.bias[shared] = 0
                runs = rng.permutation(self.hidden // self.run)[: self.dead_hidden // self.run]
                gone = (runs[:, None] * self.run + np.arange(self.run)).reshape(-1)
                if not self.constants:
                    attention.value.bias[shared] = 0
                    layer.up.weight[gone] = layer.up.bias[gone] = 0
                layer.down.weight[:, gone[::2]] = 0
                layer.up.weight[gone[1::2]] = 0
                if layer.gate is not None:
                    layer.gate.weight[gone[1::2]] = 0
        return net

    def never_there(self) -> nn.Module:
        """The network that was built without them."""
        return self._built(self.heads - self.dead_heads, self.hidden - self.dead_hidden)

    def _built(self, heads: int, hidden: int) -> nn.Module:
        each = self.width // self.heads
        sizes = self.width, heads, each, hidden, self.gated, self.served
        return nn.Sequential(*(Layer(*sizes) for _ in range(self.layers)))


def left(channels: int, share: float) -> int:
    """How many channels are left of so many."""
    return channels - int(share * channels)


def normed(conv: nn.Conv2d, act: nn.Module | None = None) -> nn.Sequential:
    """A convolution, its norm and what follows it; statistics and scales as they are after training."""
    norm = nn.BatchNorm2d(conv.out_channels)
    with torch.no_grad():
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.1)
    return nn.Sequential(conv, norm, *([act] if act is not None else []))


class Residual(nn.Module):
    """What a path makes of x, added to x or to a projection of it."""

    def __init__(self, path: nn.Module, beside: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.path, self.beside, self.act = path, beside, act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.path(x) + self.beside(x))


class ResNet(nn.Module):
    """Basic blocks of two 3x3 convolutions, in four stages; `share` of all channels was never there."""

    def __init__(self, share: float = 0.0, widths: tuple[int, ...] = (64, 128, 256), blocks: int = 2) -> None:
        super().__init__()
        first, *_ = kept = [left(width, share) for width in widths]
        layers = [normed(nn.Conv2d(3, first, 7, 2, 3, bias=False), nn.ReLU()), nn.MaxPool2d(3, 2, 1)]
        before = first
        for stage, width in enumerate(kept):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                one = normed(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.ReLU())
                two = normed(nn.Conv2d(width, width, 3, 1, 1, bias=False))
                same = stride == 1 and before == width
                beside = nn.Identity() if same else normed(nn.Conv2d(before, width, 1, stride, bias=False))
                layers.append(Residual(nn.Sequential(one, two), beside, nn.ReLU()))
                before = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 100))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class MobileNet(nn.Module):
    """Inverted residuals: 1x1 to six times the channels, 3x3 of each channel, 1x1 back."""

    def __init__(self, share: float = 0.0, widths: tuple[int, ...] = (24, 32, 64, 96), blocks: int = 2) -> None:
        super().__init__()
        kept = [left(width, share) for width in widths]
        layers: list[nn.Module] = [normed(nn.Conv2d(3, kept[0], 3, 2, 1, bias=False), nn.ReLU6())]
        before, wide_before = kept[0], widths[0]
        for stage, (width, wide) in enumerate(zip(kept, widths, strict=True)):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                hidden = left(6 * wide_before, share)
                path = nn.Sequential(
                    normed(nn.Conv2d(before, hidden, 1, bias=False), nn.ReLU6()),
                    normed(nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.ReLU6()),
                    normed(nn.Conv2d(hidden, width, 1, bias=False)),
                )
                same = stride == 1 and before == width
                layers.append(Residual(path, nn.Identity(), nn.Identity()) if same else path)
                before, wide_before = width, wide
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 100))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def kill(net: nn.Module, share: float, rng: np.random.Generator) -> None:
    """Let training have killed `share` of all channels: the norms' scales and biases are zero there.

    Channels that are added to one another are dead together, and so are those of a convolution of each channel and
    of what it reads; elsewhere they are dead by themselves.
    """
    dead: dict[tuple[str, int], np.ndarray] = {}
    with torch.no_grad():
        for key, norm in _norms(net):
            width = norm.num_features
            places = dead.setdefault(key, np.sort(rng.permutation(width)[: width - left(width, share)]))
            norm.weight[places] = norm.bias[places] = 0


def _norms(net: nn.Module) -> Iterator[tuple[tuple[str, int], nn.BatchNorm2d]]:
    """Every norm and a key of the channels that it is of, the same where channels have to be dead together."""
    stream = 0
    for place, layer in enumerate(net.body):
        if isinstance(layer, Residual):
            paths = [layer.path, layer.beside] if isinstance(layer.beside, nn.Sequential) else [layer.path]
        else:
            paths = [layer] if isinstance(layer, nn.Sequential) else []
        if paths and not (isinstance(layer, Residual) and len(paths) == 1):
            stream = place  # other channels than those before
        for path in paths:
            own = [one for one in path.modules() if isinstance(one, nn.BatchNorm2d)]
            yield from ((("inside", place), norm) for norm in own[:-1])
            yield ("between", stream), own[-1]


def exported(
    net: nn.Module,
    x: torch.Tensor,
    *,
    folded: bool = True,
    half: bool = False,
    closed: bool = False,
    dynamo: bool = False,
) -> onnx.ModelProto:
    """The network in evaluation; folded: norms into convolutions; closed: batch and what else is no channel as in x.

    dynamo: by the exporter of that name, not out of TorchScript.
    """
    net = net.eval()
    if half:
        net, x = net.half(), x.half()
    if dynamo:
        shapes = (dict.fromkeys(range(x.ndim - 1), torch.export.Dim.DYNAMIC),)
        made = torch.onnx.export(net, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes, input_names=["x"])
        assert made is not None
        return made.model_proto
    held = io.BytesIO()
    training = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
    open_ = {0: "n"} if x.ndim == 4 else {0: "n", 1: "t"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (x,),
            held,
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=None if closed else {"x": open_},
            training=training,
            do_constant_folding=folded,
        )
    return onnx.load_from_string(held.getvalue())
