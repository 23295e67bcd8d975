"""Random models, the same under other names and in another order, and with exactly one thing changed."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 6
KINDS = ("attribute", "weight", "edge", "opset", "type", "order")


def random_model(rng, size=12, named=True, layers=False):
    """`size` nodes over values (n, 6), no two of which compute the same; what nobody reads is an output."""
    values, nodes, weights, seen = ["x", "y"], [], {}, set()
    while len(nodes) < size:
        op = str(rng.choice(["LeakyRelu", "Elu", "Add", "Mul", "MatMul", "Gemm"]))
        new = f"v{len(nodes)}"
        late = values[-3:] if layers else values
        first, second = (str(rng.choice(late)) for _ in range(2))
        options, inputs = {}, [first]
        if op in ("LeakyRelu", "Elu"):
            options = {"alpha": float(np.round(rng.uniform(0.1, 0.9), 2))}
        elif op in ("Add", "Mul"):
            inputs.append(second)
        else:
            weights[f"w{len(nodes)}"] = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)
            inputs.append(f"w{len(nodes)}")
            if op == "Gemm":
                weights[f"b{len(nodes)}"] = rng.standard_normal(WIDTH).astype(np.float32)
                inputs.append(f"b{len(nodes)}")
                options = {"alpha": 0.5}
        key = op, *inputs, *options.values()
        if key in seen:
            continue
        seen.add(key)
        nodes.append(helper.make_node(op, inputs, [new], name=f"node{len(nodes)}" if named else "", **options))
        values.append(new)
    read = {name for node in nodes for name in node.input}
    ends = [value for value in values if value.startswith("v") and value not in read]
    return _model(nodes, ends, weights)


def towers(rng, height=5, count=2, tied=True):
    """Towers of the same layers without names, beside each other; `tied` ones have all their weights in common."""
    weights = {f"w{i}": rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) for i in range(1 if tied else count)}
    nodes, ends = [], []
    for tower in range(count):
        value = "x"
        for layer in range(height):
            nodes += [
                helper.make_node("MatMul", [value, f"w{0 if tied else tower}"], [f"m{tower}_{layer}"]),
                helper.make_node("Relu", [f"m{tower}_{layer}"], [f"r{tower}_{layer}"]),
            ]
            value = f"r{tower}_{layer}"
        ends.append(value)
    nodes.append(helper.make_node("Sum", ends, ["z"]))
    return _model(nodes, ["z"], weights)


def _model(nodes, ends, weights):
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y", *ends)]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", ports[:2], ports[2:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def shuffled(rng, model):
    """A copy in which every inner value, node and constant has another name, and all are in another order."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    _shuffle(rng, other.graph, {port.name: port.name for port in (*other.graph.input, *other.graph.output)})
    return other


def _shuffle(rng, graph, names):
    names = dict(names)

    def new(name):
        return names.setdefault(name, f"renamed_{len(names)}") if name else ""

    for tensor in graph.initializer:
        tensor.name = new(tensor.name)
    for node in graph.node:
        node.name = f"node_{rng.integers(1 << 40)}"
        node.output[:] = [new(name) for name in node.output]
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                inner = attribute.g
                for port in inner.input:
                    names[port.name] = f"formal_{len(names)}"
                    port.name = names[port.name]
                _shuffle(rng, inner, names)
    for port in graph.output:
        port.name = new(port.name)
    del graph.value_info[:]
    for some in (graph.node, graph.initializer):
        mixed = [some[int(index)] for index in rng.permutation(len(some))]
        copies = [type(one).FromString(one.SerializeToString()) for one in mixed]
        del some[:]
        some.extend(copies)


def mutated(rng, model, kind):
    """(A copy with one thing changed, what was changed), None where there is nothing of the kind to change."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    graph = other.graph
    if kind == "attribute":
        some = [node for node in graph.node if node.attribute]
        node = some[int(rng.integers(len(some)))] if some else None
        if node is not None:
            node.attribute[0].f += 0.25
        return (other, node.output[0]) if node is not None else None
    if kind == "weight":
        if not graph.initializer:
            return None
        tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[int(rng.integers(array.size))] += 1
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        return other, tensor.name
    if kind == "edge":
        order = ["x", "y", *(node.output[0] for node in graph.node)]
        for index in rng.permutation(len(graph.node)):
            node = graph.node[int(index)]
            slot = int(rng.integers(2)) if node.op_type in ("Add", "Mul") else 0
            others = [value for value in order[: 2 + int(index)] if value != node.input[slot]]
            keys = [(n.op_type, *n.input, *(a.f for a in n.attribute)) for n in graph.node]
            node.input[slot] = str(rng.choice(others))
            if (node.op_type, *node.input, *(a.f for a in node.attribute)) not in keys:
                return other, node.output[0]
            node.CopyFrom(model.graph.node[int(index)])
        return None
    if kind == "opset":
        other.opset_import[0].version = 18
        return other, "ai.onnx"
    if kind == "type":
        port = [*graph.input, *graph.output][int(rng.integers(len(graph.input) + len(graph.output)))]
        port.type.tensor_type.elem_type = TensorProto.DOUBLE
        return other, port.name
    if len(graph.output) < 2:
        return None
    first, second = rng.permutation(len(graph.output))[:2]
    ports = [onnx.ValueInfoProto.FromString(port.SerializeToString()) for port in graph.output]
    graph.output[int(first)].CopyFrom(ports[int(second)])
    graph.output[int(second)].CopyFrom(ports[int(first)])
    return other, "order"


def told(found, model, kind):
    """What a difference says was changed, as `mutated` names it; None when it says more or something else."""
    if found.count != 1:
        return None
    outputs = {node.name: node.output[0] for node in model.graph.node if node.name}
    outputs |= {f"{node.op_type}#{index}": node.output[0] for index, node in enumerate(model.graph.node)}
    if kind in ("attribute", "edge") and found.nodes:
        node = found.nodes[0]
        return outputs[node.after.address] if node.kind == {"attribute": "changed", "edge": "moved"}[kind] else None
    if kind == "weight" and found.tensors and found.tensors[0].kind == "changed":
        one = found.tensors[0]
        return one.after.name if one.drift.share * np.prod(one.after.shape) == 1 else None
    if kind == "opset" and found.header:
        return found.header[0].what.removeprefix("opset of ")
    if kind == "type" and found.interface:
        return found.interface[0].what.split()[1]
    if kind == "order" and found.interface:
        return found.interface[0].what.split()[1]
    return None
