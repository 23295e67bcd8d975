"""How the time of plan, apply, diff and inspect grows with the nodes of one region.

    python tests/bench/growth.py [--nodes 1000 4000 16000] [--shape chain|ladder] [--profile COMMAND]

A chain, or a ladder of two rails, of elementwise operators between two linears with eight common blocks. Seconds are
those of the process's CPU; the last column is the largest over the smallest. Linear work has the ratio of the nodes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper as h
from onnx import numpy_helper as nh

import scission

BLOCKS, SIZE = 8, 32


def chain(count: int) -> list[onnx.NodeProto]:
    """`count` operators one after another, from v0 to the last."""
    return [h.make_node("Mul", [f"v{i}", "c"], [f"v{i + 1}"], name=f"n{i}") for i in range(count)]


def ladder(count: int) -> list[onnx.NodeProto]:
    """Steps of three operators between two rails; every value is reached in exponentially many ways."""
    nodes = [h.make_node("Neg", ["v0"], ["b0"])]
    for i in range(count // 3):
        nodes.append(h.make_node("Add", [f"v{i}", f"b{i}"], [f"v{i + 1}"]))
        nodes.append(h.make_node("Sub", [f"v{i}", f"b{i}"], [f"t{i + 1}"]))
        nodes.append(h.make_node("Mul", [f"t{i + 1}", "c"], [f"b{i + 1}"]))
    return nodes


def model(nodes: list[onnx.NodeProto]) -> bytes:
    """The operators between two linears, serialised."""
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(BLOCKS), np.ones((SIZE, SIZE))) * rng.standard_normal((BLOCKS * SIZE, BLOCKS * SIZE)) / 6
    last = max((n.output[0] for n in nodes if n.output[0][0] == "v"), key=lambda name: int(name[1:]))
    ends = [h.make_node("MatMul", ["x", "w1"], ["v0"], name="first")]
    after = [h.make_node("MatMul", [last, "w2"], ["y"], name="last")]
    constants = {"w1": np.float32(W), "w2": np.float32(W.T), "c": np.float32(0.5)}
    values = [h.make_tensor_value_info(name, 1, ["n", BLOCKS * SIZE]) for name in "xy"]
    initializers = [nh.from_array(array, name) for name, array in constants.items()]
    graph = h.make_graph([*ends, *nodes, *after], "g", values[:1], values[1:], initializers)
    held: bytes = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return held


def commands(source: bytes) -> dict[str, Callable[[], Any]]:
    """What is timed of one model; each needs those before it."""
    made: dict[str, Any] = {}
    options: dict[str, Any] = {"provider": "cpu", "threads": 1, "force": True}
    return {
        "plan": lambda: made.update(plan=scission.plan(source, **options)),
        "apply": lambda: made.update(out=scission.apply(source, made["plan"])),
        "diff": lambda: scission.diff(source, made["out"]),
        "inspect": lambda: scission.inspect(source, provider="cpu"),
    }


def main() -> None:
    """Print the table, or the profile of one command at the largest size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 4000, 16000])
    parser.add_argument("--shape", choices=("chain", "ladder"), default="chain")
    parser.add_argument("--profile", choices=("plan", "apply", "diff", "inspect"))
    options = parser.parse_args()
    made = {"chain": chain, "ladder": ladder}[options.shape]
    seconds: dict[str, list[float]] = {}
    for count in options.nodes:
        for name, command in commands(model(made(count))).items():
            profile = cProfile.Profile() if name == options.profile and count == max(options.nodes) else None
            start = time.process_time()
            if profile:
                profile.runcall(command)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
            else:
                command()
            seconds.setdefault(name, []).append(time.process_time() - start)
    print(f"{options.shape:8}", *(f"{count:>8,}" for count in options.nodes), "   ratio")
    for name, own in seconds.items():
        print(f"{name:8}", *(f"{one:7.2f}s" for one in own), f"{own[-1] / own[0]:8.1f}")


if __name__ == "__main__":
    main()
