"""The dynamic dimensions of a model's inputs: which may be chosen, and which follow from those."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ....ir.graph.sizes import require_known
from ...ort.tensor_spec import TensorSpec
from ..inputs import UNNAMED
from .expression import Expression, parse

__all__ = ["Dimensions", "fixed_between"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Dimensions of inputs by name, `UNNAMED` for those without.

    given: what the user says; known: what the graph fixes; ties: name to the name that it has the same size as;
    formed: those that are arithmetic over others; free: what is left to choose, which is a size of at least 1 each.
    """

    names: tuple[str, ...]
    given: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    ties: Mapping[str, str] = field(default_factory=dict)
    formed: Mapping[str, Expression] = field(default_factory=dict)
    free: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        spec: Sequence[TensorSpec],
        given: Mapping[str, int] | None = None,
        known: Mapping[str, int] | None = None,
        ties: Mapping[str, str] | None = None,
    ) -> Dimensions:
        """The dimensions of these inputs. Raises InputError for a size of no dimension, or one that is not positive.

        >>> spec = [TensorSpec(name="mask", dtype="int64", shape=("batch", "past + 1")),
        ...         TensorSpec(name="k", dtype="float32", shape=("batch", "past", 64))]
        >>> found = Dimensions.of(spec, {"batch": 2})
        >>> found.free, found.sizes({"past": 3})
        (('past',), {'batch': 2, 'past + 1': 4, 'past': 3})
        """
        given, ties = dict(given or {}), dict(ties or {})
        names = tuple(dict.fromkeys(dim or UNNAMED for one in spec for dim in one.shape if not isinstance(dim, int)))
        formed = {name: found for name in names if (found := _formed(name, names)) is not None}
        parts = {part for expression in formed.values() for part in expression.names}
        require_known(names, given, parts)
        ties = {name: other for name, other in ties.items() if name not in formed and other not in formed}
        fixed = {name: size for name, size in (known or {}).items() if name not in formed} | given
        chosen = [name for name in dict.fromkeys((*names, *sorted(parts))) if name not in formed]
        for name, expression in formed.items():  # the user may give the sum instead of its part
            open_ = [part for part in expression.names if part not in fixed]
            if name in given and len(open_) == 1:
                part = expression.solve(given[name], open_[0], fixed)
                fixed |= {} if part is None else {open_[0]: part}
        for name, other in ties.items():
            if other in fixed and name not in fixed:
                fixed[name] = fixed[other]
            elif name in fixed and other not in fixed and other in chosen:
                fixed[other] = fixed[name]
        free = [name for name in chosen if name not in fixed and (ties.get(name) not in chosen)]
        return cls(names=names, given=given, known=fixed, ties=ties, formed=formed, free=tuple(free))

    def sizes(self, chosen: Mapping[str, int]) -> dict[str, int] | None:
        """The size of every dimension, where the free ones are `chosen`; None where one would be smaller than 1, or
        another than the user gives."""
        sizes = dict(self.known) | dict(chosen)
        said = {part for name in self.given if name in self.formed for part in self.formed[name].names} | {*self.given}
        if any(sizes[name] != size for name, size in self.known.items() if name in said):
            return None
        for name, other in self.ties.items():
            if name not in sizes and other in sizes:
                sizes[name] = sizes[other]
        for name, expression in self.formed.items():
            size = sizes.get(name) if name in self.given else expression.size(sizes)
            if not size:
                return None
            sizes[name] = size
        return {name: sizes[name] for name in self.names} if all(name in sizes for name in self.names) else None


def _formed(name: str, names: Sequence[str]) -> Expression | None:
    """What a name says about other dimensions; a hyphen between unknown words ('batch-size') is not a difference."""
    expression = parse(name)
    if expression is None:
        return None
    known = all(part in names for part in expression.names)
    plain = set(name) & set("+*/(") == set()
    return expression if known or not plain else None


def fixed_between(before: Sequence[TensorSpec], after: Sequence[TensorSpec], said: str) -> dict[str, int]:
    """The sizes that another model with these inputs gives to open dimensions, by name, as far as it says so.

    said: the sizes that it was given, as JSON. What says nothing of that kind, or another size, is not among them.

    >>> one, other = (TensorSpec(name="x", dtype="float32", shape=(rows, 8)) for rows in ("rows", 4))
    >>> fixed_between([one], [other], '{"rows": 4}'), fixed_between([one], [other], '{"rows": 5}')
    ({'rows': 4}, {})
    """
    try:
        stated = json.loads(said)
    except ValueError:
        return {}
    if not isinstance(stated, dict):
        return {}
    pairs = [
        (name, size)
        for one, other in zip(before, after, strict=False)
        for name, size in zip(one.shape, other.shape, strict=False)
    ]
    return {
        name: size for name, size in pairs if isinstance(name, str) and type(size) is int and stated.get(name) == size
    }
