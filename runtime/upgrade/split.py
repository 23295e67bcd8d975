"""Dense layers of a module of torch replaced by their blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...ir.brief import brief, brief_line
from ...ir.errors import option
from ...ir.plan.decomposition import Decomposition
from ...ir.plan.plan import Plan, require_plan
from ...ir.plan.step import Step
from ...ir.reason import Cause, Reason
from ...passes.decompose.fingerprint import fingerprint
from .modules.block_linear import BlockLinear
from .modules.cover_linear import CoverLinear
from .modules.layer_error import LayerError
from .modules.split_attention import SplitAttention
from .modules.split_ffn import SplitFFN
from .modules.split_linear import SplitLinear
from .modules.split_module import SplitModule
from .moving import Moved, move_gradients
from .structure import attention_blocks, ffn_blocks, linear_blocks

__all__ = ["Left", "Replaced", "SplitResult", "split"]

POINTWISE = (  # works on every entry by itself, and draws nothing
    *(nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardswish, nn.Mish),
    *(nn.ReLU6, nn.Hardtanh, nn.SELU, nn.CELU, nn.Hardsigmoid, nn.Softsign, nn.Tanhshrink, nn.LogSigmoid, nn.Identity),
)
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Found = tuple[str, SplitModule, dict[str, nn.Parameter], tuple[str, ...]]  # path, blocks, dense parts, paths made empty


@dataclass(frozen=True, slots=True, eq=False)
class Replaced:
    """A part of a module that is blocks now. path: its name in the module; blocks: how many; mac_share: of its
    multiply-adds that are left, 0 to 1."""

    path: str
    module: SplitModule
    blocks: int
    mac_share: float

    __repr__ = brief_line


@dataclass(frozen=True, slots=True)
class Left:
    """A dense layer that stays as it is, and why."""

    path: str
    reason: Reason

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, eq=False)
class SplitResult:
    """A module with its blocks, and what became of each of its dense layers.

    moved: where the entries of the dense parameters went, for `carry_state`.
    """

    module: nn.Module
    replaced: tuple[Replaced, ...]
    left: tuple[Left, ...]
    moved: tuple[Moved, ...] = field(repr=False)

    __repr__ = brief


def split(module: nn.Module, plan: Plan | None = None, *, most_blocks: int | None = None) -> SplitResult:
    """Replace the dense layers of a module that fall apart by their blocks, in place.

    plan: which layers are split and how, made for a model with the same weights, which are known by their SHA-256;
    None looks for exactly zero entries in every layer. most_blocks: blocks of a layer, or of layers that are split as
    one, are merged until there are no more, without a plan. Layers with something elementwise between them in an
    `nn.Sequential` that is called as a whole, and `nn.MultiheadAttention`, are split as one. The module computes the
    same as before, within rounding of the order of summation; nothing but exact zeros is left out. A module that is
    itself a dense layer cannot be changed in place: use that of the result.
    Raises LayerError where the plan splits a weight that the module does not have, or leaves out entries that are not
    zero, and for weights on the device 'meta', before anything is changed.

    >>> layer = nn.Linear(4, 4)
    >>> with torch.no_grad():
    ...     layer.weight.mul_(torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)))[0, 0].item() != 0
    True
    >>> found = split(nn.Sequential(layer, nn.Linear(4, 2)))
    >>> found.module[0], str(found.left[0].reason)
    (BlockLinear(4x4, blocks=2, mac_share=0.5), 'one component holds every feature')
    """
    _require(module, most_blocks)
    wanted = None if plan is None else _Wanted(require_plan(plan))
    left: list[Left] = []
    found = list(_searched(module, wanted, most_blocks, left))
    if wanted is not None:
        wanted.require_all()
    replaced, origins = [], []
    names = {parameter: name for name, parameter in module.named_parameters()}
    for path, made, parts, empty in found:
        module = _put(module, path, made)
        for each in empty:
            setattr(module.get_submodule(each.rpartition(".")[0]), each.rpartition(".")[2], nn.Identity())
        replaced.append(Replaced(path, made, len(made.decompositions[0].blocks), made.mac_share))
        origins += [(parts[part], parameter, at) for parameter, part, at in made.origins()]
    for encoder in module.modules():
        if isinstance(encoder, nn.TransformerEncoder) and any(
            isinstance(one, SplitAttention) for one in encoder.modules()
        ):
            encoder.use_nested_tensor = False  # these are for a kernel that reads dense weights of attention
    into = {parameter: name for name, parameter in module.named_parameters()}
    moved = [Moved(names[old], old, new, at, into[new]) for old, new, at in origins]
    move_gradients(moved)
    return SplitResult(module, tuple(replaced), tuple(left), tuple(moved))


def _require(module: Any, most: Any) -> None:
    """Raise LayerError for what is no module, or without values, and for no number of blocks."""
    if not isinstance(module, nn.Module):
        raise LayerError(f"a module of torch is wanted, not a {type(module).__name__}")
    if most is not None and (type(most) is not int or most < 1):
        raise LayerError(f"{most!r} is no number of blocks; use ", option("most_blocks", 8))
    for path, one in module.named_modules():
        if isinstance(one, nn.Linear | nn.MultiheadAttention):
            for name, parameter in one.named_parameters(path):
                if parameter.is_meta:
                    raise LayerError(f"{name}: is on the device 'meta', which has no values; load the weights first")


class _Wanted:
    """The steps of a plan that split something, by the SHA-256 of their weights."""

    def __init__(self, plan: Plan) -> None:
        self.steps: dict[str, list[Step]] = {}
        for step in plan.steps:
            if step.lowering != "dense" and step.sha256 is not None:
                self.steps.setdefault(step.sha256, []).append(step)

    def take(self, layer: nn.Linear) -> Step | None:
        """The next step for a weight like that of this layer, stored as torch has it or turned."""
        stored = layer.weight.detach().cpu()
        if stored.dtype == torch.bfloat16:
            return None  # numpy has no such type to hash
        for matrix in (stored.numpy(), stored.T.contiguous().numpy()):
            if steps := self.steps.get(fingerprint(matrix)):
                return steps.pop(0)
        return None

    def require_all(self) -> None:
        left = [step.node for steps in self.steps.values() for step in steps]
        if left:
            raise LayerError(
                f"the plan splits {', '.join(left[:3])}{' …' if len(left) > 3 else ''}, but the module has no "
                "dense layer with that weight; make the plan of a model that was exported with the weights of now, "
                "or split without a plan where exporting or planning changes them"
            )


def _searched(module: nn.Module, wanted: _Wanted | None, most: int | None, left: list[Left]) -> Iterator[Found]:
    """What is to be replaced; `left` gets what is not. Nothing is changed yet."""
    tied = _tied(module)
    done: set[nn.Module] = set()
    homes = Counter(child for one in module.modules() for child in one._modules.values())
    for path, one in module.named_modules():
        if wanted is None and isinstance(one, nn.Sequential) and _calls_in_order(one):
            yield from _nets(path, one, most, tied, done, homes)
        if wanted is None and type(one) is nn.MultiheadAttention:
            done |= set(one.modules())
            reason = _why_attention_stays(one, tied)
            parts = None if reason else attention_blocks(one, most)
            if parts is not None:
                yield path, SplitAttention.from_multihead(one, parts), dict(one.named_parameters()), ()
            else:
                left.append(Left(path, reason or Reason(Cause.CONNECTED, "its heads are no blocks that save a tenth")))
        if isinstance(one, nn.Linear) and one not in done:
            decided = _decided(one, wanted, most, tied)
            if isinstance(decided, Reason):
                left.append(Left(path, decided))
            else:
                kind: type[SplitLinear] = CoverLinear if decided.shared.size or decided.residual else BlockLinear
                yield path, kind.from_linear(one, decided), dict(one.named_parameters()), ()


def _decided(layer: nn.Linear, wanted: _Wanted | None, most: int | None, tied: set[Any]) -> Decomposition | Reason:
    """The blocks that a layer is replaced by, or why it stays."""
    if reason := _why_stays(layer, tied):
        return reason
    if wanted is None:
        return linear_blocks(layer.weight, most)
    step = wanted.take(layer)
    if step is None:
        return Reason(Cause.AS_ASKED, "the plan does not split it")
    outside = ~torch.from_numpy(step.decomposition.inside().T).to(layer.weight.device)
    if bool((layer.weight.detach() * outside).count_nonzero()):
        raise LayerError(
            f"{step.node}: there are entries outside of its blocks; plan without annealing, or anneal first"
        )
    return step.decomposition


def _nets(
    path: str, sequence: nn.Sequential, most: int | None, tied: set[Any], done: set[nn.Module], homes: Counter[Any]
) -> Iterator[Found]:
    """Layers with something elementwise between them, and in no other place, that fall apart as one."""
    names = list(sequence._modules)
    for first in range(len(names) - 2):
        up, between, down = (sequence._modules[name] for name in names[first : first + 3])
        if not (isinstance(up, nn.Linear) and type(between) in POINTWISE and isinstance(down, nn.Linear)):
            continue
        if up in done or max(homes[up], homes[down]) > 1 or up.out_features != down.in_features or _hooked(between):
            continue
        if _why_stays(up, tied) or _why_stays(down, tied):
            continue
        if (blocks := ffn_blocks(up, down, most)) is None:
            continue
        done |= {up, down}
        at = [f"{path}.{name}" if path else name for name in names[first : first + 3]]
        parts = {f"{side}.{n}": p for side, of in (("up", up), ("down", down)) for n, p in of.named_parameters()}
        yield at[0], SplitFFN.from_linears(up, down, between, blocks), parts, (at[1], at[2])


def _why_stays(layer: nn.Linear, tied: set[Any]) -> Reason | None:
    if type(layer) is not nn.Linear:
        return Reason(Cause.UNSUPPORTED, f"it is a {type(layer).__name__}, whose weight others may use as well")
    if _hooked(layer):
        return Reason(Cause.UNSUPPORTED, "it has hooks or parametrisations, which expect a dense layer")
    if reason := _why_no_numbers(layer):
        return reason
    if any(parameter in tied for parameter in layer.parameters()):
        return Reason(Cause.UNSUPPORTED, "its weight is that of another module as well")
    return None


def _why_attention_stays(attention: nn.MultiheadAttention, tied: set[Any]) -> Reason | None:
    if attention.bias_k is not None or attention.add_zero_attn:
        return Reason(Cause.UNSUPPORTED, "it adds keys of its own")
    if any(parameter in tied for parameter in attention.parameters()) or _hooked(attention):
        return Reason(Cause.UNSUPPORTED, "its weights are those of another module as well, or it has hooks")
    if _hooked(attention.out_proj):
        return Reason(Cause.UNSUPPORTED, "its output has hooks or parametrisations, which expect a dense layer")
    return _why_no_numbers(attention, attention.out_proj)


def _why_no_numbers(*modules: nn.Module) -> Reason | None:
    """What is special about the parameters of dense layers, None for plain floating-point ones of one type."""
    given = [one for module in modules for one in module._parameters.values() if one is not None]
    if any("weight" in vars(module) for module in modules) or any(type(one) is not nn.Parameter for one in given):
        return Reason(Cause.UNSUPPORTED, "its weight is no plain parameter")
    if any(one._backward_hooks or getattr(one, "_post_accumulate_grad_hooks", None) for one in given):
        return Reason(Cause.UNSUPPORTED, "its parameters have hooks, which expect dense gradients")
    kinds = sorted({str(one.dtype) for one in given if one.dtype not in NUMBERS or one.layout != torch.strided})
    if kinds:
        text = f"its parameters are {kinds[0]}, not dense floating-point numbers of 16 to 64 bits"
        return Reason(Cause.UNSUPPORTED, text)
    one_type = len({one.dtype for one in given}) == 1
    return None if one_type else Reason(Cause.UNSUPPORTED, "its parameters are of several types")


def _hooked(module: Any) -> bool:
    """Whether more is done with a module than its class says."""
    return (
        any(getattr(module, name) for name in HOOKS) or hasattr(module, "parametrizations") or "forward" in vars(module)
    )


def _calls_in_order(sequence: nn.Sequential) -> bool:
    """Whether it calls its modules one after the other and does nothing else: a subclass may do anything."""
    return type(sequence).forward is nn.Sequential.forward and "forward" not in vars(sequence)


def _tied(module: nn.Module) -> set[Any]:
    """Parameters that several modules have; one module in several places has them once."""
    uses = Counter(parameter for one in module.modules() for parameter in set(one._parameters.values()) - {None})
    return {parameter for parameter, count in uses.items() if count > 1}


def _put(root: nn.Module, path: str, made: nn.Module) -> nn.Module:
    """The root with a module in the place of another, everywhere where that was."""
    old = root.get_submodule(path)
    if old is root:
        return made
    for parent in list(root.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = made
    return root
