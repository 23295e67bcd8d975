"""Transformers as PyTorch exports them, with blocks planted in the projections of attention and in the FFNs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import onnx

from ...ir.errors import ModelError
from ...ir.graph.survey import survey
from ...ir.io.load import load
from ...ir.plan.plan import Decomposition
from ..matrix import Array
from ..planted.ffn import groups, weight_between
from ..planted.products import Planted
from ..trained.minilm import _quiet
from .transformer_modules import CLASSES, POSITIONS, Config, Kind, Order, bert_module, llama_module

__all__ = ["Config", "Kind", "Order", "bert", "llama", "network", "weights"]


class Others(TypedDict, total=False):
    """The fields of a `Config` that have a default for every kind."""

    layers: int
    attention_blocks: int
    ffn_blocks: int
    order: Order
    vocabulary: int
    interface: bool


Planned = tuple[str, list[Array], list[Array]]  # the name of a linear, groups of its inputs, groups of its outputs


def bert(
    path: str | os.PathLike[str] | None,
    rng: np.random.Generator,
    *,
    width: int = 768,
    heads: int = 12,
    hidden: int = 3072,
    **others: Unpack[Others],
) -> Planted:
    """An encoder of BERT's architecture in float32, exported by PyTorch's dynamo exporter, and written to a path.

    input_ids (batch, sequence) int64, at most 512 positions and no mask, to logits (batch, sequence, 16): a dense
    classifier of every position, so that no interface carries the residual features. interface: hidden_states to
    last_hidden_state, both (batch, sequence, width), instead. Query, key, value and output are block diagonal, a block
    owning whole heads; so is each FFN, its hidden units shuffled.

    order: 'shared', the residual features are partitioned once, under one hidden permutation, into the blocks of every
    FFN, and unions of those are the blocks of every attention, the one state set of the paper; 'own', each attention
    and each FFN has a partition of its own under a permutation of its own; 'natural', nothing is shuffled. Truth: by
    address, of every linear but the classifier. Raises ValueError when sizes do not make equal blocks, ImportError when
    the extra `minilm` is not installed. Source: Devlin et al., BERT, 2018; the base size by default, 2 layers of 12.
    """
    config = Config(kind="bert", width=width, heads=heads, hidden=hidden, **others)
    return _export(path, rng, config)


def llama(
    path: str | os.PathLike[str] | None,
    rng: np.random.Generator,
    *,
    width: int = 1024,
    heads: int = 16,
    hidden: int = 2816,
    **others: Unpack[Others],
) -> Planted:
    """A decoder of Llama's architecture in float32, exported by PyTorch's dynamo exporter, and written to a path.

    input_ids (batch, sequence) int64, of any length and without a cache, to logits (batch, sequence, vocabulary) of a
    dense head. RMSNorm before each part, rotary positions in halves, a causal mask, SiLU gates, no biases. The rest is
    as in `bert`; a gate has the blocks of the up projection beside it. Source: Touvron et al., LLaMA, 2023.
    """
    config = Config(kind="llama", width=width, heads=heads, hidden=hidden, **others)
    return _export(path, rng, config)


def weights(rng: np.random.Generator, config: Config) -> tuple[dict[str, Array], dict[str, Decomposition]]:
    """(All parameters by torch's names, the truth about the planted ones), float32, those of linears as (N, K).

    >>> config = Config(
    ...     kind="llama", layers=1, width=8, heads=4, hidden=8, attention_blocks=2, ffn_blocks=4, order="shared",
    ...     vocabulary=5, interface=True,
    ... )
    >>> parameters, truth = weights(np.random.default_rng(0), config)
    >>> [name for name in parameters if name not in truth]
    ['layers.0.attention_norm.weight', 'layers.0.ffn_norm.weight', 'norm.weight']
    >>> [len(truth[f"layers.0.{part}.weight"].blocks) for part in ("attention.query", "up")]
    [2, 4]
    """
    width, biased = config.width, config.kind == "bert"
    parameters: dict[str, Array] = {}
    truth: dict[str, Decomposition] = {}

    def add(name: str, mean: float, deviation: float, *size: int) -> None:
        values = rng.standard_normal(size, np.float32)
        parameters[name] = values * np.float32(deviation) + np.float32(mean)

    def normalise(name: str) -> None:
        add(f"{name}.weight", 1, 0.1, width)
        if biased:
            add(f"{name}.bias", 0, 0.1, width)

    if not config.interface:
        add("words.weight", 0, 1, config.vocabulary, width)
    if biased and not config.interface:
        add("positions.weight", 0, 1, POSITIONS, width)
        normalise("norm")
    for name, inputs, outputs in _planned(rng, config):
        W, truth[f"{name}.weight"] = weight_between(rng, inputs, outputs)
        parameters[f"{name}.weight"] = np.ascontiguousarray(W.T)
        if biased:
            add(f"{name}.bias", 0, 0.1, W.shape[1])
    for layer in range(config.layers):
        normalise(f"layers.{layer}.attention_norm")
        normalise(f"layers.{layer}.ffn_norm")
    if not biased:
        normalise("norm")
    if not config.interface:
        classes = CLASSES if biased else config.vocabulary
        add("head.weight", 0, width**-0.5, classes, width)
        if biased:
            add("head.bias", 0, 0.1, classes)
    return parameters, truth


def network(config: Config, parameters: Mapping[str, Array]) -> Any:
    """The torch.nn.Module with these parameters, in evaluation mode and without gradients; it shares their memory.

    Raises ImportError when the extra `minilm` is not installed.
    """
    torch = _torch()
    with torch.device("meta"):  # nothing is drawn only to be replaced
        net = (bert_module if config.kind == "bert" else llama_module)(config)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in parameters.items()}, assign=True)
    return net.eval().requires_grad_(False)


def _planned(rng: np.random.Generator, config: Config) -> Iterator[Planned]:
    """Which features each planted linear joins, layer by layer."""
    shuffle = config.order != "natural"
    width = partial(groups, rng, config.width, shuffle=shuffle)
    common = width(config.ffn_blocks)
    for layer in range(config.layers):
        residual, states = width(config.attention_blocks), width(config.ffn_blocks)
        if config.order == "shared":
            residual, states = _unions(common, config.attention_blocks), common
        heads = [_of_heads(some, config) for some in groups(rng, config.heads, config.attention_blocks, shuffle)]
        units = groups(rng, config.hidden, config.ffn_blocks, shuffle)
        for part in ("query", "key", "value"):
            yield f"layers.{layer}.attention.{part}", residual, heads
        yield f"layers.{layer}.attention.output", heads, residual
        for part in ("up",) if config.kind == "bert" else ("gate", "up"):
            yield f"layers.{layer}.{part}", states, units
        yield f"layers.{layer}.down", units, states


def _unions(parts: list[Array], count: int) -> list[Array]:
    """Groups of neighbouring parts, as many as asked for."""
    step = len(parts) // count
    return [np.concatenate(parts[start : start + step]) for start in range(0, len(parts), step)]


def _of_heads(heads: Array, config: Config) -> Array:
    """The features of some heads."""
    size = config.width // config.heads
    return (heads[:, None] * size + np.arange(size)).ravel()


def _torch() -> Any:
    """PyTorch, where its exporter can be used as well."""
    try:
        import onnxscript  # noqa: F401  torch imports it late and says less
        import torch
    except ImportError as error:
        message = f"planted transformers need {error.name}: pip install torch onnxscript"
        raise ImportError(message, name=error.name) from error
    return torch


def _export(path: str | os.PathLike[str] | None, rng: np.random.Generator, config: Config) -> Planted:
    """The model with random weights, as torch writes it, and its truth by address."""
    torch = _torch()
    parameters, truth = weights(rng, config)
    net = network(config, parameters)
    example = torch.zeros(2, 16, config.width) if config.interface else torch.zeros(2, 16, dtype=torch.long)
    with _quiet():
        program = torch.onnx.export(
            net,
            (example,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")},),
            input_names=["hidden_states" if config.interface else "input_ids"],
            output_names=["last_hidden_state" if config.interface else "logits"],
        )
    assert program is not None  # so it is typed for the old exporter's sake
    if path is not None:
        program.save(Path(path), external_data=False)
    model = program.model_proto
    return Planted(model, _addressed(model, {_digest(parameters[name].T): truth[name] for name in truth}))


def _addressed(model: onnx.ModelProto, truth: Mapping[str, Decomposition]) -> dict[str, Decomposition]:
    """The truth by address, given that by digest of the canonical weight: the exporter renames what it transposes.

    Raises ModelError when a planted weight is not that of a linear.
    """
    found = survey(load(model).graph)
    digests = {linear.address: _digest(linear.canonical(found.constants)) for linear in found.linears}
    addressed = {address: truth[digest] for address, digest in digests.items() if digest in truth}
    if len(addressed) != len(truth):
        raise ModelError(f"{len(truth)} weights were planted, but {len(addressed)} are found in what torch exported")
    return addressed


def _digest(W: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(W).tobytes()).hexdigest()
