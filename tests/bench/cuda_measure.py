"""What `calibrate.py --provider cuda` measures on a card: single nodes, and every way to compute products and networks.

Nodes are timed as chains of equal ones, (t(9) - t(1)) / 8, recorded as a CUDA graph and not, without ONNX Runtime's own
optimisations; ways as whole models in turns, as CUDA graphs, beside a graph that copies its input. The most telling
cases come first, and none is begun when the time is over.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx
from cost import ALONE
from onnx import helper, numpy_helper
from ways import CALLED, EMPTY, LAYOUTS, Case, network, single

import scission
from scission.runtime.ort.environment import machine
from scission.runtime.ort.session import open_session

__all__ = ["CASES", "measure"]

TURNS = 25
LONG = 9  # nodes of the longer chain
FEATURES, BLOCKS = 4096, 16
CASES = [
    Case(kind, size, count, shuffle, dtype, rows)
    for dtype in ("float16", "float32")
    for kind, size, count in (("network", 2048, 8), ("single", 4096, 16), ("single", 1024, 8), ("network", 1024, 16))
    for shuffle in (True, False)
    for rows in (1, 128, 4096)
]


def measure(provider: str, seconds: float, cases: list[Case] | None = None, features: int = FEATURES) -> dict[str, Any]:
    """A card, as the files of `cards/` have it; features: of single nodes. Raises SessionError without the provider."""
    stop, here = time.monotonic() + seconds, machine(provider)
    nodes = [*_nodes(provider, features)]
    found = []
    for case in CASES if cases is None else cases:
        if time.monotonic() > stop:
            break
        found.append({**asdict(case), "us": _ways(case, provider)})
        print(f"{case}: {len(found[-1]['us'])} ways", flush=True)
    card, software = here["gpu"] or here["cpu"], f"onnxruntime {here['onnxruntime']}"
    return {"date": str(datetime.date.today()), "card": card, "software": software, "nodes": nodes, "cases": found}


def _nodes(provider: str, features: int) -> Iterator[list[Any]]:
    for dtype in ("float16", "float32"):
        for rows in (1, 128, 4096):
            for op, build in _chains(features).items():
                spent = []
                for recorded in (True, False):
                    short, long = (_timed(build(np.dtype(dtype), rows, n), provider, recorded) for n in (1, LONG))
                    spent.append(max(long - short, 1e-8) / (LONG - 1) * 1e6)
                yield [op, dtype, rows, features, BLOCKS, *(round(one, 3) for one in spent)]


def _chains(F: int) -> dict[str, Callable[[np.dtype[Any], int, int], onnx.ModelProto]]:
    """Chains of nodes, by what cards call them."""
    order = np.random.default_rng(0).permutation(F)
    B, k = BLOCKS, F // BLOCKS

    def chain(op: str, shape: Callable[[int], list[int]], held: Any = None, **attributes: Any) -> Any:
        def build(dtype: np.dtype[Any], rows: int, count: int) -> onnx.ModelProto:
            more = None if held is None else held(dtype, rows)
            return _chain(op, shape(rows), dtype, count, more, attributes)

        return build

    flat, stacked = (lambda rows: [rows, F]), (lambda rows: [B, rows, k])
    return {
        "tanh": chain("Tanh", flat),
        "gather_last": chain("Gather", flat, lambda *_: order, axis=1),
        "gather_first": chain("Gather", lambda rows: [F, rows], lambda *_: order, axis=0),
        "matmul": chain("MatMul", flat, lambda dtype, _: np.eye(F, dtype=dtype)),
        "bmm": chain("MatMul", stacked, lambda dtype, _: np.tile(np.eye(k, dtype=dtype), (B, 1, 1))),
        "transpose2": chain("Transpose", flat, perm=[1, 0]),
        "transpose_blocks2": chain("Transpose", lambda rows: [rows, B, k], perm=[1, 0, 2]),
        "scatternd": chain("ScatterND", lambda rows: [F, rows], lambda *_: order[:, None]),
    }


def _chain(
    op: str, shape: list[int], dtype: np.dtype[Any], count: int, held: Any, attributes: dict[str, Any]
) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    count *= 2 if op == "Transpose" else 1  # there and back
    tensors = [] if held is None else [numpy_helper.from_array(np.asarray(held), "held")]
    more = [*(["held"] if tensors else []), *(["x"] if op == "ScatterND" else [])]
    nodes = [
        helper.make_node(op, [f"v{place}" if place else "x", *more], [f"v{place + 1}"], **attributes)
        for place in range(count)
    ]
    ends = (helper.make_tensor_value_info(name, kind, shape) for name in ("x", f"v{count}"))
    graph = helper.make_graph(nodes, "chain", [next(ends)], [next(ends)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _timed(model: onnx.ModelProto, provider: str, recorded: bool) -> float:
    """Median seconds of one call."""
    session = open_session(
        model.SerializeToString(), provider=provider, optimize=False, cuda_graph=recorded and provider == "cuda"
    )
    return _turns({"": session.bind(_feeds(model))})[""]


def _feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    kind = model.graph.input[0].type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return {"x": np.ones([dim.dim_value for dim in kind.shape.dim], dtype)}


def _turns(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median seconds of each call, run in turns."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(TURNS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn > 2:  # one of the first records
                spent[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in spent.items()}


def _ways(case: Case, provider: str) -> dict[str, float | None]:
    """Microseconds of every way; None for one that cannot be run, or recorded."""
    original, truth = single(case) if case.kind == "single" else (network(case, "gelu"), None)
    models = {"dense": original, EMPTY: _copy(original), **_lowered(case, original, truth)}
    dtype = np.dtype(case.dtype)
    feeds = {"x": np.random.default_rng(0).standard_normal((case.rows, case.size)).astype(dtype)}
    calls: dict[str, Callable[[], None]] = {}
    refused: dict[str, float | None] = {}
    for way, model in models.items():
        try:
            session = open_session(model.SerializeToString(), provider=provider, cuda_graph=provider == "cuda")
            calls[way] = session.bind(feeds)
            calls[way]()
        except scission.ScissionError:
            calls.pop(way, None)
            refused[way] = None
    return refused | {way: round(spent * 1e6, 3) for way, spent in _turns(calls).items()}


def _lowered(case: Case, original: onnx.ModelProto, truth: scission.Decomposition | None) -> dict[str, onnx.ModelProto]:
    """The model in every way that suits it, by what cards call it; truth: the blocks of a single product."""
    plan = scission.plan(original, provider="cuda", force=True, batch=[case.rows])
    found: dict[str, onnx.ModelProto] = {}
    if truth is not None:
        ways = {
            name: replace(plan, steps=(replace(plan.steps[0], decomposition=truth, lowering=name),), regions=())
            for name in ALONE
        }
    else:
        ways = {
            f"{called}/{stack}" if layout != "stacked" else "stacked": replace(
                plan, regions=(replace(plan.regions[0], layout=layout, blocks_per_node=stack),)
            )
            for called, layout in (*LAYOUTS.items(), ("stacked", "stacked"))
            for stack in (1, case.count)
            if plan.regions
        }
    for name, way in ways.items():
        try:
            found[CALLED.get(name, name)] = scission.apply(original, way)
        except scission.ScissionError:
            continue
    return found


def _copy(original: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that copies its input."""
    x = original.graph.input[0]
    y = onnx.ValueInfoProto()
    y.CopyFrom(x)
    y.name = "y"
    graph = helper.make_graph([helper.make_node("Identity", [x.name], ["y"])], "copy", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
