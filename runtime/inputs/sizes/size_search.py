"""Sizes to try a model at: those that follow from its graph first, then others, until the original runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ...ort.tensor_spec import TensorSpec
from .dimensions import Dimensions
from .size_facts import Derived

__all__ = ["TRIALS", "candidate_sizes", "lengthened", "sizes_beyond", "trial_sizes"]

TRIALS = 5  # sizes that two models are compared at
VALUES = (1, 3, 17)
LARGER = (2, 4, 8, 16, 32, 64, 128, 5, 12, 100, 224, 256, 512, 1600)
PAIR = 2
CANDIDATES = 60  # sizes that are ever tried
WHOLE = ("total", "all", "full", "kv", "mask")  # words of a dimension that is often the sum of two others


def trial_sizes(
    spec: Sequence[TensorSpec],
    fixed: Mapping[str, int] | None = None,
    *,
    derived: Derived | None = None,
    values: Sequence[int] = VALUES,
    limit: int = TRIALS,
) -> list[dict[str, int]]:
    """Sizes for the dynamic dimensions of a model: `limit` trials at most, for `draw`.

    First all symbols have the same size, each of `values` in turn; then they differ. `fixed` (the user's --size) is
    kept in every trial, and so is what the graph demands; dimensions named after others follow from those. A model
    without free dimensions gets one trial.
    Raises InputError when `fixed` names no symbol of the model, or a size is not positive.

    >>> trial_sizes([TensorSpec(name="x", dtype="float32", shape=("batch", "time"))], {"time": 8})
    [{'batch': 1, 'time': 8}, {'batch': 3, 'time': 8}, {'batch': 17, 'time': 8}]
    """
    dimensions = _dimensions(spec, fixed, derived)
    chosen = [
        {name: values[(start + place * step) % len(values)] for place, name in enumerate(dimensions.free)}
        for step, start in itertools.product((0, 1), range(len(values)))
    ]
    return list(itertools.islice(_distinct(map(dimensions.sizes, chosen)), max(limit, 1)))


def candidate_sizes(
    spec: Sequence[TensorSpec], fixed: Mapping[str, int] | None = None, derived: Derived | None = None
) -> Iterator[dict[str, int]]:
    """More and more sizes to try, each once, `CANDIDATES` at most: `trial_sizes`, then what else a model may want.

    Where branches demand different sizes of one symbol, trials at these come in between, in pairs: so an input that
    chooses the branch by turns meets each. Further sizes are those without what the graph seemed to demand, larger
    sizes and sizes that occur in the graph for all symbols, and for one of several symbols such a size, the sum of two
    others, or one more than another.
    Raises InputError as `trial_sizes` does.
    """
    dimensions = _dimensions(spec, fixed, derived)
    found = itertools.chain(
        _paired([trial_sizes(spec, fixed, derived=one) for one in _ways(derived)]),
        filter(
            None, (dimensions.sizes({**dict.fromkeys(dimensions.free, 1), **one}) for one in _grouped(derived, fixed))
        ),
        trial_sizes(spec, fixed, limit=3),
        filter(None, map(dimensions.sizes, _others(dimensions.free, derived.hints if derived else ()))),
    )
    return itertools.islice(_distinct(found), CANDIDATES)


def _ways(derived: Derived | None) -> list[Derived | None]:
    """What the graph says of sizes, and the same with each of the other sizes that a branch demands."""
    if derived is None:
        return [None]
    return [derived, *(replace(derived, known={**derived.known, **one}) for one in derived.rivals)]


def _paired(ways: Sequence[Sequence[dict[str, int]]]) -> Iterator[dict[str, int]]:
    """Two of each way in turn, until there are no more.

    >>> [one["n"] for one in _paired([[{"n": 1}, {"n": 2}, {"n": 3}], [{"n": 7}, {"n": 8}]])]
    [1, 2, 7, 8, 3]
    """
    for start in range(0, max(map(len, ways)), PAIR):
        for way in ways:
            yield from way[start : start + PAIR]


def sizes_beyond(
    spec: Sequence[TensorSpec], fixed: Mapping[str, int] | None, derived: Derived
) -> Iterator[dict[str, int]]:
    """Sizes on both sides of those that the graph compares a size with, one dimension at a time."""
    dimensions = _dimensions(spec, fixed, derived)
    for size, name in itertools.product(derived.limits, dimensions.free):
        found = dimensions.sizes({**dict.fromkeys(dimensions.free, 2), name: size})
        if found is not None:
            yield found


def lengthened(
    spec: Sequence[TensorSpec],
    fixed: Mapping[str, int] | None,
    derived: Derived,
    base: Mapping[str, int],
    extents: Sequence[int],
) -> Iterator[dict[str, int]]:
    """Sizes of which one is an extent, and then one that makes as much together with another; the others as in `base`.

    >>> spec = [TensorSpec(name="x", dtype="float32", shape=("n", "t", 8))]
    >>> [*lengthened(spec, {"n": 2}, Derived(known={}, ties={}), {"n": 2, "t": 1}, [50])]
    [{'n': 2, 't': 50}]
    """
    dimensions = _dimensions(spec, fixed, derived)
    usual = {name: base.get(name, 1) for name in dimensions.free}
    ways = [
        {**usual, name: extent - less}
        for extent in extents
        for name in dimensions.free
        for less in (0, *(usual[other] for other in dimensions.free if other != name))
        if extent > less
    ]
    return _distinct(map(dimensions.sizes, ways))


def _grouped(derived: Derived | None, fixed: Mapping[str, int] | None) -> Sequence[Mapping[str, int]]:
    """Sizes with which a Reshape would work, those first that follow from the fixed ones."""
    if derived is None:
        return ()
    solved = [one.solved(fixed or {}) for one in derived.regrouped]
    return [one for one in solved if one] + [*derived.groupings]


def _dimensions(spec: Sequence[TensorSpec], fixed: Mapping[str, int] | None, derived: Derived | None) -> Dimensions:
    if derived is None:
        return Dimensions.of(spec, fixed)
    return Dimensions.of(spec, fixed, derived.known, derived.ties)


def _others(free: Sequence[str], hints: Sequence[int]) -> Iterator[dict[str, int]]:
    """Sizes of free dimensions beyond the usual ones, most likely first."""
    sizes = list(dict.fromkeys((*hints[:6], *LARGER, *hints[6:])))
    if len(free) > 1:
        yield from _sums(free)
    yield from (dict.fromkeys(free, size) for size in sizes[:8])
    if len(free) > 1:
        for size in sizes[:4]:
            for name in free:
                yield {**dict.fromkeys(free, 3), name: size}
                yield {**dict.fromkeys(free, size), name: 1}
    yield from (dict.fromkeys(free, size) for size in sizes[8:])


def _sums(free: Sequence[str]) -> Iterator[dict[str, int]]:
    """One dimension as the sum of two others or one more than another, names that say so first."""
    ordered = sorted(free, key=lambda name: not any(word in name.lower() for word in WHOLE))
    base = {name: 2 + place for place, name in enumerate(free)}
    for whole in ordered[:3]:
        rest = [name for name in free if name != whole][:5]
        for one, other in itertools.combinations(rest, 2):
            yield {**base, whole: base[one] + base[other]}
        yield from ({**base, whole: base[one] + 1} for one in rest)


def _distinct(sizes: Iterator[dict[str, int] | None]) -> Iterator[dict[str, int]]:
    seen: set[tuple[tuple[str, int], ...]] = set()
    for one in sizes:
        key = tuple(sorted(one.items())) if one is not None else None
        if one is not None and key is not None and key not in seen:
            seen.add(key)
            yield one
