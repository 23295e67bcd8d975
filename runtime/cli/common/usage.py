"""What is wrong with a command line, in one line as every other error: `--threads: 0 is not in the range 1<=x<=1024`.

Whoever parses the line says it in sentences of its own and draws a box around them; what counts is in its exceptions.
"""

from __future__ import annotations

import re
from typing import Any

import typer

from ...fields import LARGEST

__all__ = ["UsageError", "usage_message"]

WORDED = (  # how the parser says it, and how all else here is said
    (r"is not in the range x>=(\S+)$", r"is not at least \1"),
    (rf"^(-\S+|0\S*) is not in the range (\S+)<=x<={LARGEST}$", r"\1 is not at least \2"),
    (rf"is not in the range \S+<=x<={LARGEST}$", f"is not at most {LARGEST}"),
    (r"is not in the range (\S+)<=x<=(\S+)$", r"is not from \1 to \2"),
    (r"is not a valid int(eger)?( range)?$", "is no whole number"),
    (r"is not a valid float( range)?$", "is no number"),
    (r"^Got unexpected extra argument\S* \((.+)\)$", r"there is no argument for \1"),
    (r"^Option '(\S+)' requires an argument$", r"\1 needs a value"),
    (r"\. Did you mean (one of: )?(.+)\?$", r"; perhaps \2"),
)
UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # of the parser that typer is built on or brings along


def usage_message(error: Any) -> str:
    """The message of a UsageError; it ends with the command that tells more where no value is to blame."""
    if isinstance(error, typer.BadParameter) and error.message:
        where = _named(error)
        return f"{where}: {_plain(error.message)}" if where else _plain(error.message)
    if isinstance(error, typer.BadParameter):
        about = getattr(error.param, "help", None)
        return f"{_named(error)} is missing{f', {about}' if about else ''}{_more(error)}"
    if hasattr(error, "possibilities"):
        near = ", ".join(sorted(error.possibilities or ()))
        return f"there is no option {error.option_name}{f'; perhaps {near}' if near else _more(error)}"
    text = _plain(error.format_message())
    return f"{text[:1].lower()}{text[1:]}{_more(error)}"


def _named(error: Any) -> str:
    """The option or argument that an error is about, as it is typed."""
    if error.param_hint is not None or error.param is None:
        return str(error.param_hint or "")
    long = "/".join(one for one in error.param.opts if one.startswith("--"))
    return long or str(error.param.make_metavar(error.ctx)).strip("[]{}.")


def _plain(text: str) -> str:
    """A sentence of the parser in our words, where it is one of those that are known."""
    text = " ".join(text.split()).rstrip(".")
    for pattern, words in WORDED:
        text = re.sub(pattern, words, text)
    return text


def _more(error: Any) -> str:
    return f"; see `{error.ctx.command_path} --help`" if error.ctx is not None else ""
