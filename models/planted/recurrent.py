"""Recurrent weights whose common blocks of features and hidden units are known and hidden by permutations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...ir.graph.recurrent import DIRECTIONS, GATES
from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output

__all__ = ["Cell", "PlantedCell", "build_cell", "recurrent_weights"]

OUTPUTS = ("Y", "Y_h", "Y_c")
# The paths of the operators called 'cell' in each place; a body takes the place of the call of its function.
PATHS = {"main": ("",), "if": ("if.then_branch/", "if.else_branch/"), "loop": ("loop.body/",), "function": ("",)}


def recurrent_weights(
    rng: np.random.Generator,
    op: str,
    sizes: Sequence[tuple[int, int]],
    dormant: tuple[int, int] = (0, 0),
    dtype: npt.DTypeLike = np.float32,
    contiguous: bool = False,
) -> tuple[Array, Array, Decomposition]:
    """W (gates x H, I) and R (gates x H, H) of one direction of an RNN, GRU or LSTM, and their true decomposition.

    sizes: (features, hidden units) of every block, features may be none; dormant: features and units without any edge
    beside them; contiguous: no permutation. In the truth, of shape (I + H, H), a block's inputs are its features and
    then its units once more, I higher; dormant units belong to no block. Each gate holds a random half of a block's
    edges, all gates together hold every one of them.

    >>> W, R, truth = recurrent_weights(np.random.default_rng(0), "GRU", [(2, 1), (1, 3)])
    >>> W.shape, R.shape, [block.shape for block in truth.blocks]
    ((12, 3), (12, 4), [(4, 3), (3, 1)])
    """
    gates = GATES[op]
    I, H = (sum(size[side] for size in sizes) + dormant[side] for side in (0, 1))  # noqa: E741 - ONNX's names
    order = np.arange if contiguous else rng.permutation
    features, units = (
        np.split(order(extent), np.cumsum([size[side] for size in sizes]))[:-1] for side, extent in ((0, I), (1, H))
    )
    W, R = np.zeros((gates, H, I)), np.zeros((gates, H, H))
    for read, hidden in zip(features, units, strict=True):
        for weight, columns in ((W, read), (R, hidden)):
            shape = gates, hidden.size, columns.size
            values = rng.uniform(0.25, 1, shape) * rng.choice([-1, 1], shape) / np.sqrt(hidden.size + read.size)
            kept = rng.random(shape) < 0.5
            kept[rng.integers(gates, size=shape[1:]), *np.indices(shape[1:])] = True
            weight[np.ix_(np.arange(gates), hidden, columns)] = values * kept
    pairs = zip(features, units, strict=True)
    blocks = (Block(np.sort(np.concatenate([read, I + hidden])), np.sort(hidden)) for read, hidden in pairs)
    truth = Decomposition((I + H, H), by_first_output(blocks))
    return W.reshape(gates * H, I).astype(dtype), R.reshape(gates * H, H).astype(dtype), truth


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How a recurrent operator is spelt.

    sizes, dormant, contiguous: of its weights, as in `recurrent_weights`; bias, initial_h, initial_c, peepholes: None,
    'constant' or 'dynamic' (an input of the graph, as `lengths` is); outputs: which of Y, Y_h and Y_c are read; split:
    the directions that have blocks, all others are dense; attributes: further ones; place: 'main', 'if', 'loop' or
    'function', where the operator stands.
    """

    op: str = "LSTM"
    direction: str = "forward"
    sizes: tuple[tuple[int, int], ...] = ((3, 4), (2, 2), (1, 3))
    dormant: tuple[int, int] = (0, 0)
    contiguous: bool = False
    dtype: Any = np.float32
    opset: int = 17
    bias: str | None = "constant"
    lengths: bool = False
    initial_h: str | None = None
    initial_c: str | None = None
    peepholes: str | None = None
    outputs: tuple[bool, ...] = (True, True, True)
    split: tuple[bool, ...] = (True, True)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    place: str = "main"


@dataclass(frozen=True)
class PlantedCell:
    """A model, the true decomposition of each direction of its operator that has blocks, and inputs for it."""

    model: onnx.ModelProto
    truth: dict[str, Decomposition]
    cell: Cell

    def feeds(self, rng: np.random.Generator, positions: int = 5, batch: int = 3) -> dict[str, Array]:
        """Random inputs."""
        sizes = {"positions": positions, "batch": batch}
        found: dict[str, Array] = {}
        for value in self.model.graph.input:
            dims = value.type.tensor_type.shape.dim
            shape = [dim.dim_value if dim.HasField("dim_value") else sizes[dim.dim_param] for dim in dims]
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            if dtype == np.bool_:
                found[value.name] = np.array(True)
            elif dtype == np.int32:
                found[value.name] = rng.integers(1, positions + 1, shape).astype(np.int32)
            else:
                found[value.name] = rng.standard_normal(shape).astype(dtype)
        return found


