"""Small models spelt by hand, and slow, obvious oracles of what `scission.ir` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from scission.ir.io.tensors import constant_tensors, read

OPSET = 17


def node(op, inputs, outputs, name="", domain="", **attributes):
    """A node from names with spaces between them; '-' is an operand that is left out."""
    read = ["" if one == "-" else one for one in inputs.split()]
    return helper.make_node(op, read, outputs.split(), name, domain=domain, **attributes)


def values(spec):
    """{'x': shape, 'i': (shape, dtype)} as value infos; shape None is an unknown rank."""
    pairs = {
        n: s if isinstance(s, tuple) and len(s) == 2 and isinstance(s[1], type) else (s, np.float32) for n, s in spec
    }
    return [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        for n, (shape, dtype) in pairs.items()
    ]


def graph(nodes, inputs=(), outputs=(), weights=(), name="g"):
    """inputs, outputs: {name: shape or (shape, dtype)}, or names of unknown rank; weights: {name: array}."""
    infos = [values((s if isinstance(s, dict) else dict.fromkeys(s)).items()) for s in (inputs, outputs)]
    tensors = [numpy_helper.from_array(np.asarray(array), n) for n, array in dict(weights).items()]
    return helper.make_graph(nodes, name, *infos, tensors)


def model(nodes, inputs=(), outputs=(), weights=(), *, functions=(), opset=OPSET, ir_version=8, domains=()):
    """A model of one graph; `domains` are imported in version 1, as are those of `functions`."""
    others = dict.fromkeys([*domains, *(f.domain for f in functions)])
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in others)]
    return helper.make_model(
        graph(nodes, inputs, outputs, weights),
        functions=list(functions),
        opset_imports=imports,
        ir_version=ir_version,
    )


def function(name, inputs, outputs, nodes, *, attributes=(), opset=OPSET, domains=("local",)):
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_function("local", name, inputs.split(), outputs.split(), nodes, imports, list(attributes))


def product(W, **options):
    """x MatMul W, the node called 'linear'."""
    K, N = W.shape
    return model([node("MatMul", "x W", "y", "linear")], {"x": ["b", K]}, {"y": ["b", N]}, {"W": W}, **options)


def graphs_of(proto) -> Iterator:
    """Every graph and function of a ModelProto, training apart, parents before children."""
    stack = [proto.graph, *proto.functions]
    while stack:
        owner = stack.pop()
        yield owner
        for attribute in (a for n in owner.node for a in n.attribute):
            stack += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def tensors_of(proto) -> Iterator[onnx.TensorProto]:
    """Every dense tensor of a ModelProto, training apart."""
    for owner in graphs_of(proto):
        yield from getattr(owner, "initializer", ())
        for attribute in (a for n in owner.node for a in n.attribute):
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def constants(proto) -> dict[str, np.ndarray]:
    """Every value of the main graph that no input reaches, computed by ONNX's reference implementation."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for n in proto.graph.node:
        if n.domain == "" and all(name in known for name in n.input) and not any(a.g.node for a in n.attribute):
            found = ReferenceEvaluator(n).run(None, {name: known[name] for name in n.input})
            known.update(zip(n.output, found, strict=True))
    return known


def canonical(n, known) -> np.ndarray:
    """The weight (K, N) of a linear, from the definition of its operator."""
    side = next(index for index, name in enumerate(n.input) if name in known)
    W = known[n.input[side]]
    attributes = {a.name: helper.get_attribute_value(a) for a in n.attribute}
    if n.op_type in ("Conv", "ConvTranspose"):
        pixels = W.reshape(*W.shape[:2], -1)
        whole = pixels[..., 0] if pixels.shape[2] == 1 else (pixels != 0).any(axis=2).astype(np.float32)
        return whole.T if n.op_type == "Conv" else whole
    if W.ndim == 3:
        return (W != 0).any(axis=0).astype(np.float32)
    if n.op_type == "Einsum":
        terms = attributes["equation"].decode().replace(" ", "").split("->")[0].split(",")
        return W if terms[side] == "kn" else W.T
    flipped = bool(attributes.get("transB" if side else "transA", 0))
    return W.T if flipped == bool(side) else W


def apply(linear, W, x, c=None):
    """What the documentation of Linear and Layout says a linear computes, before its activation and later Adds."""
    layout = linear.layout
    if layout.kind == "rows":
        y = x @ W
    elif layout.kind == "conv":
        y = np.moveaxis(np.moveaxis(x, 1, -1) @ W, -1, 1)
    else:
        lead = x if layout.enter is None else x.transpose(layout.enter)
        y = np.tensordot(W.T, lead, 1)
        y = y if layout.exit is None else y.transpose(layout.exit)
    y = linear.alpha * y
    return y if c is None else y + linear.beta * c


def truth_mask(truth) -> np.ndarray:
    """True where a block of a decomposition has an entry."""
    mask = np.zeros(truth.shape, bool)
    for block in truth.blocks:
        mask[np.ix_(block.inputs, block.outputs)] = True
    return mask


