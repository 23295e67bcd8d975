import numpy as np
import onnx
import onnxruntime

from scission.models.sketch import Sketch


def run(model, **feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def test_a_transposed_view_is_stored_as_it_reads():
    sketch = Sketch(np.random.default_rng(0))
    W = np.arange(6, dtype=np.float32).reshape(2, 3)
    sketch.output(sketch.op("MatMul", sketch.input("x", ("batch", 3)), W.T))
    assert np.array_equal(run(sketch.model(), x=np.eye(3, dtype=np.float32))[0], W.T)


def test_a_constant_read_by_a_subgraph_alone_is_kept_in_the_main_graph_only():
    sketch = Sketch(np.random.default_rng(0))
    stored = sketch.constant(np.full(2, 3, np.float32), "W")
    branches = {}
    for side in ("then", "else"):
        body = sketch.body()
        body.output(body.op("Identity", body.outer(stored)))
        branches[f"{side}_branch"] = body.graph(side)
    sketch.output(sketch.op("If", sketch.input("condition", (), np.bool_), **branches))
    model = sketch.model()
    assert [tensor.name for tensor in model.graph.initializer] == ["W"]
    assert not any(attribute.g.initializer for attribute in model.graph.node[0].attribute)
    assert run(model, condition=np.array(True))[0].tolist() == [3, 3]


def test_names_never_clash_and_omitted_inputs_stay_empty():
    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("clip", (2,))
    sketch.output(sketch.op("Clip", sketch.op("Clip", x, None, 1.0), 0.0))
    model = sketch.model()
    onnx.checker.check_model(model, full_check=True)
    names = [name for node in model.graph.node for name in (node.name, *node.output)]
    assert len(set(names)) == len(names) and "clip" not in names
    assert model.graph.node[0].input[1] == ""
    assert run(model, clip=np.array([-2, 5], np.float32))[0].tolist() == [0, 1]


def test_output_shapes_are_inferred_and_opsets_explicit():
    sketch = Sketch(np.random.default_rng(0))
    sketch.opset, sketch.ir_version = 13, 8
    sketch.output(sketch.op("Relu", sketch.input("x", ("batch", 3))))
    model = sketch.model()
    assert (model.opset_import[0].version, model.ir_version) == (13, 8)
    assert [dim.dim_param or dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == ["batch", 3]
