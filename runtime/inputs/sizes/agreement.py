"""Options that say how large inputs are and contradict each other: one of them would be dropped in silence.

--value ids=1,2,3 --size n=5       the list fills the only dimension of `ids`
--size n=5 --batch 7               nothing is open that the batch could be
--value shape=2,8,64 --size n=100  a Reshape would have to make 1,024 entries of 100
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....ir.errors import Remedy
from ....ir.graph.sizes import open_dims
from ....ir.io.load import Model
from ...ort.tensor_spec import TensorSpec
from ..inputs import InputError
from ..spec import spec_of
from ..wishes import Value, Wishes, wished_sizes, wishes_of
from .dimensions import Dimensions
from .settings import turns_of
from .size_facts import derive

if TYPE_CHECKING:
    from ...ort.trials import Trials

__all__ = ["contradiction", "led", "refuse_contradictions", "refuse_other_sizes"]

DROP = "; leave out one of the two"


def refuse_contradictions(
    model: Model, batch: Sequence[int] | None, trials: Trials, fixed: Collection[str] = ()
) -> None:
    """Raise InputError, which names both, where two options give one dimension different sizes, or where a batch is
    asked for and all that it could be has a size by other options; and for what no input of the model can have.

    fixed: dimensions that have theirs for good.
    """
    spec, wishes = spec_of(model, given=True), wishes_of(trials)
    try:
        wishes.require(spec)
        Dimensions.of(spec, trials.sizes)
    except InputError as error:
        raise InputError(f"{model.name}: ", *error.parts) from None
    _refuse_two_sizes(model, spec, batch, trials, fixed)


def _refuse_two_sizes(
    model: Model, spec: Sequence[TensorSpec], batch: Sequence[int] | None, trials: Trials, fixed: Collection[str]
) -> None:
    sizes = dict(trials.sizes or {})
    told = {name: _size(name, size, fixed=name in fixed) for name, size in sizes.items()}
    for name, size, value in _lists(spec, wishes_of(trials)):
        if sizes.setdefault(name, size) != size:
            both = told.setdefault(name, value), value
            raise _contradicting(model, *both, f"the size of {name!r} would be both {sizes[name]} and {size}")
        told.setdefault(name, value)
    lead = next(iter(open_dims([one.shape for one in spec])), None)
    for place, turn in enumerate(turns_of(model, spec, trials) if batch is not None and lead is not None else ()):
        known, ties = (turn.derived.known, turn.derived.ties) if turn.derived else ({}, {})
        dimensions = Dimensions.of(spec, sizes, known, ties)
        only = None if dimensions.free else (dimensions.sizes({}) or {}).get(lead or "")
        other = next((one for one in batch or () if only is not None and one != only), None)
        by_value = lead not in told and lead in known and lead not in derive(model).known
        if other is not None and (lead in told or by_value):
            said = told.get(lead or "") or _values(wishes_of(trials).at(place))
            what = f"the size of {lead!r}, the leading open dimension, would be both {only} and {other}"
            raise _contradicting(model, said, _batch(other), what)


def contradiction(
    model: Model, trials: Trials, batch: int | None = None, spec: Sequence[TensorSpec] | None = None
) -> InputError | None:
    """Why no input of the sizes that the user gives can be regrouped as the values demand that he gives, naming both;
    None where nothing tells. batch: the size that he gives the leading open dimension."""
    spec = spec_of(model, given=True) if spec is None else spec
    sizes, told = dict(trials.sizes or {}), {name: _size(name, size) for name, size in (trials.sizes or {}).items()}
    lead = None if batch is None else led(spec, sizes)
    if batch is not None and lead is not None:
        sizes[lead], told[lead] = batch, _batch(batch)
    found: InputError | None = None
    for place, turn in enumerate(turns_of(model, spec, trials)):
        wrong = [one for one in (turn.derived.regrouped if turn.derived else ()) if one.refuses(sizes)]
        blamed = next((dim for one in wrong for dim in one.dims if dim in told), None)
        if blamed is None:
            return None
        chosen = wishes_of(trials).at(place)
        (count, others), some = wrong[0].known(sizes), "a multiple of "
        made = f"{'' if wrong[0].exact else some}{wrong[0].entries:,} entries"
        what = f"a Reshape would have to make {made} of {some if others else ''}{count:,}"
        found = found or _contradicting(model, _values(chosen), told[str(blamed)], what)
    return found


def led(spec: Sequence[TensorSpec], sizes: Mapping[str, int]) -> str | None:
    """The dimension that a batch is the size of, where some have these sizes; None where none is open."""
    free = Dimensions.of(spec, sizes).free
    return next((name for name in open_dims([one.shape for one in spec]) if name in free), None)


def refuse_other_sizes(
    spec: Sequence[TensorSpec], feed: Mapping[str, Any], trials: Trials, batch: Sequence[int] | None
) -> None:
    """Raise InputError, which names both, where real inputs have other sizes than those that the user gives."""
    wanted = {name: ([size], _size(name, size)) for name, size in (trials.sizes or {}).items()}
    lead = next(iter(open_dims([one.shape for one in spec])), None)
    if batch is not None and lead is not None:
        wanted.setdefault(lead, (list(batch), _batch(batch[0])))
    for one in (one for one in spec if one.name in feed):
        for dim, size in zip(one.shape, feed[one.name].shape, strict=False):
            sizes, said = wanted.get(dim if isinstance(dim, str) else "", ([size], None))
            if said is not None and isinstance(dim, str) and size not in sizes:
                given = Remedy(f"inputs={str(trials.inputs)!r}", f"--inputs {trials.inputs}")
                what = f"there the size of {dim!r} is {size}, as input {one.name!r} says"
                raise InputError(given, " and ", said, f" contradict each other: {what}{DROP}")


def _lists(spec: Sequence[TensorSpec], wishes: Wishes) -> Iterator[tuple[str, int, Remedy]]:
    """Name and size of each dimension that lists of values fill, and the option that says so."""
    for one in spec:
        every = wishes.values.get(one.name, ())
        several = len({len(value) for value in every if isinstance(value, list | tuple)}) > 1  # trials take turns
        for value in () if several else every:
            found = wished_sizes([one], Wishes(values={one.name: (value,)}))
            yield from ((name, size, _values({one.name: value})) for name, size in found.items())


def _contradicting(model: Model, one: Remedy, other: Remedy, what: str) -> InputError:
    return InputError(f"{model.name}: ", one, " and ", other, f" contradict each other: {what}{DROP}")


def _size(name: str, size: int, *, fixed: bool = False) -> Remedy:
    return Remedy(
        f"{'fix' if fixed else 'sizes'}={{{name!r}: {size}}}", f"--{'fix' if fixed else 'size'} {name}={size}"
    )


def _batch(batch: int) -> Remedy:
    return Remedy(f"batch={batch}", f"--batch {batch}")


def _values(chosen: Mapping[str, Value]) -> Remedy:
    """The values that inputs hold in one trial."""
    python = ", ".join(f"{name!r}: {value!r}" for name, value in chosen.items())
    typed = [f"{name}={_typed(value)}" for name, value in chosen.items()]
    return Remedy(f"values={{{python}}}", " ".join(f"--value {one}" for one in typed))


def _typed(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
