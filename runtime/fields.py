"""Options as values: each field of a frozen dataclass says what it is for, and functions and commands take all fields.

    @dataclass(frozen=True, kw_only=True)
    class PlanOptions:
        threads: int | None = setting(None, "threads of ONNX Runtime", least=1)
                        │
           ┌────────────┴──────────────┐
    plan(model, threads=1)    scission plan --threads 1

so that the library and the command line cannot drift.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ParamSpec, TypeVar

__all__ = ["LARGEST", "OptionNote", "chosen", "default_of", "keywords", "setting", "setting_of", "shell_name"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

LARGEST = 10**12 - 1  # that a size or a count can be: what is larger is a slip, and fits no tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionNote:
    """What a user must know of a field.

    flags: its names on the command line, by default its own name with dashes; least, most: bounds of a number; choices:
    the only words that it may be.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


def setting(default: Any, help: str, **told: Any) -> Any:  # noqa: A002 - as command lines call it
    """A field of options with its default; told: the other fields of `OptionNote`."""
    return field(default=default, metadata={"setting": OptionNote(help=help, **told)})


def setting_of(option: Field[Any]) -> OptionNote:
    """What a field says of itself. Raises KeyError for one that says nothing."""
    found: OptionNote = option.metadata["setting"]
    return found


def shell_name(option: Field[Any], *, off: bool = False) -> str:
    """What a field is called on the command line, to set it or to switch it off."""
    name = (*setting_of(option).flags, f"--{option.name.replace('_', '-')}")[0]
    return f"--no-{name.removeprefix('--')}" if off else name


def default_of(option: Field[Any]) -> Any:
    """The default of a field, `inspect.Parameter.empty` where it has none."""
    return inspect.Parameter.empty if option.default is MISSING else option.default


def chosen(kind: type[T], options: T | None, given: Mapping[str, Any]) -> T:
    """Options with single fields that go before them; given: may hold fields of other options as well.

    Raises TypeError, which names what is needed, for options that are of no such kind.
    """
    if options is not None and not isinstance(options, kind):
        raise TypeError(f"options are wanted as {kind.__name__}, or field by field, not as {type(options).__name__}")
    own = {option.name: given[option.name] for option in fields(kind) if option.name in given}  # type: ignore[arg-type]
    if options is None:
        return kind(**own)
    return replace(options, **own) if own else options  # type: ignore[type-var]


def keywords(*kinds: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose `**keywords` are the fields of options, as its signature then says.

    Raises TypeError for a keyword that is no field.

    >>> @dataclass(frozen=True)
    ... class Options:
    ...     depth: int = setting(2, "how deep")
    >>> @keywords(Options)
    ... def dig(place: str, options: Options | None = None, **keywords: int) -> Options:
    ...     return chosen(Options, options, keywords)
    >>> str(inspect.signature(dig)), dig("here", depth=3)
    ("(place: 'str', options: 'Options | None' = None, *, depth: 'int' = 2) -> 'Options'", Options(depth=3))
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        named = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        options = {
            option.name: inspect.Parameter(
                option.name, inspect.Parameter.KEYWORD_ONLY, default=default_of(option), annotation=option.type
            )
            for kind in kinds
            for option in fields(kind)
        }
        whole = signature.replace(parameters=[*named, *options.values()])

        @functools.wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            if unknown := given.keys() - whole.parameters.keys():
                raise TypeError(f"{function.__name__}() got an unexpected keyword argument {min(unknown)!r}")
            return function(*args, **given)

        call.__signature__ = whole  # type: ignore[attr-defined]
        return call

    return decorate
