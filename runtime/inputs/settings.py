"""The settings that a model is predicted and measured in, with what its graph says of the sizes of its inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from ...ir.graph.sizes import Setting, open_dims, settings_at
from ...ir.io.load import Model
from ..ort.memory import halvings
from ..ort.tensor_spec import TensorSpec
from .dimensions import Dimensions
from .size_facts import Derived, derive
from .spec import spec_of

__all__ = ["settings_of", "sized", "smaller_settings"]


def settings_of(
    model: Model, batch: Sequence[int] | None = None, sizes: Mapping[str, int] | None = None
) -> Callable[[], tuple[Setting, ...]]:
    """What finds the settings of a model, once it is asked: a graph with several open dimensions is read for them.

    batch, sizes: as in `settings_at`. Raises InputError at once for sizes of what is not open.
    """
    spec = spec_of(model, given=True)
    Dimensions.of(spec, sizes)

    @functools.cache
    def found() -> tuple[Setting, ...]:
        several = len(open_dims([one.shape for one in spec])) > 1
        return sized(spec, batch, sizes, derive(model) if several else None)

    return found


def sized(
    spec: Sequence[TensorSpec],
    batch: Sequence[int] | None,
    fixed: Mapping[str, int] | None,
    derived: Derived | None = None,
) -> tuple[Setting, ...]:
    """`settings_at` over the dimensions that may be chosen; the others follow from those and from the graph."""
    known, ties = (derived.known, derived.ties) if derived else ({}, {})
    dimensions = Dimensions.of(spec, fixed, known, ties)
    return settings_at([one.shape for one in spec], batch, dimensions.known, dimensions)


def smaller_settings(model: Model, setting: Setting, fixed: Mapping[str, int] | None = None) -> Iterator[Setting]:
    """Smaller and smaller settings that the graph and the user's `fixed` sizes allow; none where sizes follow from
    others that are not there."""
    spec = spec_of(model, given=True)
    derived = derive(model)
    dimensions = Dimensions.of(spec, fixed, derived.known, derived.ties)
    lead = next(iter(open_dims([one.shape for one in spec])), None)
    if all(name in setting.sizes for name in dimensions.free):
        chosen = {name: setting.sizes[name] for name in dimensions.free}
        for sizes in filter(None, map(dimensions.sizes, halvings(chosen, dimensions.free))):
            yield Setting(setting.batch if lead is None else sizes[lead], sizes)
