"""inputs.toml: what the inputs of a model hold and how large they are, beside the model, for every command to read.

    [sizes]
    batch = 4

    [inputs.sr]
    values = [16000, 8000]    # trials take turns; `value` is one, or one list of them

    [inputs.lens]
    range = [1, 128]

    [inputs.mask]
    like = "ones"

What a command is told goes before it, input by input and size by size.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....ir.errors import option
from ....ir.files.reading import WISHES, read_text
from ....ir.graph.sizes import open_dims
from ....ir.io.files import write
from ....ir.io.load import Model
from ...fields import LARGEST
from ...notes import note
from ..inputs import InputError
from ..sizes.agreement import refuse_contradictions
from ..sizes.dimensions import Dimensions
from ..spec import spec_of
from ..wishes import Wishes, wished_sizes, wishes_of
from .profiles import profile_of

if TYPE_CHECKING:
    from ...ort.trials import Trials

__all__ = ["NAME", "SaidOfInputs", "names_of", "read_inputs", "with_file", "write_inputs"]

NAME = "inputs.toml"
WORDS = ("value", "values", "range", "like")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOfInputs:
    """What a file says: what inputs hold, and sizes of open dimensions, by name."""

    wishes: Wishes = field(default_factory=Wishes)
    sizes: Mapping[str, int] = field(default_factory=dict)


def with_file(
    model: Model, trials: Trials, *, batch: Sequence[int] | None = None, fixed: Collection[str] = ()
) -> Trials:
    """Trials with what the file says that they name, or else the one beside the model, under what they say themselves.

    Where they ask for it, what is now said is kept beside the model, and what its signature says with it. A file beside
    the model may be for several: what it says of inputs that this one does not have is passed over, and told. batch,
    fixed: the leading open dimension has sizes by itself, and these dimensions have theirs for good: the file's give
    way. Real inputs leave nothing to say. Raises InputError, which names the file and the input, for a file that is
    none or says what cannot be, and where nothing can be kept.
    """
    beside = None if model.path is None else model.path.parent / NAME
    if trials.inputs is not None:
        return replace(trials, inputs_beside=False)
    if trials.save_inputs:
        _refuse_to_keep(model, beside)
    if trials.inputs_file is not None:
        path, said = trials.inputs_file, read_inputs(trials.inputs_file)
    elif trials.inputs_beside and beside is not None and beside.is_file():
        path, said = beside, _for_this(model, read_inputs(beside), beside)
        if said.sizes or said.wishes.named:
            note(f"{model.name}: inputs are as {beside} says")
    else:
        path, said = None, SaidOfInputs()
    if path is not None:
        trials = _merged(model, trials, said, path, {*fixed, *_leading(model, batch)})
    if trials.save_inputs and beside is not None:
        refuse_contradictions(model, batch, trials, fixed)
        _keep(model, trials, beside)
    return replace(trials, inputs_file=None, inputs_beside=False, save_inputs=False)


def _leading(model: Model, batch: Sequence[int] | None) -> list[str]:
    """The dimension that a batch is the size of, where one is asked for."""
    spec = spec_of(model, given=True)
    return [] if batch is None else [*open_dims([one.shape for one in spec])][:1]


def _refuse_to_keep(model: Model, beside: Path | None) -> None:
    save = option("save_inputs")
    if beside is None:
        raise InputError(f"{model.name}: it has no file that {NAME} could lie beside; leave out ", save)
    if beside.exists():
        raise InputError(f"{beside}: is there already, and is read; change or remove it, or leave out ", save)


def _keep(model: Model, trials: Trials, beside: Path) -> None:
    """Write what is said of the inputs, and what their signature says, beside the model."""
    profile, said = profile_of(spec_of(model, given=True)), wishes_of(trials)
    wishes = said.over(profile.wishes) if profile is not None else said
    write_inputs(beside, SaidOfInputs(wishes=wishes, sizes=trials.sizes or {}), of=model.name)
    note(f"wrote {beside}: what inputs hold, read from now on")


def read_inputs(path: Path) -> SaidOfInputs:
    """What a file says. Raises InputError, which names it, where it cannot be read or says what it cannot."""
    try:
        found = tomllib.loads(read_text(path, WISHES))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it is TOML, with [sizes] and [inputs.NAME]") from None
    if unknown := found.keys() - {"sizes", "inputs"}:
        raise InputError(f"{path}: {min(unknown)!r} means nothing there; it has [sizes] and [inputs.NAME]")
    sizes, inputs = found.get("sizes", {}), found.get("inputs", {})
    for what, table, form in (("sizes", sizes, "[sizes]"), ("inputs", inputs, "[inputs.NAME]")):
        if not isinstance(table, dict):
            raise InputError(f"{path}: {what!r} is no table; write {form}")
    for name, size in sizes.items():
        if type(size) is not int or not 1 <= size <= LARGEST:
            raise InputError(f"{path}: the size of {name!r} is {size!r}, not a whole number from 1 to {LARGEST:,}")
    values, ranges, likes = {}, {}, {}
    for name, said in inputs.items():
        word, value = _one(path, name, said)
        if word in ("value", "values"):
            values[name] = tuple(value) if word == "values" else (value,)
        elif word == "range":
            ranges[name] = float(value[0]), float(value[1])
        else:
            likes[name] = value
    return SaidOfInputs(wishes=Wishes(values=values, ranges=ranges, likes=likes), sizes=sizes)


def write_inputs(path: Path, said: SaidOfInputs, of: str) -> None:
    """Write what is said of the inputs of a model, which a comment names; raises ModelError where that fails."""
    write({path: ("\n".join(_lines(said, of)) + "\n").encode()}, overwrite=False)


def _lines(said: SaidOfInputs, of: str) -> Iterator[str]:
    yield f"# What the inputs of {Path(of).name} hold where scission makes them up: what runs or times it reads this."
    if said.sizes:
        yield from ("", "[sizes]", *(f"{_quoted(name)} = {size}" for name, size in said.sizes.items()))
    wishes = said.wishes
    told: dict[str, str] = {name: f"values = {_typed(list(one))}" for name, one in wishes.values.items()}
    told |= {name: f"range = {_typed(list(one))}" for name, one in wishes.ranges.items()}
    told |= {name: f"like = {_quoted(one)}" for name, one in wishes.likes.items()}
    for name, line in told.items():
        yield from ("", f"[inputs.{_quoted(name)}]", line)


def _quoted(text: str) -> str:
    """A string of TOML, which are those of JSON but for one sign."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_typed, value))}]"
    return _quoted(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)


