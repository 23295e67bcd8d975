"""A BERT of which heads and hidden units were pruned by masks, which leaves zeros, and the narrower one they stand for.

python examples/pruned_bert.py [FOLDER]

Its weights are random, so that nothing is downloaded; needs torch and transformers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from folder import folder
from transformers import BertConfig, BertModel

import scission

HIDDEN, HEADS, UNITS, LAYERS = 64, 8, 256, 2
KEPT_HEADS, KEPT_UNITS = 2, 64


class Encoder(torch.nn.Module):
    """The layers of a BERT, without its embeddings, which say nothing of pruning."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = BertConfig(
            hidden_size=HIDDEN,
            num_attention_heads=HEADS,
            intermediate_size=UNITS,
            num_hidden_layers=LAYERS,
            vocab_size=8,
            attn_implementation="eager",
        )
        self.layers = BertModel(config).encoder.layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (sentences, tokens, HIDDEN)."""
        for layer in self.layers:
            made = layer(x)
            x = made[0] if isinstance(made, tuple) else made
        return x


@torch.no_grad()
def prune(model: Encoder) -> None:
    """Mask all but a few heads and hidden units of every layer, in no order that an eye could see."""
    size = HIDDEN // HEADS
    for layer in model.layers:
        heads, units = torch.randperm(HEADS)[KEPT_HEADS:], torch.randperm(UNITS)[KEPT_UNITS:]
        value, up = layer.attention.self.value, layer.intermediate.dense
        for head in heads.tolist():
            own = slice(head * size, (head + 1) * size)
            value.weight[own], value.bias[own] = 0, 0
        up.weight[units], up.bias[units] = 0, 0


def products(path: Path) -> list[tuple[int, ...]]:
    """The shapes of the weights of a file that are matrices."""
    graph = onnx.load(path).graph
    return sorted((tuple(one.dims) for one in graph.initializer if len(one.dims) == 2), reverse=True)


def main(here: Path) -> None:
    """Export it, let scission leave out what does nothing, and print how many weights there are before and after."""
    model = Encoder().eval()
    prune(model)
    x = torch.randn(2, 16, HIDDEN)
    torch.onnx.export(model, (x,), here / "masked.onnx", dynamo=False, input_names=["x"], output_names=["y"])
    result = scission.optimize(here / "masked.onnx", here / "pruned.onnx", bench=False, force=True, overwrite=True)
    assert result.outcome == "split" and result.verdict is not None and result.verdict.equal
    before, after = (
        sum(rows * columns for rows, columns in products(here / name)) for name in ("masked.onnx", "pruned.onnx")
    )
    print(f"{before} weights in products became {after}, proved equal")


if __name__ == "__main__":
    main(folder(sys.argv))
