"""A network that was pruned: hidden units that nothing reads any more, and products that they were dense for.

python examples/pruned.py
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import scission
from scission.models.planted import ffn

PRUNED = 192  # of 256 hidden units


def pruned() -> onnx.ModelProto:
    """A dense feed-forward network, three quarters of whose hidden units have zeros wherever they are read."""
    rng = np.random.default_rng(0)
    model = ffn.build(rng, d=64, hidden=256, blocks=1).model
    (reader,) = (one for one in model.graph.initializer if one.name == "V")
    weight = numpy_helper.to_array(reader).copy()
    weight[rng.permutation(256)[:PRUNED]] = 0
    reader.CopyFrom(numpy_helper.from_array(weight, "V"))
    return model


def main() -> None:
    """Print how wide its products are before and after."""
    model = pruned()
    smaller = scission.optimize(model, bench=False, force=True).model
    shapes = {one.name: one.dims for one in model.graph.initializer if len(one.dims) == 2}
    left = [list(one.dims) for one in smaller.graph.initializer if len(one.dims) == 2]
    assert [64, 256 - PRUNED] in left and scission.check(model, smaller).equal
    print(f"{[list(dims) for dims in shapes.values()]} became {left}")


if __name__ == "__main__":
    main()
