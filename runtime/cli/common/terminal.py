"""What commands print and write: tables or JSON, progress bars, small files whole or not at all."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ....ir.errors import ScissionError
from ....ir.printable import printable
from ...fields import setting
from ...say import say_lines

if TYPE_CHECKING:
    from ....ir.progress import Progress

__all__ = [
    "MOMENT",
    "UNSHOWN",
    "Printing",
    "loud",
    "progress_bar",
    "refuse_outputs",
    "show",
]

UNSHOWN = 4  # exit status of a check that neither found a difference nor showed that there is none
MOMENT = 0.5  # seconds before anything is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """What a command prints."""

    everything: bool = setting(False, "show every node", flags=("--all",))
    as_json: bool = setting(False, "print JSON instead of tables", flags=("--json",))
    quiet: bool = setting(False, "print nothing but errors", flags=("--quiet", "-q"))
    verbose: bool = setting(False, "log the seconds of each phase on stderr", flags=("--verbose", "-v"))

    @property
    def bare(self) -> bool:
        """Whether there is no progress bar: nothing is printed, or for a machine."""
        return self.quiet or self.as_json

    def show(self, data: Callable[[], Any], view: Callable[[Any], Any]) -> None:
        """Print JSON, or a table made with the module `report`, or nothing."""
        show(self.quiet, self.as_json, data, view)


def loud(context: typer.Context, option: typer.CallbackParam, wanted: bool) -> bool:
    """Log from now on where that is asked for, unless nothing is to be printed; whichever of the two comes first."""
    if wanted and context.params.get("quiet" if option.name == "verbose" else "verbose"):
        raise typer.BadParameter("-q says nothing and -v says more; choose one")
    if wanted and option.name == "verbose":
        from .logs import log_to_stderr

        log_to_stderr()
    return wanted


def show(quiet: bool, as_json: bool, data: Callable[[], Any], view: Callable[[Any], Any]) -> None:
    """Print JSON, or a table made with the module `report`, or nothing."""
    if as_json:
        say_lines(json.dumps(data(), indent=1))
    elif not quiet:
        from ...render.console import console
        from ...render.text import report

        console().print(view(report))


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on the terminal, for work that takes longer than a moment; it tells which phase it is in.

    Gone when the work is done. None where there is no terminal or nothing is to be printed.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import RenderableType
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from ....ir.phase import watching
    from ...render.console import console

    started = time.monotonic()

    class Late(Bar):
        """A bar that is not there in the first moment."""

        def get_renderables(self) -> Iterator[RenderableType]:
            if time.monotonic() - started > MOMENT:
                yield from super().get_renderables()

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Late(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        counted: list[tuple[int, int, str] | None] = [None]  # of each phase that is open

        def advance(done: int, total: int, node: str) -> None:
            counted[-1] = (done, total, node)
            bar.update(task, completed=done, total=total, description=printable(node))

        def enter(path: tuple[str, ...]) -> None:
            entered = len(path) >= len(counted)
            counted[len(path) + 1 :] = []
            counted.extend([None] * (len(path) + 1 - len(counted)))
            done, total, node = next((one for one in reversed(counted) if one is not None), (0, None, ""))
            words = [node, *path[-1:]] if entered or not node else [node]
            bar.update(task, completed=done, description=printable(": ".join(word for word in words if word)))
            bar.tasks[0].total = total  # which `update` cannot make unknown again

        with watching(enter):
            yield advance


def refuse_outputs(outputs: list[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """Everything that can be said against the outputs, before anything is computed."""
    from ....ir.io.save import refuse_output

    for index, path in enumerate(outputs):
        refuse_output(path, inputs, overwrite)
        if path.resolve() in [other.resolve() for other in outputs[:index]]:
            raise ScissionError(f"{path}: is given as an output twice; choose another name for one of them")
