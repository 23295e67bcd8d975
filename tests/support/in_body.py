"""A model moved into the body of an operator of another one: If, Loop or Scan."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TIMES = 2  # steps of a loop


def in_body(model: onnx.ModelProto, op: str, *, weights_outside: bool = False) -> onnx.ModelProto:
    """The model as the body of an If, which reads its inputs from outside, of a Loop that does the same, or of a Scan
    over copies of them; weights_outside: whether its weights lie in the graph around it, where shapes of what integers
    say are not inferred, so that those stay."""
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    graph = inner.graph
    inputs, weights = list(graph.input), list[TensorProto]()
    unique = {one.name: one for one in graph.output}  # a body has no output twice
    del graph.output[:]
    graph.output.extend(unique.values())
    results = [f"result{at}" for at, _ in enumerate(graph.output)]
    if weights_outside:
        weights = [one for one in graph.initializer if one.data_type != TensorProto.INT64]
        kept = [one for one in graph.initializer if one.data_type == TensorProto.INT64]
        del graph.initializer[:]
        graph.initializer.extend(kept)
    around: list = []
    ones = [numpy_helper.from_array(np.asarray(True), "yes"), numpy_helper.from_array(np.asarray(TIMES), "times")]
    if op == "If":
        del graph.input[:]
        empty = helper.make_graph([], "else", [], [])
        for name in results:
            empty.node.append(helper.make_node("Identity", [inputs[0].name], [f"{name}_else"]))
            empty.output.append(helper.make_tensor_value_info(f"{name}_else", TensorProto.FLOAT, None))
        around.append(helper.make_node("If", ["yes"], results, "if", then_branch=graph, else_branch=empty))
    elif op == "Loop":
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info("step", TensorProto.INT64, []))
        graph.input.append(helper.make_tensor_value_info("go", TensorProto.BOOL, []))
        graph.node.append(helper.make_node("Identity", ["go"], ["go_on"], "go_on"))
        graph.output.insert(0, helper.make_tensor_value_info("go_on", TensorProto.BOOL, []))
        around.append(helper.make_node("Loop", ["times", ""], results, "loop", body=graph))
    else:
        copies = []
        for one in inputs:
            axes, copy = f"axes_{one.name}", f"copies_{one.name}"
            ones.append(numpy_helper.from_array(np.zeros(1, np.int64), axes))
            around.append(helper.make_node("Unsqueeze", [f"outer_{one.name}", axes], [f"{copy}_one"], f"{copy}_one"))
            around.append(helper.make_node("Concat", [f"{copy}_one"] * TIMES, [copy], copy, axis=0))
            copies.append(copy)
        around.append(helper.make_node("Scan", copies, results, "scan", body=graph, num_scan_inputs=len(copies)))
        given = []
        for one in inputs:
            given.append(onnx.ValueInfoProto())
            given[-1].CopyFrom(one)
            given[-1].name = f"outer_{one.name}"
        inputs = given
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    used = {name for node in around for name in node.input}
    held = [one for one in ones if one.name in used] + weights
    whole = helper.make_graph(around, "around", inputs, told, held)
    return helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
