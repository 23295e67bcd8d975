"""A model as a module of torch that computes what it computes, and is trained where it is to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ....ir.graph.linear import Linear
from ....ir.graph.survey import Survey
from ....ir.io.tensors import read
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Plan
from ..modules.block_linear import BlockLinear
from ..modules.cover_linear import CoverLinear
from ..modules.layer_error import LayerError
from ..modules.split_linear import SplitLinear
from ..operators.products import added_by_gemm
from ..operators.rules import rule_of
from .control_flow import CONTROLLED
from .program import Body, Instruction, Program
from .roles import BlockRole, Roles
from .tensors import array_of, tensor_of

__all__ = ["Interpreted", "Written"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Where the weights of a module go. given: the model as it was given; model: what the steps of the plan are about;
    blocks: by the name of the module."""

    given: Any
    model: ir.Model
    plan: Plan | None
    found: Survey
    blocks: Mapping[str, BlockRole]
    whole: Mapping[str, ir.Value]

    def __deepcopy__(self, memo: Any) -> Written:
        return self  # copies of a module are written into the same model


class Interpreted(nn.Module):
    """A model of ONNX: its inputs in their order, or by name, to its outputs, one tensor or a tuple.

    blocks: linears as `BlockLinear` or `CoverLinear`, without bias; weights: stored constants that are trained as a
    whole, entries outside of blocks staying zero; held: linears that are not trained, and why. Names of modules are
    those of the model, with `/` for a dot.
    """

    def __init__(self, program: Program, roles: Roles, written: Written) -> None:
        super().__init__()
        self.program, self.written, self.held = program, written, roles.held
        self.blocks = nn.ModuleDict({name: _block(role, written.found) for name, role in written.blocks.items()})
        self._addresses = {role.linear.address: name for name, role in written.blocks.items()}
        self._layouts = {name: _Layout.of(role.linear) for name, role in written.blocks.items()}
        self.weights = nn.ParameterDict()
        self.masks = nn.Module()
        self._masked: dict[str, str] = {}
        for index, (name, value) in enumerate(written.whole.items()):
            self.weights[name] = nn.Parameter(tensor_of(written.found.constants.read(value)))
            mask = roles.whole[value]
            if mask is not None:
                self._masked[name] = f"of_{index}"
                self.masks.register_buffer(f"of_{index}", tensor_of(mask), persistent=False)
        self._hold(program, {value: name for name, value in written.whole.items()})

    def _hold(self, program: Program, names: Mapping[ir.Value, str]) -> None:
        """Keep constants: numbers as buffers, which go where the module goes, and sizes as they are."""
        self.constants = nn.Module()
        self._numbers: dict[int, str] = {}
        self._sizes: dict[int, Tensor] = {}
        self._trained: dict[int, str] = {}
        for place, held in program.constants.items():
            if isinstance(held, ir.Value):
                if held in names:
                    self._trained[place] = names[held]
                continue
            tensor = tensor_of(held)
            if tensor.is_floating_point():
                self._numbers[place] = f"at_{place}"
                self.constants.register_buffer(f"at_{place}", tensor, persistent=False)
            else:
                self._sizes[place] = tensor
        self._defaults = {name: tensor_of(read(value.const_value)) for name, value in program.defaults.items()}

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of what goes in, in order."""
        return tuple(name for name, _ in self.program.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what comes out, in order."""
        return self.program.outputs

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the model computes of these inputs. Raises LayerError where one is missing, or is none of the model."""
        made, _ = self._computed(inputs, named)
        return made[0] if len(made) == 1 else tuple(made)

    def observe(self, names: Sequence[str], **named: Tensor) -> tuple[Tensor, ...]:
        """The outputs, and behind them values of the main graph, each by a name in `program.made`; gradients pass
        through both. Raises LayerError as a call does."""
        made, places = self._computed((), named)
        seen = [places[self.program.made[name]] for name in names]
        return (*made, *(one for one in seen if one is not None))

    def _computed(
        self, inputs: Sequence[Tensor], named: Mapping[str, Tensor]
    ) -> tuple[list[Tensor], dict[int, Tensor | None]]:
        """The outputs, and everything that there is by then."""
        given = {**self._defaults, **self._given(inputs, named)}
        places: dict[int, Tensor | None] = {at: given[name] for name, at in self.program.inputs}
        places |= self._sizes
        places |= {at: self.constants.get_buffer(name) for at, name in self._numbers.items()}
        places |= {at: self._weight(name) for at, name in self._trained.items()}
        return self._run(self.program.body, places), places

    def arrays(self) -> dict[str, Array]:
        """The stored constants as training left them, by their name in the model."""
        found = {str(value.name): self._whole(name, value) for name, value in self.written.whole.items()}
        for name, role in self.written.blocks.items():
            found[str(role.leaf.name)] = self._stored(name, role)
        return found

    def _whole(self, name: str, value: ir.Value) -> Array:
        """A stored constant, outside of blocks as it was, where a zero may have a sign."""
        made = array_of(self.weights[name])
        if (mask := self._masked.get(name)) is None:
            return made
        return np.where(array_of(self.masks.get_buffer(mask)), made, self.written.found.constants.read(value))

    def _stored(self, name: str, role: BlockRole) -> Array:
        """The weight of a linear as it is stored: its blocks, and what was outside of them, which is zero."""
        module = self.blocks[name]
        assert isinstance(module, SplitLinear)
        stored = self.written.found.constants.read(role.leaf).copy()
        turned = np.transpose(stored, role.order)
        flat = np.ascontiguousarray(turned if role.linear.transposed else turned.T)
        entries = flat.reshape(-1)
        for parameter, part, at in module.origins():
            assert part == "weight"
            entries[at.cpu().numpy().reshape(-1)] = array_of(parameter).reshape(-1)
        back = flat if role.linear.transposed else flat.T
        return np.ascontiguousarray(np.transpose(back.reshape(turned.shape), np.argsort(role.order)))

    def _given(self, inputs: Sequence[Tensor], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = self.input_names
        given = {**dict(zip(names, inputs, strict=False)), **named}
        if len(inputs) > len(names) or len(given) < len(inputs) + len(named) or not given.keys() <= set(names):
            raise LayerError(f"the inputs are {', '.join(names)}; others were given, or one of them twice")
        if missing := [name for name in names if name not in given and name not in self._defaults]:
            raise LayerError(f"{missing[0]}: this input is missing; give a tensor for each of {', '.join(names)}")
        return given

    def _weight(self, name: str) -> Tensor:
        weight = self.weights[name]
        if (mask := self._masked.get(name)) is None:
            return weight
        return torch.where(self.masks.get_buffer(mask), weight, weight.new_zeros(()))

    def _run(self, body: Body, places: dict[int, Tensor | None]) -> list[Tensor]:
        """What a body writes; places: what there is, to which it adds."""
        for one in body.instructions:
            given = _together([None if at is None else places[at] for at in one.reads])
            made = self._made(one, given, places)
            for at, tensor in zip(one.writes, made, strict=False):
                places[at] = tensor
        found = [places[at] for at in body.writes if at is not None]
        return [one for one in found if one is not None]

    def _made(self, one: Instruction, given: list[Tensor | None], places: dict[int, Tensor | None]) -> Sequence[Tensor]:
        if one.bodies:
            return CONTROLLED[one.call.op](one, given, lambda body, inner: self._run(body, places | inner))
        if one.blocks:
            name = self._addresses[one.blocks]
            x = given[0]
            assert x is not None
            product = self._layouts[name].through(self.blocks[name], x)
            return (added_by_gemm(one.call, product, [None, None, *given[1:]]),)
        rule = rule_of(one.domain, one.call.op)
        assert rule is not None
        made = rule(one.call, given)
        return (made,) if isinstance(made, Tensor) else made


@dataclass(frozen=True, slots=True)
class _Layout:
    """How features come to the last axis of rows, and go back from there; None where they are there."""

    enter: tuple[int, ...] | None
    exit: tuple[int, ...] | None
    rows: bool

    @staticmethod
    def of(linear: Linear) -> _Layout:
        layout = linear.layout
        return _Layout(layout.enter, layout.exit, layout.kind == "rows")

    def through(self, module: nn.Module, x: Tensor) -> Tensor:
        """What a module makes of the features of x."""
        if self.rows:
            return _tensor(module(x))
        x = (x if self.enter is None else x.permute(self.enter)).movedim(0, -1)
        y = _tensor(module(x)).movedim(-1, 0)
        return y if self.exit is None else y.permute(self.exit)


def _tensor(made: Any) -> Tensor:
    assert isinstance(made, Tensor)
    return made


def _block(role: BlockRole, found: Survey) -> SplitLinear:
    """A linear as blocks, with the numbers that it has."""
    stored = np.transpose(found.constants.read(role.leaf), role.order)
    K, N = role.linear.shape
    matrix = stored.reshape((N, K) if role.linear.transposed else (K, N))
    weight = tensor_of(matrix if role.linear.transposed else matrix.T)
    kind: type[SplitLinear] = BlockLinear
    if role.decomposition.shared.size or role.decomposition.residual:
        kind = CoverLinear
    made = kind(role.decomposition, bias=False, dtype=weight.dtype)
    made.fill({"weight": weight})
    return made


def _together(given: list[Tensor | None]) -> list[Tensor | None]:
    """Operands on one device: sizes are made on the CPU, whatever device computes."""
    away = next((one.device for one in given if one is not None and one.device.type != "cpu"), None)
    return given if away is None else [None if one is None else one.to(away) for one in given]
