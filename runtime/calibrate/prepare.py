"""What a user says about annealing, turned into what the pass needs: the null of every weight, and its evidence."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError, option
from ...ir.graph.linear import Linear
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.load import Model
from ...ir.plan.null import Null
from ...passes.anneal.blocks.certificate import STRAYS
from ...passes.anneal.edges.correction import Correction
from ...passes.anneal.edges.random_walk import Source
from ...passes.anneal.edges.schemes import estimate, parse_scheme
from ...passes.anneal.model import METHODS, Anneal, Method

if TYPE_CHECKING:
    from ...passes.anneal.activity.activity import Activity

__all__ = ["LIKE", "AnnealOptionsError", "Annealer", "Prepared", "as_annealer", "prepare"]

LIKE = "like:"
ALPHA = 0.05
SMALLEST = 1e-250  # a level that is shared out among 1e50 tests is still a number
SHOWN = 8  # mismatches that are listed one by one


class AnnealOptionsError(ScissionError):
    """Options of annealing that contradict each other or name what is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annealer:
    """How to anneal, as a user says it; off unless one is given.

    method: see `scission.passes.anneal.model.Anneal`; alpha, correction: of the edge-wise tests; init: a scheme such as
    'torch_linear', 'normal:0.02' or 'bert', or 'like:TENSOR', the deviation of a tensor of the same model that was
    never trained; initial: the checkpoint that training started from (.onnx, .safetensors, .npz, torch); literal:
    remove edge by edge, as the paper does, instead of keeping all inside the blocks; strays: how many entries outside
    the blocks 'blocks' may keep; drop_strays: remove them; axis: whose influence sums to one in the tests
    of equal influence, 'inputs' or 'outputs'; accept_null: anneal edge by edge though a weight contradicts its null;
    refit: fit the surviving blocks again on the calibration
    data; veto: the largest relative change of an operator's outputs on calibration data that is allowed; exposed: a
    weight that calibration data never exposed counts as not confirmed; seed: of searches; device: 'cpu', or a device of
    torch for the edge tests.
    """

    method: Method = "auto"
    alpha: float = ALPHA
    correction: Correction = "bonferroni"
    init: str | None = None
    initial: str | os.PathLike[str] | None = None
    literal: bool = False
    strays: int = STRAYS
    drop_strays: bool = False
    axis: Source = "inputs"
    accept_null: bool = False
    refit: bool = False
    veto: float | None = None
    exposed: bool = False
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise AnnealOptionsError(f"unknown method {self.method!r}; use one of {', '.join(METHODS)}")
        if self.correction not in get_args(Correction):
            raise AnnealOptionsError(f"unknown correction {self.correction!r}; use {', '.join(get_args(Correction))}")
        if self.axis not in get_args(Source):
            raise AnnealOptionsError(f"unknown axis {self.axis!r}; use {', '.join(get_args(Source))}")
        if not SMALLEST <= self.alpha < 1:
            raise AnnealOptionsError(f"a level lies between {SMALLEST:g} and 1, not at {self.alpha}")
        if self.seed < 0 or self.strays < 0:
            raise AnnealOptionsError("the seed and the number of strays are counted from 0 up")
        if self.init is not None and self.initial is not None:
            raise AnnealOptionsError(
                option("init"),
                " names a distribution and ",
                option("initial"),
                " the weights themselves; give one of them",
            )
        if self.method == "update" and self.initial is None:
            raise AnnealOptionsError(
                "the method 'update' compares with the initial weights; give ", option("initial"), ", their checkpoint"
            )
        if idle := self._idle():
            named = [part for name in idle for part in (" or ", option(name))][1:]
            raise AnnealOptionsError(*named, f" means nothing to the method {self.method!r}; leave it out")
        if self.refit and self.literal:
            raise AnnealOptionsError(
                option("refit", True), " fits blocks, and ", option("literal", True), " leaves none; choose one"
            )
        if self.veto is not None and not self.veto >= 0:
            raise AnnealOptionsError(f"a veto is a relative error from 0 up, not {self.veto}")

    def _idle(self) -> tuple[str, ...]:
        """Options of which one was given and that the method does not heed."""
        edgewise = self.method not in ("auto", "blocks")
        if edgewise and (self.drop_strays or self.strays != STRAYS):
            return "strays", "drop_strays"
        if self.method == "blocks" and (self.literal or self.exposed):
            return "literal", "exposed"
        if self.method in ("blocks", "support", "update") and (self.alpha, self.correction) != (ALPHA, "bonferroni"):
            return "alpha", "correction"
        if self.method not in ("walk", "edges", "consistency", "sequences", "paper") and self.axis != "inputs":
            return ("axis",)
        if self.method in ("blocks", "update") and self.accept_null:
            return ("accept_null",)
        return ()

    @property
    def needs_data(self) -> bool:
        """Whether calibration data are needed even to decide."""
        return self.refit or self.veto is not None or self.exposed


