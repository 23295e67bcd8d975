"""Models run by ONNX Runtime, as they are, and by what `to_torch` makes of them, on the same inputs."""

import numpy as np

from scission.runtime.ort.library import onnxruntime
from scission.runtime.upgrade.interpreter.tensors import array_of, tensor_of


def by_runtime(model, feeds):
    """What ONNX Runtime computes of a model, no operator fused with another."""
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, dict(feeds))


def by_torch(module, feeds):
    made = module(**{name: tensor_of(np.asarray(array)) for name, array in feeds.items()})
    return [array_of(one) for one in (made if isinstance(made, tuple) else (made,))]


def assert_alike(wanted, found, feeds):
    """Equal within what rounding of sums of a few hundred numbers about 1 makes, in the narrowest type that is in or
    out."""
    assert len(wanted) == len(found)
    floats = [one.dtype.itemsize for one in (*wanted, *feeds.values()) if one.dtype.kind in "fV"]
    for a, b in zip(wanted, found, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype.kind not in "fV":
            np.testing.assert_array_equal(b, a)
            continue
        rounding = {2: 4e-3, 4: 2e-6, 8: 4e-15}[min(floats)]
        wide = (b.astype(np.float64), a.astype(np.float64))
        np.testing.assert_allclose(*wide, rtol=8 * rounding, atol=8 * rounding, equal_nan=True)
