"""Which values are constant, and what they hold: initializers, and any chain of operators over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..folding.budget import FoldingBudget, budget_of, work_of
from ..io.tensors import read
from ..onnx_ir import onnx_ir as ir
from .operators import IMPURE, MISREAD_BEFORE, POINTWISE, REDUCING, is_standard
from .shapes import shape_of

__all__ = ["Constants"]

NEWER_DEQUANTIZE = frozenset({"block_size", "output_dtype"})
EMPTY = np.empty(0)
FEW = 8  # leaves of a constant that are kept
LONG, SMALL = 16, 1 << 12  # values that a constant is computed from, and its bytes, where it is kept
CONSTANT_ATTRIBUTES = ("value", "value_float", "value_floats", "value_int", "value_ints")


class Constants:
    """The constant values of one model; remembers what it learned, so shared chains are walked once.

    A value is constant when it is an initializer that no caller can override, the output of a Constant node, or the
    output of a deterministic operator of the standard domain whose inputs all are.
    """

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._twice: set[str | None] | None = None
        self._opset_imports = dict(model.opset_imports)
        # Before IR version 4 every initializer had to be listed as an input, and callers could not override it. What a
        # loop hands to its body always overrides.
        self._fixed_inputs = frozenset(model.graph.inputs if (model.ir_version or 0) < 4 else ())
        self._known: dict[ir.Value, bool] = {}
        self._leaves: dict[ir.Value, tuple[ir.Value, ...]] = {}
        self._folded: dict[ir.Value, npt.NDArray[Any]] = {}  # small ones, each at the end of a long chain
        self._described: dict[ir.Value, tuple[tuple[int, ...], ir.DataType]] = {}
        self._at_hand: dict[int, npt.NDArray[Any]] | None = None  # by tensor, where what is read is kept

    @property
    def opset(self) -> int:
        """Version of the standard operator set that the model imports."""
        return self._opset_imports.get("", self._opset_imports.get("ai.onnx", 1))

    def __contains__(self, value: ir.Value) -> bool:
        known = self._known.get(value)
        if known is not None:
            return known
        # An explicit stack: chains can be deeper than Python's recursion limit. Cycles were refused when loading.
        stack = [value]
        while stack:
            top = stack[-1]
            node = top.producer()
            if top in self._known:
                stack.pop()
            elif node is None:
                self._known[top] = top.const_value is not None and not self.is_overridable(top)
            elif not _foldable(node) or _is_misread(node, self.opset):
                self._known[top] = False
            else:
                inputs = [v for v in node.inputs if v is not None]
                verdicts = [self._known.get(v) for v in inputs]
                if False in verdicts or None not in verdicts:
                    self._known[top] = all(verdicts)
                else:
                    stack.extend(v for v, verdict in zip(inputs, verdicts, strict=True) if verdict is None)
        return self._known[value]

    def is_overridable(self, value: ir.Value) -> bool:
        """Whether a value is an initializer that callers may replace by an input of their own."""
        return value.const_value is not None and value.is_graph_input() and value not in self._fixed_inputs

    def is_ambiguous(self, value: ir.Value) -> bool:
        """Whether an initializer of a branch and a value of the main graph have this name, and this is one of them."""
        if self._twice is None:
            self._twice = _names_in_branches(self._model) & _names_outside(self._model)
        return value.name in self._twice

    def has_ambiguous_leaf(self, value: ir.Value) -> bool:
        """Whether a constant is computed from an ambiguous one, so that runtimes differ in what it is."""
        return any(map(self.is_ambiguous, self.leaves(value)))

    def leaves(self, value: ir.Value) -> list[ir.Value]:
        """The initializers and Constant outputs that a constant is computed from, each once."""
        # What is made of few is kept, so that asking at every place of a long chain walks it once.
        seen: dict[ir.Value, None] = {}
        found: dict[ir.Value, None] = {}
        stack = [value]
        while stack:
            top = stack.pop()
            if top in seen:
                continue
            seen[top] = None
            node = top.producer()
            if top in self._leaves:
                found.update(dict.fromkeys(self._leaves[top]))
            elif node is None or node.op_type == "Constant":
                found[top] = None
            else:
                stack.extend(v for v in node.inputs if v is not None)
        if len(found) <= FEW:
            self._leaves[value] = tuple(found)
        return list(found)

    def describe(self, value: ir.Value) -> tuple[tuple[int, ...], ir.DataType]:
        """Shape and type of a constant, computed only when the graph does not tell. Raises ModelError like `read`."""
        if value in self._described:
            return self._described[value]
        asked, turns = value, list[list[int] | None]()
        while (node := value.producer()) is not None and (source := _passed_on(node)) is not None:
            value = source
            if node.op_type == "Transpose":
                perm = node.attributes.get("perm")
                turns.append(list(perm.as_ints()) if perm else None)
        shape, kind = self._described_as(value)
        for turn in reversed(turns):
            order = list(reversed(range(len(shape)))) if turn is None else turn
            if sorted(order) != list(range(len(shape))):
                return self._computed(asked)
            shape = tuple(shape[axis] for axis in order)
        self._described[asked] = shape, kind
        return shape, kind

    def _described_as(self, value: ir.Value) -> tuple[tuple[int, ...], ir.DataType]:
        """The same of a constant that no other is passed on as."""
        node = value.producer()
        if node is None:
            tensor: Any = value.const_value
            return tuple(tensor.shape.numpy()), tensor.dtype
        if node.op_type == "Constant" and "value" in node.attributes:
            tensor = node.attributes["value"].value
            return tuple(tensor.shape.numpy()), tensor.dtype
        shape = shape_of(value)
        if shape is not None and shape.is_static() and value.dtype is not None:
            return tuple(shape.numpy()), value.dtype
        return self._computed(value)

    def _computed(self, value: ir.Value) -> tuple[tuple[int, ...], ir.DataType]:
        if value not in self._described:
            array = self.read(value)
            self._described[value] = (array.shape, ir.DataType.from_numpy(array.dtype))
        return self._described[value]

    def read(self, value: ir.Value) -> npt.NDArray[Any]:
        """What a constant holds. Raises ModelError naming the node that cannot be folded."""
        if value in self._folded:
            return self._folded[value].copy()
        done: dict[ir.Value, npt.NDArray[Any]] = {}
        budget: FoldingBudget | None = None  # asked for by the first operator: most constants are read as they are
        spent = 0.0
        readers = self._readers(value)
        stack = [value]
        while stack:
            top = stack[-1]
            node = top.producer()
            if top in done:
                stack.pop()
            elif node is None:
                done[top] = self._stored(top.const_value)
            elif node.op_type == "Constant":
                done[top] = _constant_node(node)
            elif missing := [v for v in node.inputs if v is not None and v not in done]:
                stack.extend(missing)
            else:
                held = [None if v is None else done[v] for v in node.inputs]
                budget = budget or self._budget(value)
                spent += _afforded(node, held, budget, spent)
                done.update(zip(node.outputs, self.fold(node, held), strict=False))
                for source in {v for v in node.inputs if v is not None}:
                    readers[source] -= 1
                    if not readers[source]:  # weights are large: nothing is kept longer than it is needed
                        done[source] = EMPTY
        if len(done) > LONG and done[value].nbytes <= SMALL:
            self._folded[value] = done[value].copy()
        return done[value]

    def _budget(self, value: ir.Value) -> FoldingBudget:
        """What a constant may take, by what it is made of."""
        held = [leaf.const_value or _tensor_of(leaf.producer()) for leaf in self.leaves(value)]
        return budget_of(sum(tensor.nbytes for tensor in held if tensor is not None))

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Inside of it what was read is kept at hand, so that it is read once however many ask for it.

        Nobody may write into an array that was read there.
        """
        outermost = self._at_hand is None
        if outermost:
            self._at_hand = {}
        try:
            yield
        finally:
            if outermost:
                self._at_hand = None

    def _stored(self, tensor: Any) -> npt.NDArray[Any]:
        if self._at_hand is None:
            return read(tensor)
        if id(tensor) not in self._at_hand:
            self._at_hand[id(tensor)] = read(tensor)
        return self._at_hand[id(tensor)]

    def _readers(self, value: ir.Value) -> Counter[ir.Value]:
        """How many operators of the chain read each of its values."""
        readers: Counter[ir.Value] = Counter()
        seen: set[ir.Node] = set()
        stack = [value.producer()]
        while stack:
            node = stack.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            inputs = {v for v in node.inputs if v is not None}
            readers.update(inputs)
            stack.extend(v.producer() for v in inputs)
        return readers

    def fold(self, node: ir.Node, inputs: Sequence[npt.NDArray[Any] | None]) -> list[npt.NDArray[Any]]:
        """What a deterministic operator makes of these operands. Raises ModelError naming it where it cannot be run."""
        try:
            if node.op_type == "Identity":
                return [_present(inputs[0])]
            if node.op_type == "Transpose":
                perm = node.attributes.get("perm")
                return [np.transpose(_present(inputs[0]), perm.as_ints() if perm else None)]
            if node.op_type == "DequantizeLinear" and NEWER_DEQUANTIZE.isdisjoint(node.attributes):
                with np.errstate(all="ignore"):
                    return [_dequantise(node, inputs)]
            with np.errstate(all="ignore"):  # a logarithm of 0 is what the model says, and nobody's mistake
                made = _evaluate(node, inputs, self._opset_imports)
                # Of whole numbers the reference implementation makes wider ones.
                return [one.astype(_present(inputs[0]).dtype) for one in made] if node.op_type in REDUCING else made
        except Exception as error:  # invalid nodes, and the evaluator raises whatever the operator's code raises
            raise ModelError(f"constant operator {node.name or node.op_type!r} ({node.op_type}): {error}") from error


