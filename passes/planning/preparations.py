"""Which preparations pay: each kind is looked for in the model that those before it have left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.factored_weight import FactoredWeight, FramedProduct, HierarchicalWeight
from ...ir.plan.merged_branches import MergedBranches
from ...ir.plan.preparation import FixedSizes, Preparation, Refused
from ...ir.plan.removed_channels import RemovedChannels
from ...ir.plan.rewritten_convolution import RewrittenConvolution
from ...ir.plan.rewritten_forest import RewrittenForest
from ...ir.reason import Cause, Reason
from ..branches.find import find_branches
from ..channels.find import find as find_channels
from ..convolutions.find import find as find_convolutions
from ..factor.find import find as find_factors
from ..forests.find import find as find_forests
from ..frontends.find import find as find_frames
from ..hierarchical.find import find as find_hierarchical
from ..rewrite.preparations import prepared
from ..rewrite.static.fix_sizes import fixed
from .linear import names_of
from .search import Search
from .settings import PlanSettings

__all__ = ["FINDERS", "prepare"]

Finder: TypeAlias = Callable[[ir.Model, Search], Sequence[Preparation | Refused]]  # what pays in a model, what does not

FINDERS: dict[str, Finder] = {  # by kind, in the order in which they are done
    FixedSizes.kind: lambda model, search: _fixed_sizes(model, search.settings),
    RewrittenForest.kind: lambda model, search: find_forests(model, search.settings.target, search.sized),
    FramedProduct.kind: lambda model, search: find_frames(
        model, search.settings.target, search.sized, look=search.look
    ),
    RewrittenConvolution.kind: lambda model, search: find_convolutions(
        model, search.settings.target, search.sized, look=search.look
    ),
    HierarchicalWeight.kind: lambda model, search: find_hierarchical(
        model,
        search.settings.target,
        search.sized,
        search.blocks(search.look(model)),
        look=search.look,
        entries=search.entries,
    ),
    FactoredWeight.kind: lambda model, search: find_factors(
        model, search.settings.target, search.sized, look=search.look, entries=search.entries
    ),
    RemovedChannels.kind: lambda model, search: find_channels(
        model,
        search.settings.target,
        search.sized,
        exact=search.settings.exact,
        seen=search.look(model),
        visit=search.visitor(search.look(model)),
    ),
    MergedBranches.kind: lambda model, search: find_branches(
        model, search.settings.target, search.sized, look=search.look
    ),
}

# By kind, what is looked for once more where all others have been done.
LAST: dict[str, Finder] = {
    RewrittenConvolution.kind: lambda model, search: find_convolutions(
        model, search.settings.target, search.sized, look=search.look, last=True
    ),
}


# By kind, what leaves linears where they are, of which lowerings may be wanted.
KEEPING = {FixedSizes.kind, RemovedChannels.kind, RewrittenConvolution.kind}


def prepare(model: ir.Model, search: Search) -> tuple[ir.Model, tuple[Preparation, ...], tuple[Refused, ...]]:
    """The model as the preparations leave it, these, and those that were refused; the model itself where none pays.

    Changes nothing.
    """
    done: tuple[Preparation, ...] = ()
    refused: tuple[Refused, ...] = ()
    back = {(one.kind, one.nodes): one for one in search.settings.taken_back}
    measured = {(one.kind, one.nodes): one for one in search.settings.measured}
    for kind, find in (*FINDERS.items(), *LAST.items()):
        if kind in (unprepared := search.settings.unprepared):
            continue
        with phase(kind):
            found = tuple(find(model, search))
        can = [one for one in found if isinstance(one, Preparation) and one.left_with not in unprepared]
        refused += tuple(
            why for one in can if (why := back.get((one.kind, one.nodes))) is not None and why not in refused
        )
        can = [measured.get(key, one) for one in can if (key := (one.kind, one.nodes)) not in back]
        named = _named(model, search) if can and kind not in KEEPING else frozenset[str]()
        taken = tuple(one for one in can if named.isdisjoint(one.nodes))
        refused += tuple(one for one in found if isinstance(one, Refused) and one not in refused)
        refused += tuple(_as_asked(one, named) for one in can if not named.isdisjoint(one.nodes))
        model, done = prepared(model, taken), done + taken
    return model, done, refused


def _named(model: ir.Model, search: Search) -> frozenset[str]:
    """The addresses of the linears of which a lowering is wanted by name, so that they have to stay what they are."""
    wanted = dict(search.settings.wanted.nodes)
    if not wanted:
        return frozenset()
    linears = search.look(model).found.linears
    return frozenset(one.address for one in linears if not wanted.keys().isdisjoint(names_of(one)))


def _as_asked(one: Preparation, named: Collection[str]) -> Refused:
    asked = ", ".join(node for node in one.nodes if node in named)
    why = Reason(Cause.AS_ASKED, f"a lowering is asked of {asked}, so that it has to stay an operator of its own")
    return Refused(kind=one.kind, nodes=one.nodes, gain=one.gain, reason=why)


def _fixed_sizes(model: ir.Model, settings: PlanSettings) -> tuple[FixedSizes, ...]:
    """The sizes that are asked for; raises InputError for those of what is not open."""
    if not settings.fix:
        return ()
    _, nodes = fixed(model, settings.fix)
    why = Reason(Cause.AS_ASKED, "its sizes are fixed as asked, so what is computed from them alone is a constant")
    return (FixedSizes(nodes=nodes, reason=why, sizes=settings.fix),)
