"""A forest for CUDA, which has no operator for trees: in the operators that it has, proved equal on the CPU.

python examples/forest_cuda.py

Timed where there is a GPU.
"""

from __future__ import annotations

import numpy as np

import scission
from scission.models.networks import forest

ROWS = 4096


def main() -> None:
    """Train a forest, write it for CUDA, and print what became of its operator."""
    operator = forest.to_ensemble(forest.train(np.random.default_rng(0), trees=20, leaves=16))
    plan = scission.plan(operator, provider="cuda", batch=[ROWS])
    plain = scission.apply(operator, plan)
    assert not {node.domain for node in plain.graph.node} - {""}
    assert scission.check(operator, plain).equal
    (before,) = operator.graph.node
    print(f"{before.op_type} became {len(plain.graph.node)} operators that CUDA has, proved equal")
    try:
        (measured,) = scission.bench(operator, plain, trials=scission.Trials(provider="cuda"), batch=ROWS)
    except scission.SessionError as why:
        print(f"not timed: {str(why).partition(': ')[2]}")
    else:
        print(measured)


if __name__ == "__main__":
    main()