def _afforded(node: ir.Node, inputs: Sequence[npt.NDArray[Any] | None], budget: FoldingBudget, spent: float) -> float:
    """The seconds that an operator takes. Raises ModelError where they, or its result, are more than may be."""
    attributes = {name: one.value for name, one in node.attributes.items() if not one.is_ref()}
    work = work_of(node.op_type, inputs, attributes, pointwise=node.op_type in POINTWISE)
    if why := budget.excess(work, spent):
        raise ModelError(f"constant operator {node.name or node.op_type!r} ({node.op_type}): {why}")
    return work.seconds


def _tensor_of(node: ir.Node | None) -> Any:
    """The tensor of a Constant node, None where it has none."""
    return node.attributes["value"].value if node is not None and "value" in node.attributes else None


def _names_outside(model: ir.Model) -> set[str | None]:
    main = model.graph
    return {v.name for v in main.inputs} | set(main.initializers) | {v.name for node in main for v in node.outputs}


def _names_in_branches(model: ir.Model) -> set[str | None]:
    return {name for graph in model.graph.subgraphs() if graph is not model.graph for name in graph.initializers}


def _passed_on(node: ir.Node) -> ir.Value | None:
    """What a node passes on as it is, or with its axes in another order, however large it is; None for any other."""
    return node.inputs[0] if node.op_type in ("Identity", "Transpose") and len(node.inputs) == 1 else None


