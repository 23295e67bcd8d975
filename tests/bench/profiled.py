"""What a model can gain at best: its time, node by node, from ONNX Runtime's profiler, and the linears' share of it."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scission.runtime.ort.library import onnxruntime

WARM_UP = 2
SUFFIX = "_kernel_time"
FATAL = 4


def node_seconds(
    model: Path, feeds: Mapping[str, Any], threads: int | None = None, runs: int = 20, most: float = 6.0
) -> dict[str, float]:
    """Seconds that each node takes on the CPU, by the name it has after fusion, medians over `runs` runs.

    Fewer runs where they would take more than `most` seconds, but at least 5. A node that runs several times counts
    with all of them. On CUDA the profiler sees launches and not kernels, so there it would say nothing.
    """
    with tempfile.TemporaryDirectory(prefix="scission.") as folder:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = FATAL
        options.intra_op_num_threads = threads or 0
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        start, done = time.perf_counter(), 0
        while done < WARM_UP + runs and (done < WARM_UP + 5 or time.perf_counter() - start < most):
            session.run(None, dict(feeds))
            done += 1
        events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(SUFFIX):
            taken[event["name"].removesuffix(SUFFIX)].append(event["dur"])
    times = {name: len(seen) // done for name, seen in taken.items()}
    return {
        name: statistics.median(seen[WARM_UP * times[name] :]) * times[name] / 1e6
        for name, seen in taken.items()
        if times[name]
    }


def limit(seconds: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """How many times faster a model gets whose linears take as many times less as they have fewer multiply-adds.

    seconds: of every node of the dense model; shares: of the multiply-adds of linears that are left, by node name.
    Raises ValueError naming the linears that are no node of it.

    >>> limit({"a/MatmulTransposeFusion": 4.0, "b": 2.0}, {"a": 0.5})
    1.5
    """
    nodes = {name: list(_nodes_of(name, seconds)) for name in shares}
    if missing := [name for name, found in nodes.items() if not found]:
        raise ValueError(f"the profiler knows no node of {', '.join(missing)}; it knows {', '.join(seconds)}")
    total = sum(seconds.values())
    saved = sum(seconds[node] * (1 - shares[name]) for name, found in nodes.items() for node in found)
    return total / (total - saved)


def _nodes_of(linear: str, nodes: Iterable[str]) -> Iterable[str]:
    """The linear itself, or what ONNX Runtime fused it into: it appends "/" and the name of the fusion."""
    return (node for node in nodes if node == linear or node.startswith(f"{linear}/"))
