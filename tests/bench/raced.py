"""A model beside what scission makes of it: built once, rewritten, checked, raced."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import scission
from scission.runtime.measure.race import Race, race
from scission.runtime.ort.library import Choice
from scission.runtime.ort.session import open_session
from scission.runtime.ort.trials import Trials

FOLDER = Path(".bench")
RTOL = {"float16": 2e-3}  # of the largest element; 2e-5 for all others
LEAST_ROUNDS = 5
HOPELESS_AFTER = 2

Feeds = Mapping[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where everything runs; tune: whether plans are tuned; picture: the file of the plot over batch and blocks; dry:
    whether all that splits is split, as on CUDA, to show on whatever is there that it runs."""

    provider: Choice
    threads: int
    tune: bool
    picture: Path
    dry: bool = False


@dataclass(frozen=True)
class Rewritten:
    """A dense model, its rewritten form, and the plan that was carried out."""

    dense: Path
    split: Path
    plan: scission.Plan

    @property
    def lowerings(self) -> str:
        """The lowerings in use and how often, for a line of text."""
        kinds = [step.lowering for step in self.plan.rewrites]
        return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "all dense"


def made(name: str, build: Callable[[Path], object]) -> Path:
    """A model built once."""
    path = FOLDER / name
    if not path.exists():
        FOLDER.mkdir(exist_ok=True)
        build(path)
    return path


def product(W: np.ndarray) -> onnx.ModelProto:
    """One MatMul, named "product", with W as its weight: x (rows, K) to y (rows, N)."""
    dtype = onnx.helper.np_dtype_to_tensor_dtype(W.dtype)
    x, y = (onnx.helper.make_tensor_value_info(n, dtype, ["M", s]) for n, s in zip("xy", W.shape, strict=True))
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    graph = onnx.helper.make_graph([node], "g", [x], [y], [onnx.numpy_helper.from_array(W, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


def rewritten(dense: Path, feeds: Feeds, rows: int, setting: Setting) -> Rewritten:
    """The model as planned for this number of activation rows, and found equal on these inputs."""
    plan = scission.plan(
        dense,
        provider="cuda" if setting.dry else setting.provider,
        threads=setting.threads,
        batch=[rows],
        force=setting.dry,
        tune=setting.tune,
        cache=False,
        forests=False,  # a compiled forest is there for its matrices
    )
    split = dense.with_suffix(f".split-{rows}.onnx")
    scission.apply(dense, plan, split, overwrite=True)
    require_equal(dense, split, feeds, setting)
    return Rewritten(dense, split, plan)


def require_equal(dense: Path, split: Path, feeds: Feeds, setting: Setting) -> None:
    """Raise ValueError where an output differs by more than rounding."""
    before, after = (
        open_session(path, provider=setting.provider, threads=setting.threads, tf32=False).run(feeds)
        for path in (dense, split)
    )
    for name in before:
        require_close(f"{split}: {name}", before[name], after[name])


def require_close(what: str, before: np.ndarray, after: np.ndarray) -> None:
    """Raise ValueError where two arrays differ by more than rounding; indices must be the same."""
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError(f"{what} is {after.dtype} {after.shape}, not {before.dtype} {before.shape}")
    floating = before.dtype.kind == "f"
    allowed = RTOL.get(before.dtype.name, 2e-5) * float(np.abs(before).max()) if floating else 0.0
    error = float(np.abs(before.astype(np.float64) - after.astype(np.float64)).max())
    if not error <= allowed:
        raise ValueError(f"{what} differs by {error:g} from that of the dense model, {allowed:g} is allowed")


def faster(pair: Rewritten, feeds: Feeds, setting: Setting, seconds: float = 2.0) -> float:
    """How many times faster the rewritten model is, the median over rounds in which both ran."""
    return raced(pair, feeds, setting, seconds).paired["split"].median


def raced(pair: Rewritten, feeds: Feeds, setting: Setting, seconds: float = 2.0) -> Race:
    """The dense model and its rewritten form on the same input, as CUDA graphs where there are some."""
    models = {"dense": pair.dense, "split": pair.split}
    trials = Trials(provider=setting.provider, threads=setting.threads, seconds=seconds)
    return race(models, feeds, trials=trials, precision=None)


def bound(model: Path, feeds: Feeds, setting: Setting) -> Callable[[], None]:
    """A call that runs a model on these inputs."""
    return open_session(model, provider=setting.provider, threads=setting.threads).bind(feeds)


def turns(
    calls: Mapping[str, Callable[[], object]],
    seconds: float = 2.0,
    drop: float = 4.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each call, taken in turns, each time in another order, so that none always follows the same.

    Who needs `drop` times the best after two rounds is called no more. clock: what a call is timed by; processor time
    of one thread hardly sees a busy neighbour.
    """
    rng = np.random.default_rng(0)
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    running, turn, stop = list(calls), 0, time.perf_counter() + seconds
    while turn < LEAST_ROUNDS or time.perf_counter() < stop:
        for name in rng.permutation(running):
            start = clock()
            calls[name]()
            times[name].append(clock() - start)
        turn += 1
        if turn == HOPELESS_AFTER:
            best = min(map(statistics.median, times.values()))
            running = [name for name in running if statistics.median(times[name]) <= drop * best]
    return {name: statistics.median(seen) for name, seen in times.items()}