def spread(text: str) -> list[int]:
    """'0-2,5' as [0, 1, 2, 5]."""
    runs = [[int(end) for end in run.split("-")] for run in text.split(",") if run]
    return [index for run in runs for index in range(run[0], run[-1] + 1)]


def normal(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which what has no meaning is always the same: order of maps, empty texts, how a tensor spells data."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    for tensor in tensors_of(proto):
        if tensor.data_location == onnx.TensorProto.DEFAULT:
            plain = numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name)
            plain.doc_string = tensor.doc_string
            plain.metadata_props.extend(tensor.metadata_props)
            tensor.CopyFrom(plain)
    for owner in graphs_of(proto):
        known = {tensor.name for tensor in getattr(owner, "initializer", ())}
        told = [info for info in owner.value_info if info.name not in known]  # the tensors tell their own types
        del owner.value_info[:]
        owner.value_info.extend(told)
    _tidy(proto)
    return proto


UNORDERED = {"value_info", "metadata_props", "opset_import", "functions", "quantization_annotation", "attribute"}


def _tidy(message):
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                _tidy(inner)
        elif field.type == field.TYPE_STRING and not field.is_repeated and not value:
            message.ClearField(field.name)
        if field.name in UNORDERED and field.is_repeated and field.type == field.TYPE_MESSAGE:
            items = {item.SerializeToString(deterministic=True): item for item in value}  # onnx_ir repeats some
            del value[:]
            value.extend(items[key] for key in sorted(items))


W = np.arange(600, dtype=np.float32).reshape(20, 30)
BIG = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)


def write(path, proto) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return path


def rich() -> onnx.ModelProto:
    """One of everything that a model can carry."""
    branch = graph([node("MatMul", "x inner", "z", "in_branch")], [], ["z"], {"inner": W})
    nodes = [
        node("Mask", "x w", "a", "call", "local", scale=2.0),
        node("If", "c", "d", "if", then_branch=branch, else_branch=graph([node("Neg", "x", "n")], [], ["n"])),
        node("Constant", "", "k", "constant", value=numpy_helper.from_array(W.astype(np.int8))),
        node("Constant", "", "l", "longs", value_ints=[1, 2, 3]),
        node("MatMul", "x s", "e", "sparse"),
        node("Add", "a small", "y", "add"),
    ]
    body = [
        node("MatMul", "x w", "t"),
        node("Constant", "", "two", value=numpy_helper.from_array(BIG)),
        node("Mul", "t two", "y"),
    ]
    inner = function("Mask", "x w", "y", body, attributes=["scale"])
    inner.doc_string, inner.node[0].doc_string = "what it does", "why"
    inner.node[2].attribute.append(onnx.AttributeProto(name="unused", ref_attr_name="scale", type=1))
    other = function("Mask", "x", "y", [node("Relu", "x", "y")])
    other.overload = "second"
    proto = model(
        nodes,
        {"x": ["batch", 20], "c": ([], np.bool_)},
        {"y": None, "d": None, "e": None, "k": None},
        {"w": W},
        functions=[inner, other],
        ir_version=10,
    )
    proto.graph.initializer.extend(
        [helper.make_tensor("small", 1, [2], [1, 2]), helper.make_tensor("text", 8, [2], ["a", "b"])]
    )
    proto.graph.initializer[0].doc_string = "the weight"
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("s", 1, [2], [1, 2]), helper.make_tensor("i", 7, [2], [0, 5]), [20, 4]
        )
    )
    proto.graph.value_info.extend(values([("a", ([None, "n"], np.float32))]))
    proto.producer_name, proto.producer_version, proto.domain, proto.model_version = "maker", "1.2", "org.example", 7
    proto.doc_string, proto.graph.doc_string, proto.graph.node[0].doc_string = "model", "graph", "node"
    proto.graph.input[0].doc_string = "the input"
    for owner in (
        proto,
        proto.graph,
        proto.graph.node[0],
        proto.graph.input[0],
        proto.graph.initializer[0],
        proto.functions[0],
    ):
        owner.metadata_props.add(key="key", value="value")
    annotation = proto.graph.quantization_annotation.add(tensor_name="a")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="small")
    training = proto.training_info.add(algorithm=graph([node("Neg", "x", "q")], ["x"], ["q"], {"rate": W}))
    training.update_binding.add(key="w", value="q")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def same(first, second):
    assert str(normal(first)) == str(normal(second))


def elsewhere(path, *places, shape=(20, 30)) -> Path:
    """A model whose weights are W at (location, offset, length), two of the three optional; first in the main graph."""
    proto = model(
        [node("MatMul", f"x w{n}", f"y{n}") for n in range(len(places))], ["x"], [f"y{n}" for n in range(len(places))]
    )
    for n, place in enumerate(places):
        proto.graph.initializer.append(reference_to(f"w{n}", *place, shape=shape))
    return write(path, proto)


def reference_to(name, location, offset=None, length=None, shape=(20, 30)):
    tensor = TensorProto(name=name, data_type=1, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def weights_of(loaded):
    return [read(tensor) for tensor in constant_tensors(loaded.graph)]
