"""What a CUDA machine is asked, the most important first; every part also runs tiny on a CPU, to show that it runs.

A part yields figures as they are measured. Models are compared with their originals before they are timed, as the other
benches do, and timed as CUDA graphs where they can be recorded.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import closure
import numpy as np
import onnx
import torch
from figures import Figure, at_least, at_most, reported
from lowering import transformer
from lowering_gpu import WIDTH, half
from published_forests import lowered
from raced import FOLDER, Rewritten, Setting, bound, made, product, raced, require_equal, rewritten, turns

import scission
from scission.models.networks import transformer as planted_transformer
from scission.models.networks.atoms import atoms
from scission.models.planted import products as planted
from scission.models.sketch import Sketch
from scission.passes.connectivity.tensor_cores.products import why_not
from scission.passes.connectivity.tensor_cores.squares import Squares
from scission.passes.connectivity.tensor_cores.tiles import TILES, Tile, fastest
from scission.runtime.measure.race import race

FFNS = {4096: (2.5, 3.0), 128: (2.6, 3.2), 1: (3.2, 4.5)}  # rows: the targets for 8 and for 32 blocks
BATCH, TOKENS = 32, 128
SLOWEST = 0.98
ZOO_SIZES = ((128, 96),) * 8


@dataclass(frozen=True)
class Scale:
    """dry: tiny sizes, on the CPU where there is no device."""

    dry: bool

    @property
    def setting(self) -> Setting:
        """Where models run."""
        provider = "cuda" if torch.cuda.is_available() else "cpu"
        return Setting(provider, threads=os.cpu_count() or 1, tune=False, picture=Path(), dry=self.dry)

    def of(self, real: int, dry: int) -> int:
        """A size."""
        return dry if self.dry else real


def networks(scale: Scale) -> Iterator[Figure]:
    """A float16 FFN with its hidden units shuffled, in 8 and in 32 blocks."""
    width = scale.of(WIDTH, 64)
    for rows, targets in FFNS.items():
        for blocks, target in zip((8, 32), targets, strict=True):
            pair, feeds = half(blocks, scale.of(rows, min(rows, 4)), scale.setting, width)
            found = raced(pair, feeds, scale.setting, seconds=0.05 if scale.dry else 1.5)
            how = "as CUDA graphs" if found.cuda_graph else "not as CUDA graphs"
            what = f"{rows} rows, {pair.lowerings}, {how}: speed-up"
            yield at_least(f"FFN {width}-{4 * width} fp16, {blocks} blocks", what, found.paired["split"].median, target)


def biases(scale: Scale) -> Iterator[Figure]:
    """Whether the bias of stacked blocks is better added, or a row of their weight that a column of ones meets.

    By the prices of an H200 in 16 bits an Add of N outputs takes 3.4 ps each, and a Pad of K inputs, which no table
    has, 2.9 ps each if it is a copy. So nothing is won where K = N, more is lost than won where a network narrows, and
    where it widens, as measured here, a Pad as fast as a copy would save 180 of 710 us at 4096 rows and 5 at 128. In
    float32 TF32 would round the bias. Lowerings add it, until this row says otherwise.
    """
    width, blocks = scale.of(WIDTH, 64), 8
    for rows in (4096, 128, 1)[: scale.of(3, 1)]:
        x = np.random.default_rng(0).standard_normal((scale.of(rows, 5), width), np.float32).astype(np.float16)
        paths = {}
        for way in ("added", "row"):
            paths[way] = _saved(biased_stack(width, 4 * width, blocks, row=way == "row"), FOLDER / f"bias-{way}.onnx")
        require_equal(paths["added"], paths["row"], {"x": x}, scale.setting)
        trials = scission.Trials(provider=scale.setting.provider, seconds=0.05 if scale.dry else 1.0)
        found = race(paths, {"x": x}, trials=trials, precision=None)
        seconds = {way: found.timings[way].latency.median for way in paths}
        for way, taken in seconds.items():
            yield reported("bias of a stack", f"{rows} rows, {way}: us", taken * 1e6)
        yield reported("bias of a stack", f"{rows} rows: added / row", seconds["added"] / seconds["row"])


def closures(scale: Scale) -> Iterator[Figure]:
    """The closure's share of torch's product, and the memory that it takes."""
    for n, target in ((16384, 0.85), (4096, 0.75)):
        yield from _figures("closure", closure.share_of_rate(scale.of(n, n // 128), target))


def dense(scale: Scale) -> Iterator[Figure]:
    """The node table of a dense digraph."""
    yield from _figures("node table", closure.dense_of(scale.of(8192, 128)))


def stream(scale: Scale) -> Iterator[Figure]:
    """The weights of a model of 7 billion parameters."""
    sizes = (64, 176, 500, 2) if scale.dry else (4096, 11008, 32000, 32)
    yield from _figures("analysis", closure.streamed(*sizes))


def transformers(scale: Scale) -> Iterator[Figure]:
    """Planted BERT and Llama in float16 with their sizes fixed, as CUDA graphs, beside the limit of arithmetic."""
    batch, tokens = scale.of(BATCH, 2), scale.of(TOKENS, 8)
    feeds = {"input_ids": np.random.default_rng(0).integers(0, 50, (batch, tokens))}
    sizes = {"batch": batch, "sequence": tokens}
    for kind in ("bert", "llama"):
        floats = made(f"{kind}-gpu-{scale.dry}.onnx", lambda p, k=kind: _transformer(p, k, scale))
        path = floats.with_suffix(".fp16.onnx")
        halves = halved(onnx.load(floats))
        scission.fix_shapes(_saved(halves, floats.with_suffix(".open.onnx")), sizes, path, overwrite=True)
        pair = rewritten(path, feeds, batch * tokens, scale.setting)
        found = raced(pair, feeds, scale.setting, seconds=0.05 if scale.dry else 3.0)
        limit = _limit(pair, found.timings["dense"].latency.median, batch * tokens, scale)
        gain = found.paired["split"].median
        how = "as CUDA graphs" if found.cuda_graph else f"not as CUDA graphs ({found.cuda_graph_reason})"
        what = f"{batch} x {tokens} tokens, {pair.lowerings}, {how}: {gain:.2f}x of {limit:.2f}x"
        yield at_least(f"planted {kind}, fp16", what, gain / limit, 0.7)


def kinds(scale: Scale) -> Iterator[Figure]:
    """Every planted kind as `optimize` hands it back: none fails, none is slower."""
    setting, failed, gains = scale.setting, [], {}
    trials = scission.Trials(provider=setting.provider, threads=setting.threads, seconds=0.05 if scale.dry else 0.3)
    for kind in planted.KINDS[:: scale.of(1, 24)]:
        sizes = ((6, 5),) * 3 if scale.dry else ZOO_SIZES
        model = planted.build(np.random.default_rng(1), kind, sizes).model
        try:
            result = scission.optimize(model, trials=trials, cache=False, force=scale.dry)
            if result.outcome == "split":
                benches = scission.bench(model, result.model, trials=trials)
                gains[kind] = min(one.speedup for one in benches)
        except scission.ScissionError as error:
            failed.append(f"{kind}: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
    yield at_most(
        "planted kinds", f"plans that fail ({', '.join(one[:60] for one in failed) or 'none'})", len(failed), 0
    )
    slow = [kind for kind, gain in gains.items() if gain < SLOWEST]
    told = ", ".join(f"{kind} {gains[kind]:.2f}" for kind in slow) or "none"
    yield at_most("planted kinds", f"of {len(gains)} that were split, below {SLOWEST} ({told})", len(slow), 0)


def forests(scale: Scale) -> Iterator[Figure]:
    """TreeEnsembleClassifier on all cores beside plain operators on the device."""
    if scale.dry:
        yield from lowered(trees_each=6, leaves=8, batches=(16,), seconds=0.05)
    else:
        yield from lowered()


def ensembles(scale: Scale) -> Iterator[Figure]:
    """8 small networks for each of 7 slices of one input: launches, and time."""
    path = made("atoms.onnx", lambda p: onnx.save(atoms(np.random.default_rng(0)), p))
    for rows in (1, 64, 4096)[: scale.of(3, 1)]:
        feeds = {"x": np.random.default_rng(0).standard_normal((rows, 112), np.float32)}
        pair = rewritten(path, feeds, rows, scale.setting)
        before, after = (len(onnx.load(one).graph.node) for one in (pair.dense, pair.split))
        yield at_most("8 x 7 networks", f"{rows} rows: share of {before} launches left", after / before, 0.25)
        found = raced(pair, feeds, scale.setting, seconds=0.05 if scale.dry else 1.0)
        yield at_least("8 x 7 networks", f"{rows} rows: speed-up", found.paired["split"].median, 1.5)


def tiles(scale: Scale) -> Iterator[Figure]:
    """Every tile of the kernel for Boolean products, squaring one relation; the fastest, and its share of fp8."""
    device = torch.device(closure.DEVICE)
    if reason := why_not(device):
        print(f"the kernel is not used: {reason}", flush=True)
        return
    for n in (16384, 8192, 4096, 2048) if not scale.dry else (40,):
        R = (torch.rand(n, n, device=device) < 1.5 / n).fill_diagonal_(True)
        best, taken = fastest(functools.partial(_square_seconds, R), TILES[: scale.of(len(TILES), 1)])
        for tile, seconds in taken.items():
            yield reported(f"square n {n}", f"{tile}: TFLOP/s", 2 * n**3 / seconds / 1e12)
        if device.type == "cuda":
            plain = closure.interleaved({"fp8": closure.plain(R, "fp8")})["fp8"]
            yield reported(f"square n {n}", f"share of torch's fp8, {best}", plain / taken[best])


def tested(scale: Scale) -> Iterator[Figure]:
    """The tests that need CUDA."""
    run = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    where = ["tests/passes/connectivity/test_boolean.py"] if scale.dry else ["tests"]
    done = subprocess.run([*run, *where], capture_output=True, text=True)
    print(done.stdout[-2000:], flush=True)
    yield at_most(
        "tests marked gpu", "exit status (5: none was there)", 0 if done.returncode == 5 else done.returncode, 0
    )


PARTS: Mapping[str, Callable[[Scale], Iterator[Figure]]] = {
    "networks": networks,
    "bias": biases,
    "closure": closures,
    "dense": dense,
    "stream": stream,
    "kinds": kinds,
    "transformers": transformers,
    "forests": forests,
    "ensembles": ensembles,
    "tiles": tiles,
    "tests": tested,
}


def _figures(row: str, rows: closure.Rows) -> Iterator[Figure]:
    """Rows of the bench of closures."""
    for one in rows:
        more = ", ".join(
            f"{name} {one[name]}" for name in ("squarings", "fused", "ms", "gigabytes_per_second") if name in one
        )
        yield Figure(row, one["name"] + (f" ({more})" if more else ""), one["figure"], one["target"], one["met"])


def _saved(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


def _transformer(path: Path, kind: str, scale: Scale) -> None:
    if not scale.dry:
        transformer(path, kind, "shared")
        return
    build = {"bert": planted_transformer.bert, "llama": planted_transformer.llama}[kind]
    tiny = {"width": 32, "heads": 4, "hidden": 64, "layers": 1, "vocabulary": 50}
    build(path, np.random.default_rng(0), **tiny, attention_blocks=2, ffn_blocks=2)


def _limit(pair: Rewritten, whole: float, rows: int, scale: Scale) -> float:
    """How many times as fast the model would be if its linears took their share of multiply-adds and all else stayed.

    Each shape of a linear is timed by itself, as it runs in the model: dense, on as many rows, less an empty call.
    """
    shapes = {step.decomposition.shape for step in pair.plan.steps}
    feeds = {shape: np.ones((rows, shape[0]), np.float16) for shape in shapes}
    calls = {}
    for shape in shapes:
        path = FOLDER / f"product-{shape[0]}-{shape[1]}.onnx"
        calls[str(shape)] = bound(_saved(product(np.ones(shape, np.float16)), path), {"x": feeds[shape]}, scale.setting)
    empty = FOLDER / "product-empty.onnx"
    small = {"x": np.ones((1, 16), np.float16)}
    calls["empty"] = bound(_saved(product(np.ones((16, 16), np.float16)), empty), small, scale.setting)
    taken = turns(calls, seconds=0.1 if scale.dry else 2.0, drop=float("inf"))
    own = {shape: max(taken[str(shape)] - taken["empty"], 0.0) for shape in shapes}
    saved = sum(own[step.decomposition.shape] * (1 - step.decomposition.mac_share) for step in pair.plan.steps)
    return whole / max(whole - saved, 0.05 * whole)


def _square_seconds(R: torch.Tensor, tile: Tile) -> float | None:
    """Median seconds of a squaring with a tile; None where it does not fit the device."""
    squares = Squares(R.clone(), 64, tile)
    try:
        squares.square()
    except Exception as error:  # whatever the compiler and the driver raise
        print(f"{tile}: {type(error).__name__}: {error}", flush=True)
        return None
    return float(np.median([closure.clock(squares.square) for _ in range(20 if closure.CUDA else 1)]))


def biased_stack(width: int, hidden: int, blocks: int, *, row: bool) -> onnx.ModelProto:
    """x (M, width) to y (M, hidden) in blocks that follow one another, with a GELU, as `stacked` writes them.

    row: the bias is a row of the weight, and the input is padded with ones, as many as keep its width a multiple of 8.
    """
    sketch, k, n = Sketch(np.random.default_rng(0)), width // blocks, hidden // blocks
    weight = (sketch.normal((blocks, k, n)) / np.float32(np.sqrt(k))).astype(np.float16)
    bias = sketch.normal((blocks, 1, n)).astype(np.float16)
    pieces = sketch.op("Reshape", sketch.input("x", ["rows", width], np.float16), [0, blocks, k])
    turned = sketch.op("Transpose", pieces, perm=[1, 0, 2])
    if row:
        ones = np.concatenate([weight, bias, np.zeros((blocks, 7, n), np.float16)], axis=1)
        padded = sketch.op("Pad", turned, [0, 0, 0, 0, 0, 8], np.array(1, np.float16))
        summed = sketch.op("MatMul", padded, ones)
    else:
        summed = sketch.op("Add", sketch.op("MatMul", turned, weight), bias)
    back = sketch.op("Transpose", sketch.op("Gelu", summed, domain="com.microsoft"), perm=[1, 0, 2])
    sketch.output(sketch.op("Reshape", back, [0, hidden]), np.float16, ["rows", hidden])
    return sketch.model()


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 model in float16: constants, casts, inputs, outputs; what is beyond its range becomes the largest."""
    single, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    limit = float(np.finfo(np.float16).max)

    def narrow(tensor: onnx.TensorProto) -> None:
        if tensor.data_type == single:
            values = np.clip(onnx.numpy_helper.to_array(tensor), -limit, limit).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    for tensor in model.graph.initializer:
        narrow(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                narrow(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == single:
                attribute.i = half
    del model.graph.value_info[:]  # inferred again
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == single:
            value.type.tensor_type.elem_type = half
    return model
