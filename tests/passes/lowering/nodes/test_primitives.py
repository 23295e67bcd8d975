import numpy as np
import pytest

from scission.ir.graph.linear import Layout, Linear
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Block
from scission.passes.lowering.nodes.emitter import Emitter, Names
from scission.passes.lowering.nodes.primitives import gather, join, reorder


@pytest.fixture
def emitter():
    x, w = ir.Value(name="x"), ir.Value(name="w")
    node = ir.Node("", "MatMul", [x, w], name="linear")
    graph = ir.Graph([x, w], [], nodes=[node], opset_imports={"": 17}, name="g")
    linear = Linear(
        node=node,
        address="linear",
        activation=x,
        weight=w,
        shape=(3, 3),
        dtype=ir.DataType.FLOAT,
        transposed=False,
        layout=Layout(kind="rows", rank=2),
        opset=17,
    )
    return Emitter(linear, Names(ir.Model(graph, ir_version=10)))


def test_nothing_is_emitted_for_what_is_in_place_already(emitter):
    x = emitter.linear.activation
    assert gather(emitter, x, Block([0, 1, 2], [0]), "block.0", 0) is x
    assert join(emitter, [x], 0) is x
    assert reorder(emitter, x, np.arange(3), 0) is x
    assert not emitter.nodes
    assert not emitter.constants


def test_reorder_gathers_by_the_inverse_permutation(emitter):
    reorder(emitter, emitter.linear.activation, np.array([2, 0, 1]), 0)
    assert emitter.nodes[0].op_type == "Gather"
    assert emitter.constants[0].const_value.numpy().tolist() == [1, 2, 0]
