"""A graph of onnx_graphsurgeon in, a graph of onnx_graphsurgeon out.

python examples/surgeon.py
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

import scission
from scission import graphsurgeon
from scission.models.planted import ffn


def main() -> None:
    """Split two products of a graph, and say what became of its nodes."""
    graph = gs.import_onnx(ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model)
    split = graphsurgeon.decompose(graph, scission.PlanOptions(force=True))
    changes = graphsurgeon.diff(graph, split)
    assert not changes.same and scission.check(graph, split).equal
    print(f"{len(graph.nodes)} nodes became {len(split.nodes)}: {changes.sentence}")


if __name__ == "__main__":
    main()
