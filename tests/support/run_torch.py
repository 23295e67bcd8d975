"""Models run by ONNX Runtime, as they are, and by what `to_torch` makes of them, on the same inputs."""

import numpy as np
import torch

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
    for a, b in zip(wanted, found, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(np.isnan(b), np.isnan(a))
    assert excess(wanted, found, feeds) <= 1


def excess(wanted, found, feeds):
    """The largest difference over the one that rounding may make, infinite where what is no float differs."""
    floats = [one.dtype.itemsize for one in (*wanted, *feeds.values()) if one.dtype.kind in "fV"]
    worst = 0.0
    for a, b in zip(wanted, found, strict=True):
        if a.dtype.kind not in "fV":
            worst = max(worst, 0.0 if np.array_equal(a, b) else np.inf)
            continue
        rounding = 8 * {2: 4e-3, 4: 2e-6, 8: 4e-15}[min(floats)]
        a, b = a.astype(np.float64), b.astype(np.float64)
        off = np.where(a == b, 0, np.abs(a - b) / (rounding * (1 + np.abs(a))))
        worst = max(worst, float(np.nanmax(off, initial=0)))
    return worst


def trained_for(module, feeds, steps):
    """So many steps of Adam towards zero."""
    parameters = list(module.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-2) if parameters else None
    for _ in range(steps if optimizer else 0):
        optimizer.zero_grad()
        made = module(**{name: torch.from_numpy(one) for name, one in feeds.items()})
        sum(one.float().square().mean() for one in (made if isinstance(made, tuple) else (made,))).backward()
        optimizer.step()
