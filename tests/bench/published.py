"""Models as they are published once pruned, without the channels that do nothing: beside those never made with them.

`python tests/bench/published.py [--only ROW ...] [--save]` prints each figure beside its target; `--save` also writes
them to `tests/bench/results/`. Times are medians of calls in turns on one thread of the CPU, by processor time; each
rewritten model is held against the original first. `random` is the slow truth about 500 random networks: every
channel disturbed by itself, and why each that does nothing goes or stays. `plan` is what a plan of 124 M parameters
takes beside a session of them.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import torch
from figures import Figure, at_least, at_most, bench, reported
from main_job import language_model
from pruned_experts import Experts
from pruned_networks import Encoder, MobileNet, ResNet, exported, kill
from published_formats import BLOCK, four_bits, quantised, quantised_while_running
from raced import FOLDER, Setting, bound, require_equal, turns

import scission
from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels

sys.path.append(str(Path(__file__).parents[1] / "support"))

from idle_channels import Fate, account
from idle_networks import network
from perturbed import run

ALONE = Setting(provider="cpu", threads=1, tune=False, picture=Path())
SHARE = 0.3  # of the channels of nets of convolutions
TOKENS = 64
PICTURE = 96  # pixels along a side
TARGET, FORMATS = 0.97, 0.95  # never there over what is left: of plain models, and of those in other formats
GRAPHS = 500
ROUNDING = 2e-5  # of the largest output, or of what is inside of the networks where it cancels
INSIDE = 4.0
SESSIONS = 5  # of one model, of which the fastest counts
STEP = 0.004  # of what is written in 8 bits
SECONDS = 5.0  # of calls for one ratio


Format: TypeAlias = Callable[[onnx.ModelProto, np.ndarray], onnx.ModelProto]


def _plain(model: onnx.ModelProto, x: np.ndarray) -> onnx.ModelProto:
    return model


def encoder(
    name: str,
    sizes: Encoder,
    target: float,
    half: bool = False,
    to: Format = _plain,
    stepped: bool = False,
    dynamo: bool = False,
) -> Iterator[Figure]:
    """Two layers, 8 sequences of 64; stepped: activations are rounded to integers.

    Of these sizes are closed: ONNX Runtime fuses norms of sums whose shapes it knows, which takes longer than not to.
    """
    torch.manual_seed(0)
    x = torch.randn(8, 64, sizes.width)
    nets = sizes.pruned(np.random.default_rng(0)), sizes.never_there()
    pair = [to(exported(net, x, half=half, closed=stepped, dynamo=dynamo), x.numpy()) for net in nets]
    yield from _figures(name, pair, x.half() if half else x, target, stepped)


def convolutions(name: str, build: Callable[[float], torch.nn.Module], folded: bool) -> Iterator[Figure]:
    """One picture; channels that are added to one another are dead together."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, PICTURE, PICTURE)
    pruned = build(0.0)
    kill(pruned, SHARE, np.random.default_rng(0))
    yield from _figures(name, [exported(net, x, folded=folded) for net in (pruned, build(SHARE))], x, TARGET)


def experts(name: str, packed: bool) -> Iterator[Figure]:
    """8 experts 256 -> 1024 -> 256, two for each of 64 tokens, half of whose hidden units nobody reads."""
    sizes, rng = Experts(), np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((TOKENS, sizes.width), np.float32))
    yield from _figures(name, sizes.pair(packed), x, TARGET)


def _figures(
    name: str, pair: Sequence[onnx.ModelProto], x: torch.Tensor, target: float, stepped: bool = False
) -> Iterator[Figure]:
    """What becomes of the first of two models beside the second, in which the dead channels were never there."""
    FOLDER.mkdir(exist_ok=True)
    stem = name.replace(" ", "-").replace(",", "")
    before, never, after = (FOLDER / f"published-{stem}.{kind}.onnx" for kind in ("pruned", "never", "cut"))
    for model, path in zip(pair, (before, never), strict=True):
        onnx.save(model, path)
    named = [dim.dim_param for dim in pair[0].graph.input[0].type.tensor_type.shape.dim]
    sizes = {named[1]: x.shape[1]} if x.ndim == 3 and named[1] else None
    batch = None if stepped else [len(x)]
    plan = scission.plan(before, provider="cpu", threads=1, batch=batch, sizes=sizes)
    scission.apply(before, plan, after, overwrite=True)
    feeds = {"x": x.numpy()}
    if stepped:
        # The sums of integers are the same. Functions between them are not, in the last bit, where another number of
        # channels is computed in other lanes; what then is rounded to the other side is a step apart.
        one, other = (run(onnx.load(path), feeds)[0].astype(np.float64) for path in (before, after))
        share = float(np.sqrt(((one - other) ** 2).mean() / (one**2).mean()))
        yield at_most(name, "root mean square of what differs / of the output", share, STEP)
    else:
        require_equal(before, after, feeds, ALONE)
    models = {"original": before, "cut": after, "never": never}
    # Where a session happens to put a packed weight of integers, products take one time or four times that.
    count = SESSIONS if stepped else 1
    calls = {f"{key} {again}": bound(path, feeds, ALONE) for again in range(count) for key, path in models.items()}
    times = turns(calls, SECONDS * count, math.inf, time.process_time)
    taken = {key: min(times[f"{key} {again}"] for again in range(count)) for key in models}
    yield reported(name, "ms, original", taken["original"] * 1e3)
    yield reported(name, "never there / original", taken["never"] / taken["original"])
    yield at_least(name, "never there / without dead channels", taken["never"] / taken["cut"], target)
    yield reported(name, "original / without dead channels", taken["original"] / taken["cut"])
    share = _stored(after) / _stored(never)
    yield at_most(name, "bytes of weights, without dead channels / never there", share, 1.1)


