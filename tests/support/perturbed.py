"""The slow truth about channels: a model with one channel of one value disturbed, run beside the model as it is."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper

__all__ = ["run", "truth_of_channels"]

SAME = 1e-5  # of the largest output: no channel of a random network does less unless it does nothing


def run(model, feeds, *more):
    """The outputs of a model, and some values beside them, on one thread."""
    if more:
        model = onnx.ModelProto.FromString(model.SerializeToString())
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in more)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def truth_of_channels(model, feeds, value, axis):
    """For each channel of a value: whether it is dead, and whether it is constant.

    Dead: outputs stay the same whatever is added to it; constant: it is one number at every place, for other feeds.
    """
    rng = np.random.default_rng(0)
    before = run(model, feeds)[0]
    others = [{name: array * scale for name, array in feeds.items()} for scale in (1, -3)]
    seen = [run(model, one, value)[-1] for one in others]
    rank, extent = seen[0].ndim, seen[0].shape[axis]
    rows = np.concatenate([np.moveaxis(one, axis, 0).reshape(extent, -1) for one in seen], axis=1)
    constant = np.ptp(rows, axis=1) <= SAME * max(np.abs(rows).max(), 1)
    dead = np.zeros(extent, bool)
    changed = disturbed(model, value)
    for channel in range(extent):
        noise = np.zeros(seen[0].shape, np.float32)
        noise[(slice(None),) * axis + (channel,)] = rng.standard_normal(np.delete(seen[0].shape, axis)) + 2
        after = run(changed, {**feeds, "noise": noise})[0]
        dead[channel] = np.abs(after - before).max() <= SAME * max(np.abs(before).max(), 1e-3)
    assert rank == len(noise.shape)
    return dead, constant


def disturbed(model, value):
    """A model that adds an input `noise` to one of its values."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = list(changed.graph.node)
    place = next(index for index, node in enumerate(nodes) if value in node.output)
    for node in nodes:
        node.input[:] = ["disturbed" if name == value else name for name in node.input]
    nodes.insert(place + 1, helper.make_node("Add", [value, "noise"], ["disturbed"]))
    del changed.graph.node[:]
    changed.graph.node.extend(nodes)
    changed.graph.input.append(helper.make_tensor_value_info("noise", 1, None))
    for output in changed.graph.output:
        output.name = "disturbed" if output.name == value else output.name
    return changed
