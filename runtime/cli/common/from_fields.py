"""The options of commands, made of the fields of the values that the library takes: name, default, type, help."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ...fields import default_of, setting_of
from .parsing import bytes_of, levels_of, like_of, off_of, pairs, range_of, sizes_of, values_of
from .patience import hurried
from .terminal import loud

__all__ = ["Group", "group", "made", "takes"]

T = TypeVar("T")

SHELL: dict[str, Any] = {  # what is typed for a field of some type, where that is not its type as it stands
    "bool": bool,
    "bool | None": bool | None,
    "int": int,
    "int | None": int | None,
    "float": float,
    "float | None": float | None,
    "str": str,
    "str | None": str | None,
    "Path | None": Path | None,
    "int | Sequence[int] | None": list[int] | None,
    "Sequence[Path]": list[Path] | None,
    "tuple[Path, ...]": list[Path] | None,
    "Lowerings": list[str] | None,
    "str | float | None": str | None,
    "Metric | str | None": str | None,
    "Budget | str | None": str | None,
    "Sequence[float] | None": str | None,
    "str | os.PathLike[str] | None": Path | None,
    "Any": Path | None,
    "Labelled | Mapping[str, Any] | str | os.PathLike[str] | None": Path | None,
}
READ: dict[str, Callable[[Any], Any]] = {  # fields that are typed in a way of their own
    "sizes": lambda texts: sizes_of(texts) or None,
    "fix": lambda texts: sizes_of(texts, "--fix") or None,
    "values": lambda texts: values_of(texts or []) or None,
    "ranges": lambda texts: pairs(range_of, texts) or None,
    "likes": lambda texts: pairs(like_of, texts) or None,
    "off": lambda texts: pairs(off_of, texts) or None,
    "memory": bytes_of,
    "levels": levels_of,
    "custom_ops": lambda paths: tuple(paths or ()),
    "plot": lambda paths: tuple(paths or ()),
}
HEARD: dict[str, Callable[..., Any]] = {
    "quiet": loud,
    "verbose": loud,
    "timeout": hurried,
}  # options that are heeded before the command runs


@dataclass(frozen=True, slots=True)
class Group:
    """Some fields of options that a command takes; defaults: where it has others; make: the value of what was typed."""

    kind: type
    options: tuple[Field[Any], ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[..., Any] | None = None

    def parameters(self) -> Iterator[inspect.Parameter]:
        """The options for typer."""
        for option in self.options:
            default = self.defaults.get(option.name, default_of(option))
            yield inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if default == () else default,
                annotation=Annotated[_typed(option, default), _option(option)],
            )

    def value(self, typed: Mapping[str, Any]) -> Any:
        """The options that were typed, as one value."""
        read = {one.name: READ.get(one.name, lambda same: same)(typed[one.name]) for one in self.options}
        refuse_unknown(self.kind, read)
        return (self.make or self.kind)(**read)


def group(
    kind: type,
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    make: Callable[..., Any] | None = None,
    **defaults: Any,
) -> Group:
    """All fields of options, or `only` some, or all `without` some."""
    names = {option.name for option in fields(kind)} if only is None else set(only)
    chosen = tuple(option for option in fields(kind) if option.name in names - set(without))
    return Group(kind, chosen, defaults, make)


def takes(*heeded: Group, **groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command for typer, of a function that takes groups of options as values by their names.

    heeded: options that the function is not given, since they are heeded before it runs.

    An option that several groups know is one option of the command, the first group's, and goes to all of them.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        told = inspect.get_annotations(function, eval_str=True)
        found: dict[str, inspect.Parameter] = {}
        own = inspect.signature(function).parameters.items()
        taken = [
            groups[name].parameters() if name in groups else [one.replace(annotation=told[name])] for name, one in own
        ]
        for one in itertools.chain(*taken, *(group.parameters() for group in heeded)):
            found.setdefault(one.name, one.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        def command(**typed: Any) -> None:
            own = {name: typed[name] for name in told if name in typed and name not in groups}
            function(**own, **{name: one.value(typed) for name, one in groups.items()})

        command.__name__, command.__doc__, command.__module__ = function.__name__, function.__doc__, function.__module__
        command.__signature__ = inspect.Signature([*found.values()])  # type: ignore[attr-defined]
        command.__annotations__ = {name: one.annotation for name, one in found.items()}
        return command

    return decorate


def refuse_unknown(kind: type, values: Mapping[str, Any]) -> None:
    """Raise typer.BadParameter for a word that is none of the choices of its field."""
    for option in fields(kind):
        told, value = option.metadata.get("setting"), values.get(option.name)
        if told is not None and told.choices and value is not None and value not in told.choices:
            hint = _flags(option)[0].partition("/")[0]
            raise typer.BadParameter(f"{value!r} is none of {', '.join(told.choices)}", param_hint=hint)


def made(kind: type[T], **values: Any) -> T:
    """Options of values that were typed. Raises typer.BadParameter for a word that is none of the choices."""
    refuse_unknown(kind, values)
    return kind(**values)


def _typed(option: Field[Any], default: Any) -> Any:
    """What is typed for a field: words are texts, whatever they choose between, and so is what is read from a text."""
    kind = str(option.type)
    if setting_of(option).choices or option.name == "memory":
        return str | None if default is None else str
    return list[str] | None if kind.startswith("Mapping") else SHELL[kind]


def _flags(option: Field[Any]) -> tuple[str, ...]:
    """How a field is called on the command line; what is on by default, or open, can be switched off as well."""
    named = setting_of(option).flags
    if named:
        return named
    flag = f"--{option.name.replace('_', '-')}"
    switched = str(option.type).startswith("bool") and option.default is not False
    return (f"{flag}/--no-{flag.removeprefix('--')}",) if switched else (flag,)


def _option(option: Field[Any]) -> Any:
    told = setting_of(option)
    bounds: dict[str, Any] = {"min": told.least, "max": told.most}
    callback, words = HEARD.get(option.name), told.choices
    complete = _completion(words) if words else None
    return typer.Option(
        *_flags(option), help=told.help, metavar=told.metavar, callback=callback, autocompletion=complete, **bounds
    )


def _completion(words: Iterable[str]) -> Callable[[str], list[str]]:
    """What a shell is told of the words that go on from what is typed."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]
