"""What a user says about annealing, turned into what the pass needs: the null of every weight, and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import option
from ...ir.evidence.null import Null
from ...ir.graph.linear import Linear
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.load import Model
from ...passes.anneal.edges.schemes import estimate, parse_scheme
from ...passes.anneal.settings import Anneal
from .annealer import Annealer, AnnealOptionsError

if TYPE_CHECKING:
    from ...passes.anneal.activity.activity import Activity

__all__ = ["LIKE", "Prepared", "prepare"]

LIKE = "like:"
SHOWN = 8  # mismatches that are listed one by one


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
        residual=options.residual,
        drop_residual=options.drop_residual,
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