def _stored(path: Path) -> int:
    """Bytes of the weights of a model."""
    return sum(one.ByteSize() for one in onnx.load(path).graph.initializer)


def graphs() -> Iterator[Figure]:
    """Random networks, and the slow truth about each channel that was planted dead or constant, or alive.

    A channel is covered unless what the model is keeps it: `Fate` has the reasons, each with its count.
    """
    row = f"{GRAPHS} random graphs"
    told: Counter[str] = Counter()
    for seed in range(GRAPHS):
        told += _judged(seed)
    idle = sum(count for fate, count in told.items() if fate not in ("all", "wrong", "different"))
    yield reported(row, "channels looked at", told["all"])
    yield reported(row, "dead or constant by the slow truth", idle)
    for fate in sorted(set(told) - {"all", "wrong", "different", Fate.MISSED}):
        yield reported(row, fate, told[fate])
    covered = told[Fate.GOES] + told[Fate.MISSED]
    yield at_least(row, "share that goes of those that the rules cover", told[Fate.GOES] / covered, 1)
    yield at_most(row, "found that do something", told["wrong"], 0)
    yield at_most(row, "models whose outputs differ", told["different"], 0)


def _judged(seed: int) -> Counter[str]:
    """Channels of one network by fate, how many there are, and how many are found wrongly."""
    proto, feeds, made = network(seed)
    model = load(proto)
    found = find(model.graph, Target(), lambda: settings_at(input_dims(model.graph)))
    told: Counter[str] = Counter()
    if found:
        before, after = (run(one, feeds)[0] for one in (proto, ir.to_proto(remove_channels(model.graph, found))))
        told["different"] += not np.abs(before - after).max() <= ROUNDING * max(np.abs(before).max(), INSIDE)
    for fate, count in account(proto, feeds, made.watched).items():
        told[f"{fate[0]}: {fate[1]}" if isinstance(fate, tuple) else fate] += count
    return told


BERT = Encoder()
# Where activations are rounded to integers, only zeros go: what a bias made of constants would be rounded otherwise.
ZEROS = replace(BERT, constants=False, run=16)
NETS = {"ResNet": ResNet, "MobileNet": MobileNet}
ROWS: dict[str, Callable[[], Iterator[Figure]]] = {
    "bert": functools.partial(encoder, "BERT-like", BERT, TARGET),
    "bert-fp16": functools.partial(encoder, "BERT-like, fp16", BERT, FORMATS, half=True),
    "bert-qdq": functools.partial(encoder, "BERT-like, QDQ int8", ZEROS, FORMATS, to=quantised, stepped=True),
    "bert-qlinear": functools.partial(
        encoder,
        "BERT-like, QLinearMatMul",
        ZEROS,
        FORMATS,
        to=functools.partial(quantised, operators=True),
        stepped=True,
    ),
    "bert-dynamic": functools.partial(
        encoder, "BERT-like, MatMulInteger", ZEROS, FORMATS, to=quantised_while_running, stepped=True
    ),
    "bert-4bit": functools.partial(encoder, "BERT-like, MatMulNBits", replace(BERT, run=BLOCK), FORMATS, to=four_bits),
    "bert-grouped": functools.partial(
        encoder, "BERT-like, grouped queries", replace(BERT, served=2, dead_heads=4), FORMATS, dynamo=True
    ),
    "bert-grouped-script": functools.partial(
        encoder, "BERT-like, grouped queries, TorchScript", replace(BERT, served=2, dead_heads=4), FORMATS
    ),
    "bert-dynamo": functools.partial(encoder, "BERT-like, dynamo", BERT, FORMATS, dynamo=True),
    "bert-gated": functools.partial(encoder, "BERT-like, gated", replace(BERT, gated=True), FORMATS),
    **{
        f"{name.lower()}{'' if folded else '-norms'}": functools.partial(
            convolutions, f"{name}-like, norms {'folded' if folded else 'kept'}", build, folded
        )
        for name, build in NETS.items()
        for folded in (True, False)
    },
    "moe": functools.partial(experts, "MoE", False),
    "qmoe": functools.partial(experts, "QMoE, 4 bits", True),
    "plan": functools.partial(language_model, "cpu"),
    "random": graphs,
}

if __name__ == "__main__":
    sys.exit(bench("published", __doc__.splitlines()[0], ROWS))
