"""Operators that draw random numbers, and copies of a model in which they draw the same ones in every session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....ir.graph.constants import Constants
from ....ir.graph.operators import DRAWING, is_standard
from ....ir.io.tensors import graphs
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["common_seeds", "draws", "label", "seeded"]

MODE = 2  # input of Dropout that says whether it is trained


def draws(model: ir.Model) -> list[ir.Node]:
    """The nodes that draw random numbers without a seed of their own, in all graphs and functions.

    Dropout is one of them where it is trained, or may be: where its third input is true or no constant.

    >>> import onnx
    >>> nodes = [onnx.helper.make_node("RandomNormalLike", ["x"], [name], **seed)
    ...          for name, seed in (("y", {}), ("z", {"seed": 1.0}))]
    >>> x, y, z = (onnx.helper.make_tensor_value_info(name, 1, ["n"]) for name in "xyz")
    >>> model = ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y, z])))
    >>> [node.outputs[0].name for node in draws(model)]
    ['y']
    """
    found = [node for graph in graphs(model) for node in graph if _may_draw(node)]
    if not any(node.op_type == "Dropout" for node in found):
        return found
    constants = Constants(model)
    return [node for node in found if node.op_type != "Dropout" or _is_trained(node, constants)]


def _may_draw(node: ir.Node) -> bool:
    if not is_standard(node):
        return False
    seed = node.attributes.get("seed")
    if seed is not None and not seed.is_ref():
        return False
    if node.op_type == "Dropout":
        return len(node.inputs) > MODE and node.inputs[MODE] is not None
    return node.op_type in DRAWING


def _is_trained(node: ir.Node, constants: Constants) -> bool:
    mode = node.inputs[MODE]
    return mode is not None and (mode not in constants or bool(constants.read(mode).any()))


def label(node: ir.Node) -> str:
    """What a node is called in messages: its name, else its output, and its operator."""
    return f"{node.name or node.outputs[0].name} ({node.op_type})"


def common_seeds(original: Sequence[ir.Node], changed: Sequence[ir.Node]) -> tuple[dict[str, int], dict[str, int]]:
    """Seeds for the nodes of two models, by the name of their first output: the same for those of one name.

    Nodes whose name the other model does not have are paired in the order in which they stand.
    """
    one, other = (list(dict.fromkeys(node.outputs[0].name or "" for node in nodes)) for nodes in (original, changed))
    seeds = {name: number for number, name in enumerate(one, 1)}
    left = iter([seeds[name] for name in one if name not in other])
    spare = iter(range(len(one) + 1, len(one) + len(other) + 1))
    return seeds, {name: seeds[name] if name in seeds else next(left, None) or next(spare) for name in other}


def seeded(model: ir.Model, seeds: Mapping[str, int]) -> ir.Model:
    """A copy of the model whose random operators have these seeds, by the name of their first output."""
    copy = model.clone()
    for node in draws(copy):
        seed = seeds[node.outputs[0].name or ""]
        attribute = ir.AttrInt64("seed", seed) if node.op_type == "Dropout" else ir.AttrFloat32("seed", float(seed))
        node.attributes["seed"] = attribute
    return copy
