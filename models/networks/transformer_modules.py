"""The modules of transformers in PyTorch, as Hugging Face's eager ones compute them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

__all__ = ["CLASSES", "POSITIONS", "Config", "Kind", "Order", "bert_module", "llama_module"]

Kind = Literal["bert", "llama"]
Order = Literal["shared", "own", "natural"]

POSITIONS = 512
CLASSES = 16
EPSILON = {"bert": 1e-12, "llama": 1e-5}
THETA = 10000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Sizes of a transformer and where its blocks are.

    width: features of the residual stream; attention_blocks: of the projections, whole heads each; ffn_blocks: of the
    feed-forward networks; order: see `bert`; interface: hidden states go in and out instead of tokens and logits.
    Raises ValueError when blocks are not of equal size, a head is of odd size, or the order is unknown.
    """

    kind: Kind
    layers: int = 2
    width: int
    heads: int
    hidden: int
    attention_blocks: int = 4
    ffn_blocks: int = 8
    order: Order = "shared"
    vocabulary: int = 1000
    interface: bool = False

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise ValueError(f"unknown order {self.order!r}; use one of {', '.join(get_args(Order))}")
        for part, whole in (
            *(("attention_blocks", "heads"), ("attention_blocks", "width"), ("heads", "width")),
            *(("ffn_blocks", "hidden"), ("ffn_blocks", "width")),
            *([("attention_blocks", "ffn_blocks")] if self.order == "shared" else []),
        ):
            if getattr(self, part) < 1 or getattr(self, whole) % getattr(self, part):
                raise ValueError(f"{whole} {getattr(self, whole)} is no multiple of {part} {getattr(self, part)}")
        if self.width // self.heads % 2:
            raise ValueError(f"a head of {self.width // self.heads} features has no two halves to rotate")


def bert_module(config: Config) -> Any:
    """Layers as Hugging Face's eager BERT computes them: normalised after each residual sum."""
    import torch
    from torch import nn

    linear, norm = nn.Linear, partial(nn.LayerNorm, config.width, eps=EPSILON["bert"])

    class Attention(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            for part in ("query", "key", "value", "output"):
                self.add_module(part, linear(config.width, config.width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            by_head = (*x.shape[:-1], config.heads, config.width // config.heads)
            q, k, v = (way(x).view(by_head).transpose(1, 2) for way in (self.query, self.key, self.value))
            scores = torch.matmul(q, k.transpose(2, 3)) * by_head[-1] ** -0.5
            mixed = torch.matmul(torch.softmax(scores, -1), v)
            return self.output(mixed.transpose(1, 2).reshape(x.shape))  # type: ignore[no-any-return, unused-ignore]

    class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.attention_norm, self.ffn_norm = Attention(), norm(), norm()
            self.up, self.down = linear(config.width, config.hidden), linear(config.hidden, config.width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.attention_norm(x + self.attention(x))
            h = nn.functional.gelu(self.up(x))
            return self.ffn_norm(x + self.down(h))  # type: ignore[no-any-return, unused-ignore]

    class Encoder(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Layer() for _ in range(config.layers))
            if not config.interface:
                self.words = nn.Embedding(config.vocabulary, config.width)
                self.positions = nn.Embedding(POSITIONS, config.width)
                self.norm, self.head = norm(), linear(config.width, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not config.interface:
                x = self.norm(self.words(x) + self.positions(torch.arange(x.shape[1], device=x.device)))
            for layer in self.layers:
                x = layer(x)
            return x if config.interface else self.head(x)

    return Encoder()


def llama_module(config: Config) -> Any:
    """Layers as Hugging Face's eager Llama computes them: normalised before each part, the sum left as it is."""
    import torch
    from torch import nn

    norm, layer = _llama_norm(config), _llama_layer(config)
    size = config.width // config.heads

    class Decoder(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.norm = nn.ModuleList(layer() for _ in range(config.layers)), norm()
            if not config.interface:
                self.words = nn.Embedding(config.vocabulary, config.width)
                self.head = nn.Linear(config.width, config.vocabulary, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            positions = torch.arange(x.shape[1], device=x.device)
            if not config.interface:
                x = self.words(x)
            frequencies = THETA ** (torch.arange(0, size, 2, device=x.device) / -size)
            angles = positions[:, None] * frequencies
            angles = torch.cat((angles, angles), -1)
            later = positions[None, :] > positions[:, None]
            mask = torch.where(later, torch.finfo(x.dtype).min, 0.0)
            for each in self.layers:
                x = each(x, (angles.cos(), angles.sin()), mask)
            x = self.norm(x)
            return x if config.interface else self.head(x)

    return Decoder()


def _llama_norm(config: Config) -> Any:
    """RMSNorm."""
    import torch
    from torch import nn

    class Norm(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(config.width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON["llama"]))

    return Norm


def _llama_attention(config: Config) -> Any:
    """Attention with rotary positions in halves."""
    import torch
    from torch import nn

    size = config.width // config.heads

    def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return x * cos + torch.cat((-second, first), -1) * sin

    class Attention(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            for part in ("query", "key", "value", "output"):
                self.add_module(part, nn.Linear(config.width, config.width, bias=False))

        def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
            by_head = (*x.shape[:-1], config.heads, size)
            q, k, v = (way(x).view(by_head).transpose(1, 2) for way in (self.query, self.key, self.value))
            scores = torch.matmul(rotated(q, *turn), rotated(k, *turn).transpose(2, 3)) * size**-0.5
            mixed = torch.matmul(torch.softmax(scores + mask, -1), v)
            return self.output(mixed.transpose(1, 2).reshape(x.shape))  # type: ignore[no-any-return, unused-ignore]

    return Attention


def _llama_layer(config: Config) -> Any:
    """Attention and a gated FFN, each with its norm before it."""
    import torch
    from torch import nn

    linear, norm, attention = partial(nn.Linear, bias=False), _llama_norm(config), _llama_attention(config)

    class Layer(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.attention_norm, self.attention, self.ffn_norm = norm(), attention(), norm()
            self.gate, self.up = linear(config.width, config.hidden), linear(config.width, config.hidden)
            self.down = linear(config.hidden, config.width)

        def forward(self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
            x = x + self.attention(self.attention_norm(x), turn, mask)
            h = self.ffn_norm(x)
            h = nn.functional.silu(self.gate(h)) * self.up(h)
            return x + self.down(h)  # type: ignore[no-any-return, unused-ignore]

    return Layer
