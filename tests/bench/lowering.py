"""What splitting gains beside what it could gain: planted blocks, whole models, other formats, the planner's choices.

`python tests/bench/lowering.py [--only ROW ...] [--provider cpu|cuda] [--threads N] [--tune] [--save]` prints each
figure beside its target; `--save` also writes them to `tests/bench/results/`. The limit is that of arithmetic, dense
multiply-adds over those of the blocks; for whole models what ONNX Runtime's profiler leaves of it, T / (T_other + the
sum of every T_linear times its share of multiply-adds). Ratios are medians over interleaved rounds. Every output is
compared with that of the dense model before it is timed, and a wrong one ends the run, except in `zoo`, which counts
them. Models are built once into `.bench/` (3 GB, on CUDA 4 GB); then a run takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, missed, reported, result_file, save, show, told
from lowering_choice import choices, zoo
from lowering_forest import forests
from lowering_formats import formats
from lowering_gpu import grid, large, small
from profiled import limit, node_seconds
from raced import FOLDER, Setting, faster, made, product, rewritten

from scission.models.matrix import weight
from scission.models.networks import transformer as planted_transformer
from scission.models.planted import ffn as planted_ffn

LAYERS = 4
VOCABULARY = 1000


def ffns(setting: Setting) -> Iterator[Figure]:
    """FFN 2048-8192-2048 with GELU in 4 and 16 blocks, 128 rows."""
    feeds = {"x": np.random.default_rng(0).standard_normal((128, 2048), np.float32)}
    for blocks, target in ((4, 0.95), (16, 0.85)):
        for shuffle in (True, False):
            row = f"FFN 2048-8192, {blocks} blocks{', shuffled' * shuffle}"
            path = made(f"ffn-2048-{blocks}-{shuffle}.onnx", lambda p, b=blocks, s=shuffle: ffn(p, 2048, b, s))
            pair = rewritten(path, feeds, 128, setting)
            speedup = faster(pair, feeds, setting, seconds=3)
            whole = limit(node_seconds(path, feeds, setting.threads), dict.fromkeys(("up", "down"), 1 / blocks))
            yield share(row, f"batch 128, {pair.lowerings}", speedup, blocks, target if shuffle else None)
            yield share(row, "batch 128, whole model", speedup, whole)


def matmuls(setting: Setting) -> Iterator[Figure]:
    """One MatMul 4096 x 4096 in 16 blocks, 256 rows and one."""
    for shuffle, target in ((False, 0.75), (True, 0.6)):
        row = f"MatMul 4096, 16 blocks{', shuffled' * shuffle}"
        path = made(f"matmul-4096-16-{shuffle}.onnx", lambda p, s=shuffle: square(p, 4096, 16, s))
        for batch in (256, 1):
            feeds = {"x": np.random.default_rng(0).standard_normal((batch, 4096), np.float32)}
            pair = rewritten(path, feeds, batch, setting)
            yield share(row, f"batch {batch}, {pair.lowerings}", faster(pair, feeds, setting), 16, target)


def bert(setting: Setting) -> Iterator[Figure]:
    """Layers of BERT-base, FFN in 8 blocks and attention in 4, 128 tokens."""
    yield from transformers("bert", (128,), 0.85, setting)


def llama(setting: Setting) -> Iterator[Figure]:
    """Layers as in Llama, FFN in 8 blocks and attention in 4, one token and 512."""
    yield from transformers("llama", (1, 512), 0.8, setting)


def transformers(kind: str, lengths: tuple[int, ...], target: float, setting: Setting) -> Iterator[Figure]:
    """Whole models: their residual features have one order (with a target), or one for each part."""
    for order in ("shared", "own"):
        row = f"{kind}, {LAYERS} layers, {order} order"
        path = made(f"{kind}-{LAYERS}-{order}.onnx", lambda p, o=order: transformer(p, kind, o))
        shares = json.loads(path.with_suffix(".json").read_text())
        for length in lengths:
            feeds = {"input_ids": np.random.default_rng(0).integers(0, VOCABULARY, (1, length))}
            pair = rewritten(path, feeds, length, setting)
            speedup = faster(pair, feeds, setting, seconds=4)
            whole = limit(node_seconds(path, feeds, setting.threads), shares)
            what = f"{length} token{'s' * (length > 1)}, {pair.lowerings}"
            yield share(row, what, speedup, whole, target if order == "shared" else None)


def share(row: str, what: str, speedup: float, of: float, target: float | None = None) -> Figure:
    """The speed-up as a share of what is possible, beside its target where there is one."""
    what = f"{what}: {speedup:.2f}x of {of:.2f}x"
    return reported(row, what, speedup / of) if target is None else at_least(row, what, speedup / of, target)


def ffn(path: Path, d: int, blocks: int, shuffle: bool) -> None:
    onnx.save(planted_ffn.build(np.random.default_rng(0), d, 4 * d, blocks, shuffle=shuffle).model, path)


def square(path: Path, size: int, blocks: int, shuffle: bool) -> None:
    W, _ = weight(np.random.default_rng(0), [(size // blocks, size // blocks)] * blocks, contiguous=not shuffle)
    onnx.save(product(W), path)


def transformer(path: Path, kind: str, order: str) -> None:
    """The model, and beside it the share of multiply-adds in the blocks of each planted linear."""
    build = {"bert": planted_transformer.bert, "llama": planted_transformer.llama}[kind]
    truth = build(path, np.random.default_rng(0), layers=LAYERS, order=order, vocabulary=VOCABULARY).truth
    path.with_suffix(".json").write_text(json.dumps({name: found.mac_share for name, found in truth.items()}))


CPU = {"ffn": ffns, "matmul": matmuls, "bert": bert, "llama": llama, "forest": forests, "formats": formats}
CUDA = {"large": large, "small": small, "grid": grid}
BOTH = {"zoo": zoo, "choice": choices}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[*CPU, *CUDA, *BOTH], help="rows; those of the provider else")
    parser.add_argument("--provider", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tune", action="store_true", help="tune the plans; those of `choice` are anyway")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    rows: dict[str, Callable[[Setting], Iterator[Figure]]] = (CUDA if options.provider == "cuda" else CPU) | BOTH
    if strange := [row for row in options.only or () if row not in rows]:
        parser.error(f"{', '.join(strange)}: no row of --provider {options.provider}")
    FOLDER.mkdir(exist_ok=True)
    picture = result_file("lowering", options.provider, ".svg") if options.save else FOLDER / "lowering.svg"
    setting = Setting(options.provider, options.threads, options.tune, picture)
    figures = told(figure for row in options.only or rows for figure in rows[row](setting))
    show(figures)
    if options.save:
        save("lowering", figures, options.provider)
    return int(missed(figures))


if __name__ == "__main__":
    sys.exit(main())
