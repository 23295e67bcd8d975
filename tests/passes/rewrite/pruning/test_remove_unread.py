import numpy as np
from perturbed import run
from prunable import EACH, HEADS, WIDTH, feeds, residual

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.rewrite.pruning.put_weights import put_weights
from scission.passes.rewrite.pruning.remove_unread import at_shapes, remove_unread


def test_heads_go_where_sizes_are_known_and_the_interface_stays_as_open_as_it_was():
    proto = residual()
    weights = {one.name: one for one in proto.graph.initializer}
    out = np.frombuffer(weights["o"].raw_data, np.float32).reshape(HEADS * EACH, WIDTH).copy()
    out[EACH : 2 * EACH] = 0
    zeroed = put_weights(load(proto).graph, {"o": (out, np.zeros(WIDTH))})
    after = remove_unread(zeroed, {"x": (3, 5, WIDTH)})
    for one in (*after.graph.inputs, *after.graph.outputs):
        assert [str(extent) for extent in one.shape] == ["batch", "long", str(WIDTH)]
    assert sum(one.const_value.size for one in after.graph.initializers.values() if one.const_value) < sum(
        one.const_value.size for one in zeroed.graph.initializers.values() if one.const_value
    )
    for feed in feeds(6):  # of other sizes than those that were assumed
        wanted, got = (run(ir.to_proto(one), feed)[0] for one in (zeroed, after))
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_nothing_goes_where_everything_is_read():
    graph = load(residual()).graph
    after = remove_unread(graph, {"x": (3, 5, WIDTH)})
    assert {one.name for one in after.graph.initializers.values()} == {
        one.name for one in graph.graph.initializers.values()
    }


def test_shapes_are_those_of_a_copy():
    graph = load(residual()).graph
    copy = at_shapes(graph, {"x": (3, 5, WIDTH)})
    assert [*copy.graph.inputs[0].shape] == [3, 5, WIDTH]
    assert str(graph.graph.inputs[0].shape[0]) == "batch"