def build_cell(rng: np.random.Generator, cell: Cell) -> PlantedCell:
    """A model of one recurrent operator called 'cell', with hidden blocks. Raises ValueError for an unknown place."""
    if cell.place not in PATHS:
        raise ValueError(f"unknown place {cell.place!r}; use one of {', '.join(PATHS)}")
    ways = DIRECTIONS[cell.direction]
    weights, truth = [], {}
    for way, blocks in zip(ways, cell.split, strict=False):
        everything = tuple(sum(side) for side in zip(*cell.sizes, cell.dormant, strict=True))
        sizes, dormant = (cell.sizes, cell.dormant) if blocks else ((everything,), (0, 0))
        W, R, decomposition = recurrent_weights(rng, cell.op, sizes, dormant, cell.dtype, cell.contiguous)
        weights.append((W, R))
        if blocks:
            truth["cell" if len(ways) == 1 else f"cell[{way}]"] = decomposition
    W, R = (np.stack([pair[side] for pair in weights]) for side in (0, 1))
    count, hidden, features = len(ways), R.shape[2], W.shape[2]
    stated = {
        "B": (cell.bias, (count, 2 * R.shape[1])),
        "sequence_lens": ("dynamic" if cell.lengths else None, ("batch",)),
        "initial_h": (cell.initial_h, (count, "batch", hidden)),
    }
    if cell.op == "LSTM":
        stated |= {
            "initial_c": (cell.initial_c, (count, "batch", hidden)),
            "P": (cell.peepholes, (count, 3 * hidden)),
        }
    names, tensors = ["X", "W", "R"], {"W": W, "R": R}
    inputs = [_info("X", cell.dtype, ("positions", "batch", features))]
    for name, (how, shape) in stated.items():
        names.append(name if how else "")
        if how == "dynamic":
            inputs.append(_info(name, np.int32 if name == "sequence_lens" else cell.dtype, shape))
        elif how == "constant":  # a batch of 3, where it has one
            extents = [extent if isinstance(extent, int) else 3 for extent in shape]
            tensors[name] = (rng.standard_normal(extents) / 2).astype(cell.dtype)
    while not names[-1]:
        names.pop()
    known = OUTPUTS[: 3 if cell.op == "LSTM" else 2]
    used = [name if wanted else "" for name, wanted in zip(known, cell.outputs, strict=False)]
    while not used[-1]:
        used.pop()
    shapes = {"Y": ("positions", count, "batch", hidden), "Y_h": (count, "batch", hidden)}
    shapes["Y_c"] = shapes["Y_h"]
    outputs = [_info(name, cell.dtype, shapes[name]) for name in used if name]
    node = helper.make_node(cell.op, names, used, "cell", hidden_size=hidden, **cell.attributes)
    if cell.direction != "forward":
        node.attribute.append(helper.make_attribute("direction", cell.direction))
    model = _placed(cell, node, inputs, outputs, tensors)
    return PlantedCell(
        model, {path + name: blocks for path in PATHS[cell.place] for name, blocks in truth.items()}, cell
    )


def _info(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _placed(
    cell: Cell,
    node: onnx.NodeProto,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    tensors: Mapping[str, Array],
) -> onnx.ModelProto:
    """The node in a graph: as it is, or where `cell.place` says."""
    functions: list[onnx.FunctionProto] = []
    nodes = [node]
    if cell.place == "function":
        imports = [helper.make_opsetid("", cell.opset)]
        names = [name for name in node.input if name]
        functions = [helper.make_function("local", "Cell", names, [o.name for o in outputs], nodes, imports)]
        nodes = [helper.make_node("Cell", names, [o.name for o in outputs], "call", domain="local")]
    if cell.place == "if":
        inner = [_info(f"{o.name}_else", cell.dtype, [d.dim_value or d.dim_param for d in _dims(o)]) for o in outputs]
        other = onnx.NodeProto.FromString(node.SerializeToString())
        other.output[:] = [f"{name}_else" if name else "" for name in node.output]
        branch, rest = helper.make_graph(nodes, "then", [], _renamed(node, outputs)), [other]
        nodes = [
            helper.make_node(
                "If",
                ["condition"],
                [o.name for o in outputs],
                "if",
                then_branch=branch,
                else_branch=helper.make_graph(rest, "else", [], inner),
            )
        ]
        inputs = [*inputs, _info("condition", np.bool_, ())]
    if cell.place == "loop":
        body = helper.make_graph(
            [node, helper.make_node("Identity", ["go"], ["on"], "identity")],
            "body",
            [_info("turn", np.int64, ()), _info("go", np.bool_, ())],
            [_info("on", np.bool_, ()), *_renamed(node, outputs)],
        )
        nodes = [helper.make_node("Loop", ["turns", ""], [o.name for o in outputs], "loop", body=body)]
        tensors = {**tensors, "turns": np.array(2)}
        outputs = [_info(o.name, cell.dtype, [2, *(d.dim_value or d.dim_param for d in _dims(o))]) for o in outputs]
    graph = helper.make_graph(
        nodes, "graph", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    )
    imports = [helper.make_opsetid("", cell.opset), *(helper.make_opsetid("local", 1) for _ in functions)]
    return helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=10 if cell.opset > 21 else 8)


def _dims(info: onnx.ValueInfoProto) -> Sequence[Any]:
    return list(info.type.tensor_type.shape.dim)


def _renamed(node: onnx.NodeProto, outputs: list[onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    """The outputs of a body under names of their own, which the node takes over."""
    node.output[:] = [f"{name}_inner" if name else "" for name in node.output]
    inner = []
    for output in outputs:
        copy = onnx.ValueInfoProto.FromString(output.SerializeToString())
        copy.name = f"{output.name}_inner"
        inner.append(copy)
    return inner