def _present(array: npt.NDArray[Any] | None) -> npt.NDArray[Any]:
    assert array is not None
    return array


def _foldable(node: ir.Node) -> bool:
    if node.op_type == "Constant":
        return any(name in node.attributes for name in CONSTANT_ATTRIBUTES) and not any(
            attribute.is_ref() for attribute in node.attributes.values()
        )
    pure = is_standard(node) and node.op_type not in IMPURE and bool(node.inputs)
    return pure and not (node.attributes and any(a.is_ref() for a in node.attributes.values()))


def _is_misread(node: ir.Node, opset: int) -> bool:
    """Whether ONNX's reference implementation computes something else than ONNX Runtime."""
    if opset < MISREAD_BEFORE.get(node.op_type, 0):
        return True
    axes = node.attributes.get("axes") if node.op_type in ("Squeeze", "Unsqueeze") else None
    return axes is not None and len(axes.as_ints()) > 1 and min(axes.as_ints()) < 0


def _constant_node(node: ir.Node) -> npt.NDArray[Any]:
    name = next(name for name in CONSTANT_ATTRIBUTES if name in node.attributes)
    value = node.attributes[name].value
    if name == "value":
        return read(value)
    return np.asarray(value, np.float32 if "float" in name else np.int64)


def _dequantise(node: ir.Node, inputs: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any]:
    """(q - zero point) * scale, which ONNX's reference implementation has for recent operator sets only."""
    quantised, scale = _present(inputs[0]), _present(inputs[1])
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros_like(scale, quantised.dtype)
    if scale.size > 1:
        axis = node.attributes.get("axis")
        along = [1] * quantised.ndim
        along[axis.as_int() if axis else 1] = -1
        scale, zero = scale.reshape(along), zero.reshape(along)
    exact = np.int64 if quantised.dtype.kind in "iu" else np.float32
    difference: npt.NDArray[Any] = (quantised.astype(exact) - zero.astype(exact)).astype(scale.dtype)
    scaled: npt.NDArray[Any] = (difference * scale).astype(scale.dtype)
    return scaled


def _evaluate(
    node: ir.Node, inputs: Sequence[npt.NDArray[Any] | None], opset_imports: dict[str, int]
) -> list[npt.NDArray[Any]]:
    """Run one node with ONNX's own reference implementation, imported only when a chain needs it."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    feeds = {f"i{n}": array for n, array in enumerate(inputs) if array is not None}
    proto = ir.to_proto(node)
    del proto.input[:], proto.output[:]
    proto.input.extend(f"i{n}" if array is not None else "" for n, array in enumerate(inputs))
    proto.output.extend(f"o{n}" for n in range(len(node.outputs)))
    graph = onnx.helper.make_graph(
        [proto],
        "fold",
        [_value_info(name, array) for name, array in feeds.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in proto.output],
    )
    standard = "" if "" in opset_imports else "ai.onnx"  # the evaluator knows one of the two spellings
    proto.domain = ""
    imports = [onnx.helper.make_opsetid("" if d == standard else d, v) for d, v in opset_imports.items()]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    return [np.asarray(output) for output in ReferenceEvaluator(model).run(None, feeds)]


def _value_info(name: str, array: npt.NDArray[Any]) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
