"""The law of an axis rule, held against an evaluator: operands in another order give the results in that order."""

import numpy as np
import onnx_ir as ir
import oracles
from random_nodes import MS
from reference import model

from scission.ir.axes.axis_rule import Operand, Sizes
from scission.ir.axes.shared_axis import axis_groups
from scission.ir.graph.constants import Constants
from scission.ir.graph.shapes import infer_shapes
from scission.ir.io.load import load

RESULTS = {  # of operators that make other than floats
    "DynamicQuantizeLinear": (np.uint8, np.float32, np.uint8),
    "MatMulInteger": (np.int32,),
    "QLinearMatMul": (np.uint8,),
    "QuantizeLinear": (np.uint8,),
}


def found(of, **options):
    """(ties, node, sizes, ModelProto) of a case; results have the rank that is inferred."""
    single, shapes, constants = of
    kinds = RESULTS.get(single.op_type, (np.float32,) * len(single.output))
    results = {name: (None, kind) for name, kind in zip(single.output, kinds, strict=True)}
    proto = model([single], shapes, results, constants, **{"opset": 20, "domains": [MS]} | options)
    graph = load(proto).graph
    infer_shapes(graph)
    sizes = Sizes(Constants(graph))
    (here,) = graph.graph
    return axis_groups(here, sizes), here, sizes, proto


def inputs_of(rng, shapes):
    feeds = {}
    for name, spec in shapes.items():
        shape, dtype = spec if isinstance(spec, tuple) else (spec, np.float32)
        if np.issubdtype(dtype, np.integer):
            feeds[name] = rng.integers(0, 9, shape).astype(dtype)
        else:
            feeds[name] = rng.standard_normal(shape).astype(dtype) if dtype is np.float32 else rng.random(shape) < 0.5
    for name in feeds.keys() & {"s", "v"}:
        feeds[name] = np.abs(feeds[name]) + np.float32(0.1)
    return feeds


def taken(array, orders):
    for axis, order in orders.items():
        array = np.take(array, order, axis=axis)
    return array


def assert_equivariant(of, rng, run=oracles.run, **options):
    """Operands in another order give the results in that order; returns the groups of axes."""
    tied, here, sizes, proto = found(of, **options)
    assert isinstance(tied, list), tied
    dims = [dim for tie in tied for dim in set(tie)]
    assert len(dims) == len(set(dims)), "an axis is in two groups"
    feeds = inputs_of(rng, of[1])
    orders: dict = {}
    for tie in tied:
        extent = max(sizes.extent(*dim) or 1 for dim in tie)
        order = rng.permutation(extent)
        for place, axis in tie:
            if sizes.extent(place, axis) == extent:
                value = place.value if isinstance(place, Operand) else place
                orders.setdefault(value.name, {})[axis] = order
    moved = {n: taken(array, orders.get(n, {})) for n, array in feeds.items()}
    held = {t.name: t for t in proto.graph.initializer}
    changed = type(proto).FromString(proto.SerializeToString())
    for tensor in changed.graph.initializer:
        if tensor.name in orders:
            array = taken(ir.serde.deserialize_tensor(held[tensor.name]).numpy(), orders[tensor.name])
            tensor.CopyFrom(ir.serde.serialize_tensor(ir.Tensor(array, name=tensor.name)))
    before, after = run(proto, feeds), run(changed, moved)
    expected = [taken(array, orders.get(v.name, {})) for array, v in zip(before, here.outputs, strict=True)]
    oracles.assert_close(expected, after, rtol=1e-5)
    return tied
