"""Two checkpoints of one model: what a step of training changed, tensor by tensor.

python examples/checkpoints.py
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import scission
from scission.models.planted import ffn


def trained(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """The model after a step that changed these tensors alone."""
    rng = np.random.default_rng(1)
    later = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in later.graph.initializer:
        if tensor.name in names:
            values = numpy_helper.to_array(tensor)
            step = np.where(values == 0, 0, 1e-3 * rng.standard_normal(values.shape))
            tensor.CopyFrom(numpy_helper.from_array((values + step).astype(values.dtype), tensor.name))
    return later


def main() -> None:
    """Print what two checkpoints differ in."""
    before = ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model
    changes = scission.diff(before, trained(before, {"U"}))
    assert not changes.same and not changes.nodes and len(changes.tensors) == 1
    print(changes.sentence)


if __name__ == "__main__":
    main()