def _one(path: Path, name: str, said: Any) -> tuple[str, Any]:
    """The one thing that is said of an input."""
    where = f"{path}: input {name!r}"
    if not isinstance(said, dict) or len(said) != 1 or next(iter(said)) not in WORDS:
        raise InputError(f"{where} has to say one of {', '.join(WORDS)}")
    ((word, value),) = said.items()
    plain = (bool, int, float, str)
    if word == "like" and not isinstance(value, str):
        raise InputError(f"{where}: like is one word in quotes, not {value!r}")
    if word == "range" and not (isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))):
        raise InputError(f"{where}: range is [LO, HI], not {value!r}")
    entries = value if isinstance(value, list) else [value]
    if word == "values":
        if not isinstance(value, list) or not value:
            raise InputError(f"{where}: values is a list of at least one, not {value!r}")
        entries = [part for entry in entries for part in (entry if isinstance(entry, list) else [entry])]
    if word in ("value", "values") and not (entries and all(isinstance(entry, plain) for entry in entries)):
        raise InputError(f"{where}: {value!r} is neither numbers, truth values nor text")
    return word, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _for_this(model: Model, said: SaidOfInputs, path: Path) -> SaidOfInputs:
    """What a file says of what the model has; of the rest a note tells."""
    inputs, sized = names_of(model)
    others = [*(said.wishes.named - inputs), *(said.sizes.keys() - sized)]
    if others:
        note(f"{path}: {', '.join(map(repr, sorted(others)))} passed over, which {model.name} does not have")
    sizes = {name: size for name, size in said.sizes.items() if name in sized}
    return SaidOfInputs(wishes=said.wishes.without(others), sizes=sizes)


def names_of(model: Model) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the inputs of a model, and of their open dimensions."""
    spec = spec_of(model, given=True)
    dimensions = Dimensions.of(spec)
    parts = (part for one in dimensions.formed.values() for part in one.names)
    return frozenset(one.name for one in spec), frozenset((*dimensions.names, *parts))


def _merged(model: Model, trials: Trials, said: SaidOfInputs, path: Path, decided: Collection[str]) -> Trials:
    """What is said in a file, under what trials say themselves; decided: dimensions that have their size already."""
    spec = spec_of(model, given=True)
    try:
        said.wishes.require(spec)
        Dimensions.of(spec, said.sizes)
    except InputError as error:
        raise InputError(f"{path}: ", *error.parts) from None
    own = trials.sizes or {}
    filling = {name: wished_sizes(spec, said.wishes.only(name)).keys() for name in said.wishes.values}
    given_way = [name for name, dims in filling.items() if dims & {*decided, *own}]
    wishes = wishes_of(trials).over(said.wishes.without(given_way))
    sizes = {name: size for name, size in said.sizes.items() if name not in decided} | dict(own)
    return replace(
        trials,
        values=wishes.values or None,
        ranges=wishes.ranges or None,
        likes=wishes.likes or None,
        sizes=sizes or None,
    )
