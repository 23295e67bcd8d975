"""The one root of every error that scission raises on purpose, and how it names options and functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .printable import printable_lines

__all__ = ["INSPECT", "ModelError", "Remedy", "ScissionError", "option"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that a message tells to use: what it is called in Python, and on the command line."""

    python: str
    shell: str

    def __str__(self) -> str:
        return self.python


def option(keyword: str, value: Any = None, *, flag: str | None = None) -> Remedy:
    """An option, with the value that helps; flag: its name on the command line where that is not the keyword's.

    >>> [(str(one), one.shell) for one in (option("overwrite", True), option("cuda_graph", "off"), option("init"))]
    [('overwrite=True', '--overwrite'), ("cuda_graph='off'", '--cuda-graph off'), ('init=…', '--init')]
    """
    name = flag or f"--{keyword.replace('_', '-')}"
    stated = "…" if value is None else repr(value)
    return Remedy(f"{keyword}={stated}", name if value is None or value is True else f"{name} {value}")


INSPECT = Remedy("`scission.inspect`", "`scission inspect --all`")


class ScissionError(ValueError):
    """Bad input or a failed check; the message names the file and the node and says what to do.

    It is made of texts and of what they tell to use; `str` of it is for Python, `for_shell` for the command line. What
    says more of an error, such as the name of a file, goes before its `parts`. Names in it command no terminal.

    >>> error = ScissionError("out.onnx: exists already; add ", option("overwrite", True))
    >>> str(error), error.for_shell
    ('out.onnx: exists already; add overwrite=True', 'out.onnx: exists already; add --overwrite')
    """

    def __init__(self, *parts: str | Remedy) -> None:
        super().__init__(printable_lines("".join(map(str, parts))))
        self.parts = parts

    @property
    def for_shell(self) -> str:
        """The message with options and commands as they are typed."""
        return printable_lines("".join(part.shell if isinstance(part, Remedy) else part for part in self.parts))


class ModelError(ScissionError):
    """A model that cannot be read or written; the message names the file and says what to do."""