def as_annealer(options: Annealer | str) -> Annealer:
    """How to anneal, also by the name of a method alone. Raises AnnealOptionsError for an unknown one."""
    return Annealer(method=options) if isinstance(options, str) else options  # type: ignore[arg-type]  # it is checked


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The settings of the pass, the survey they are about, and what is worth knowing: mismatches, matches by guess."""

    settings: Anneal
    survey: Survey
    notes: tuple[str, ...]


def prepare(model: Model, options: Annealer, activity: Mapping[str, Activity] | None = None) -> Prepared:
    """Read what options name and make settings of them.

    activity: of calibration data, by address, where the options need it. Raises AnnealOptionsError, SchemeError,
    CheckpointError, DeviceError or AnnealError for options that make no sense for this model.
    """
    seen = view(model.graph).found
    settings = Anneal(
        method=options.method,
        level=options.alpha,
        correction=options.correction,
        fill=not options.literal,
        strays=options.strays,
        drop_strays=options.drop_strays,
        axis=options.axis,
        accept_null=options.accept_null,
        seed=options.seed,
    )
    notes: list[str] = []
    if options.device != "cpu":
        from ...passes.connectivity.device import pick_device

        settings = replace(settings, device=pick_device(options.device))
    if options.init is not None:
        settings = replace(settings, null=_nulls(model, seen, options.init))
    if options.initial is not None:
        from .checkpoint import read_initial, rounding

        matched = read_initial(options.initial, seen.linears, seen.constants)
        settings = replace(settings, initial=matched.initial, tolerance=rounding)
        notes += [
            *_some(matched.mismatches, "without initial weight"),
            *_some(matched.notes, "notes on the checkpoint"),
        ]
    if options.exposed:
        if activity is None:
            raise AnnealOptionsError(option("exposed", True), " needs calibration data; give ", option("data"))
        settings = replace(settings, exposed=_exposed(activity))
    return Prepared(settings, seen, tuple(notes))


def _some(lines: tuple[str, ...], what: str) -> list[str]:
    shown = list(lines[:SHOWN])
    return [*shown, f"… and {len(lines) - SHOWN} more {what}"] if len(lines) > SHOWN else shown


def _nulls(model: Model, seen: Survey, text: str) -> Callable[[Linear], Null | None]:
    """The null of each linear under a scheme, or the one of an untrained tensor."""
    if text.startswith(LIKE):
        null = _like(model, seen, text.removeprefix(LIKE))
        return lambda linear: null
    scheme = parse_scheme(text)
    return lambda linear: scheme.null(*linear.shape)


def _like(model: Model, seen: Survey, name: str) -> Null:
    """The distribution of a tensor of the model that was never trained."""
    for linear in seen.linears:
        if name in (linear.address, linear.weight.name):
            found = estimate(linear.canonical(seen.constants))
            break
    else:
        value = model.graph.graph.initializers.get(name)
        if value is None or value.const_value is None:
            raise AnnealOptionsError(
                f"{model.name}: has no linear and no initializer {name!r} for ", option("init", f"like:{name}")
            )
        found = estimate(np.asarray(value.const_value.numpy()).astype(np.float32).reshape(1, -1))
    return replace(found, source=f"the tensor {name!r}, said to be untrained", estimated=False)


def _exposed(activity: Mapping[str, Activity]) -> Callable[[Linear], npt.NDArray[np.bool_] | None]:
    def mask(linear: Linear) -> npt.NDArray[Any] | None:
        found = activity.get(linear.address)
        return None if found is None or found.exposure is None else found.exposure > 0

    return mask
