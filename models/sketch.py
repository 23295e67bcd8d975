"""A small graph in the making: onnx-graphsurgeon with names, initializers and the truth kept in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs

from ..ir.plan.plan import Decomposition
from .matrix import Array, Sizes, weight

__all__ = ["Attribute", "Shape", "Sketch", "Tensor"]

Shape = Sequence[int | str]
Tensor = Any  # graphsurgeon carries no types
Attribute = Any  # number, text, list, tensor or graph


class Sketch:
    """Nodes, constants and truth of one graph; `body` opens a graph inside it, `model` ends it.

    rng, sizes, dtype, dormant and contiguous are those of the planted weights, as in `matrix.weight`; opset, ir_version
    and functions may be set until `model`.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        sizes: Sizes = (),
        dtype: npt.DTypeLike = np.float32,
        dormant: tuple[int, int] = (0, 0),
        contiguous: bool = False,
    ) -> None:
        self.rng = rng
        self.sizes = sizes
        self.dtype = np.dtype(dtype)
        self.dormant = dormant
        self.contiguous = contiguous
        self.opset = 17
        self.ir_version = 10
        self.truth: dict[str, Decomposition] = {}
        self.functions: list[onnx.FunctionProto] = []
        self._nodes: list[Any] = []
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._constants: dict[str, Tensor] = {}
        self._names: set[str] = set()

    def weight(
        self, dormant: tuple[int, int] | None = None, contiguous: bool | None = None
    ) -> tuple[Array, Decomposition]:
        """A block matrix (K, N) of this sketch's sizes and dtype, with its truth; options override the sketch's."""
        dormant = self.dormant if dormant is None else dormant
        contiguous = self.contiguous if contiguous is None else contiguous
        return weight(self.rng, self.sizes, dormant, self.dtype, contiguous)

    def normal(self, shape: Sequence[int]) -> Array:
        """Random values of this sketch's dtype."""
        return np.asarray(self.rng.standard_normal(tuple(shape)), self.dtype)

    def input(self, name: str, shape: Shape | None, dtype: npt.DTypeLike | None = None) -> Tensor:
        """A graph input; shape None leaves the rank unknown."""
        self._names.add(name)
        self._inputs.append(gs.Variable(name, np.dtype(dtype or self.dtype), None if shape is None else list(shape)))
        return self._inputs[-1]

    def constant(self, value: Array | Sequence[int] | float, name: str = "constant") -> Tensor:
        """An initializer; Python numbers become int64 vectors or scalars of this sketch's dtype."""
        if isinstance(value, float):
            value = np.array(value, self.dtype)
        tensor = gs.Constant(self._fresh(name), np.asarray(value))
        self._constants[tensor.name] = tensor
        return tensor

    def op(
        self,
        op: str,
        *inputs: Tensor,
        name: str | None = None,
        truth: Decomposition | None = None,
        outputs: int = 1,
        domain: str | None = None,
        **attributes: Attribute,
    ) -> Tensor:
        """Append a node and return its output, or the list of them when `outputs` is above one.

        Inputs are tensors, arrays and numbers (they become initializers) or None (an omitted one). `truth` marks the
        node as a linear with that decomposition, under its name, or as "MatMul#3" (its position) when that is "".
        """
        name = self._fresh(op.lower()) if name is None else name
        sources = [self._tensor(value) for value in inputs]
        results = [gs.Variable(self._fresh(f"{name or op.lower()}_out")) for _ in range(outputs)]
        self._nodes.append(gs.Node(op, name, attributes, sources, results, domain=domain))
        if truth is not None:
            self.truth[name or f"{op}#{len(self._nodes) - 1}"] = truth
        return results[0] if outputs == 1 else results

    def output(
        self,
        tensor: Tensor,
        dtype: npt.DTypeLike | None = None,
        shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        """Make a tensor a graph output; say its shape where ONNX cannot infer it (contrib operators, loop state)."""
        tensor.name = name or tensor.name
        tensor.dtype = np.dtype(dtype or self.dtype)
        tensor.shape = None if shape is None else list(shape)
        self._outputs.append(tensor)

    def body(self) -> Sketch:
        """A sketch for a subgraph that shares names and truth with this one; close it with `graph`."""
        inner = Sketch(self.rng, self.sizes, self.dtype, self.dormant, self.contiguous)
        inner.truth, inner._names, inner.opset = self.truth, self._names, self.opset
        return inner

    def outer(self, tensor: Tensor) -> Tensor:
        """A tensor of the enclosing graph, by name only: graphsurgeon would copy a constant into the subgraph."""
        return gs.Variable(tensor.name)

    def graph(self, name: str = "graph") -> Attribute:
        """The graphsurgeon graph sketched so far."""
        return gs.Graph(
            nodes=self._nodes,
            inputs=self._inputs,
            outputs=self._outputs,
            name=name,
            opset=self.opset,
            ir_version=self.ir_version,
        )

    def model(self) -> onnx.ModelProto:
        """The finished ONNX model; output shapes are inferred, intermediate ones left out as TorchScript does."""
        model: onnx.ModelProto = gs.export_onnx(self.graph())
        present = {tensor.name for tensor in model.graph.initializer}
        for name, tensor in self._constants.items():
            if name not in present:  # graphsurgeon forgets constants that only subgraphs read
                model.graph.initializer.append(onnx.numpy_helper.from_array(tensor.values, name))
        model.functions.extend(self.functions)
        for domain in {function.domain for function in self.functions} - {o.domain for o in model.opset_import}:
            model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
        if any(output.shape is None for output in self._outputs):
            inferred = onnx.shape_inference.infer_shapes(model)
            del model.graph.output[:]
            model.graph.output.extend(inferred.graph.output)
        return model

    def _tensor(self, value: Attribute) -> Tensor:
        if value is None:
            return gs.Variable.empty()
        if isinstance(value, gs.Tensor):
            return value
        return self.constant(value)

    def _fresh(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate
