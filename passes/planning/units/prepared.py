"""Preparations as units of a plan: the part of the model that one is about, and the ways in which that may be written.

the model that those before have left ── cut out ──► part ── as planned, in another way, as planned without it ──► forms
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....ir.errors import ScissionError
from ....ir.graph.linear import Linear, scopes
from ....ir.graph.view import View, view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import PlanError
from ....ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from ....ir.plan.plan import Plan, Step
from ....ir.plan.preparation import Preparation, Refused
from ....ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from ...factor.find import variants as factor_variants
from ...frontends.find import whole_fronts
from ...hierarchical.find import variants as hierarchical_variants
from ...lowering.target import Target
from ...rewrite.extract import extract, extract_nodes
from ...rewrite.preparations import prepared
from ...rewrite.remove_edges import remove_edges
from .alternatives import MOST, alternatives
from .unit import PlanUnit, form_of

__all__ = ["PreparedUnit", "PreparedWay", "is_raced", "key_of_preparation", "prepared_units", "prepared_ways"]

RIVALS = 2  # ways that are raced of what is planned instead
TRANSFORMS = (ConvolutionForm.FOURIER, ConvolutionForm.MATRIX)  # of convolutions those that are another operator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedUnit:
    """A preparation and what it is about.

    followers: those after it that are about what it makes; seen: the view of the model that those before it have left;
    part: of that model, as one of its own, that it is about; linear: that it writes in another way, where it is one.
    """

    preparation: Preparation
    followers: tuple[Preparation, ...]
    seen: View
    part: ir.Model
    linear: Linear | None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of the nodes that the preparation is about."""
        return self.preparation.nodes

    @property
    def way(self) -> str:
        """How the plan writes it, in a few words: 'factors 3, rows first'."""
        return way_of_preparations((self.preparation, *self.followers))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedWay:
    """One way to write the part that a preparation is about.

    way: in a few words; gain: predicted time of the part as it is over that of the way, at its worst; preparations:
    that are carried out in the part, and steps: of the plan of what they leave; own: the preparation that the plan
    is to have for it, None where it is to have none.
    """

    way: str
    gain: float
    preparations: tuple[Preparation, ...] = ()
    steps: tuple[Step, ...] = ()
    own: Preparation | None = None

    @property
    def form(self) -> dict[str, Any]:
        """The same for keys, without words for people, and without what the speed does not depend on."""
        steps = form_of(self.steps, None) if self.steps else None
        return {"preparations": [_form(one) for one in self.preparations], "steps": steps}


def key_of_preparation(one: Preparation | Refused) -> tuple[str, tuple[str, ...]]:
    """What a preparation is the same by, whatever weights and prices are: its kind and its nodes."""
    return one.kind, one.nodes


def prepared_units(model: ir.Model, plan: Plan) -> Iterator[PreparedUnit | tuple[Preparation, ScissionError]]:
    """The preparations of a plan that can be raced, in its order; one that cannot stand alone with the reason.

    Raises PlanError when the plan is for another model.
    """
    if plan.annealing:
        model = remove_edges(model, plan.annealing, effect=plan.effect)
    place = 0
    for _, found in itertools.groupby(plan.preparations, key=lambda one: one.kind):  # of a kind: about one model
        own = tuple(found)
        if any(map(is_raced, own)):
            seen = view(model)
            whole = whole_fronts(model) if any(isinstance(one, FramedProduct) for one in own) else {}
            for at, one in enumerate(own):
                if is_raced(one):
                    try:
                        yield _unit(one, seen, whole, plan.preparations[place + at + 1 :])
                    except ScissionError as error:
                        yield one, error
        model, place = prepared(model, own), place + len(own)


def is_raced(one: Preparation) -> bool:
    """Whether a preparation is about operators that can be cut out, and is no mere clearing away."""
    if isinstance(one, RewrittenConvolution):
        return one.form in TRANSFORMS
    return isinstance(one, FactoredWeight | FramedProduct | HierarchicalWeight)


def _unit(
    one: Preparation, seen: View, whole: Mapping[tuple[str, ...], Sequence[str]], after: Sequence[Preparation]
) -> PreparedUnit:
    """A preparation with its part; whole: for products of frames all operators that they are made of, by their nodes.

    Raises ExtractError where the part cannot stand alone, PlanError where the plan is for another model.
    """
    linear = next((linear for linear in seen.found.linears if (linear.address,) == one.nodes), None)
    if isinstance(one, FactoredWeight | HierarchicalWeight) and linear is not None:
        part = extract(seen, [linear])
    else:
        linear = None
        known = {address: node for node, address in next(scopes(seen.model)).addresses.items()}
        names = whole.get(one.nodes, one.nodes)
        if missing := [name for name in names if name not in known]:
            raise PlanError(f"{missing[0]}: the model has no such operator; make a new plan for this model")
        part = extract_nodes(seen, [known[name] for name in names])
    followers = _following(part, one, after)
    return PreparedUnit(preparation=one, followers=followers, seen=seen, part=part, linear=linear)


def _following(part: ir.Model, one: Preparation, after: Sequence[Preparation]) -> tuple[Preparation, ...]:
    """The preparations after one that are about what it makes of its part and about nothing else."""
    before, made = _names(part), _names(prepared(part, (one,)))
    new = made - before
    return tuple(other for other in after if is_raced(other) and other.nodes and new.issuperset(other.nodes))


def _names(model: ir.Model) -> set[str]:
    return {address for scope in scopes(model) for address in scope.addresses.values()}


def prepared_ways(
    unit: PreparedUnit, without: Plan, rows: tuple[int, ...], target: Target, *, most: int = MOST
) -> list[PreparedWay]:
    """At most `most` ways to write the part of a preparation, the planned one among them, best predicted first: other
    forms of it, or it without what follows it, and what is planned where it is taken back.

    without: a plan without any preparation that is raced; rows: that its linear multiplies, in each setting; target:
    what it will run on. Raises ModelError where a weight cannot be read.
    """
    one = unit.preparation
    planned = PreparedWay(way=unit.way, gain=one.gain or 1.0, preparations=(one, *unit.followers), own=one)
    rivals = [*_other_preparations(unit, without), *_other_steps(unit, without, target)][:RIVALS]
    forms = _without_followers(unit) if unit.followers else _variants(unit, rows, target)
    kept = _kinds_first(forms)[: most - 1 - len(rivals)]
    by_way = {way.way: way for way in reversed([planned, *rivals, *kept])}  # of equal ones the first
    return sorted(by_way.values(), key=lambda way: -way.gain)


def _kinds_first(forms: Sequence[PreparedWay]) -> list[PreparedWay]:
    """The best of each number of stages, then the best of all."""
    first: dict[int, PreparedWay] = {}
    for one in forms:
        own = one.own
        first.setdefault(len(own.splits) if isinstance(own, FactoredWeight) else 0, one)
    return list(dict.fromkeys([*first.values(), *forms]))


def _without_followers(unit: PreparedUnit) -> list[PreparedWay]:
    """The preparation alone, with what it makes left as it is."""
    one = unit.preparation
    return [PreparedWay(way=way_of_preparations([one]), gain=one.gain or 1.0, preparations=(one,), own=one)]


def _variants(unit: PreparedUnit, rows: tuple[int, ...], target: Target) -> list[PreparedWay]:
    """The same preparation in other forms, the best predicted first."""
    one, linear, constants = unit.preparation, unit.linear, unit.seen.found.constants
    found: Sequence[Preparation] = ()
    if linear is not None and isinstance(one, FactoredWeight):
        found = factor_variants(linear, one, constants, rows, target)
    elif linear is not None and isinstance(one, HierarchicalWeight):
        found = hierarchical_variants(linear, one, constants, rows, target)
    return [
        PreparedWay(way=way_of_preparations([one]), gain=one.gain or 1.0, preparations=(one,), own=one) for one in found
    ]


def _other_preparations(unit: PreparedUnit, without: Plan) -> list[PreparedWay]:
    """What is done with its nodes before anything is split where it is taken back."""
    names = _names(unit.part)
    first = next((one for one in without.preparations if _is_other(one, unit, names)), None)
    if first is None:
        return []
    after = without.preparations[without.preparations.index(first) + 1 :]
    try:
        all_of_it = (first, *_following(unit.part, first, after))
    except PlanError:  # it is about more than the part
        return []
    return [PreparedWay(way=way_of_preparations(all_of_it), gain=first.gain or 1.0, preparations=all_of_it)]


def _is_other(one: Preparation, unit: PreparedUnit, names: set[str]) -> bool:
    if not is_raced(one) or key_of_preparation(one) == key_of_preparation(unit.preparation):
        return False
    return names.issuperset(one.nodes) and not set(unit.nodes).isdisjoint(one.nodes)


def _other_steps(unit: PreparedUnit, without: Plan, target: Target) -> list[PreparedWay]:
    """How its linear is split where it is taken back."""
    if unit.linear is None:
        return []
    step = next((step for step in without.steps if step.node == unit.linear.address), None)
    if step is None or step.shape != unit.linear.shape:  # channels are left out of it instead
        return []
    alone = PlanUnit(steps=(replace(step, lowering="dense"),), region=None, operators=(unit.linear,))
    found = alternatives(alone, unit.seen, without, target, most=RIVALS)
    return [PreparedWay(way=one.way, gain=one.gain, steps=one.steps) for one in found]


def way_of_preparations(found: Iterable[Preparation]) -> str:
    """How preparations one after another write a part, in a few words."""
    return " then ".join(map(_said, found))


def _said(one: Preparation) -> str:
    match one:
        case FactoredWeight():
            stages = len(one.splits) + 1
            first = {0: "features first", stages: "rows first"}
            return f"factors {stages}, {first.get(one.rows_first, f'rows first in {one.rows_first}')}"
        case HierarchicalWeight():
            return f"hierarchical {one.block}"
        case FramedProduct():
            return f"frames {one.places}" + (f", {len(one.bands)} bands" if one.bands else "")
        case RewrittenConvolution():
            return "convolution" if one.form is ConvolutionForm.FOURIER else "matrix"
    return one.kind


def _form(one: Preparation) -> list[Any]:
    return [one.kind, {name: held for name, held in one.contents().items() if name not in ("sha256", "bound")}]
