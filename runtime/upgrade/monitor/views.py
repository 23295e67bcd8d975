"""Where looks are shown while a run goes on: a terminal, and TensorBoard."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from rich.live import Live

from ....ir.errors import ScissionError
from ....ir.findings.formation import Look
from ...render.console import console
from .shown import look_view

__all__ = ["LiveView", "TensorBoardView"]


class LiveView:
    """The last look in the terminal, in place: for the `to` of a `StructureMonitor`, within a `with`."""

    def __init__(self) -> None:
        self._live = Live(console=console(), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, look: Look) -> None:
        """Show a look in the place of the one before."""
        self._live.update(look_view(look), refresh=True)


class TensorBoardView:
    """Scalars of every look for TensorBoard: for the `to` of a `StructureMonitor`.

    to: a folder, which needs the package tensorboard, or anything with `add_scalar(tag, value, step)`, such as a
    SummaryWriter that is open. Raises ScissionError for a folder without the package.
    """

    def __init__(self, to: str | os.PathLike[str] | Any) -> None:
        self._writer = to if hasattr(to, "add_scalar") else _writer(to)

    def show(self, look: Look) -> None:
        """Write what a look saw, a group of scalars for each weight and relation."""
        for one in look.weights:
            for of, seen in (("weight", one.weight), ("change", one.change)):
                if seen is None:
                    continue
                values = {name: getattr(seen, name) for name in ("components", "giant", "dormant", "sccs", "layers")}
                values["density"] = seen.edges / (one.shape[0] * one.shape[1])
                if seen.signs is not None:
                    values["certified_blocks"] = seen.signs.blocks if seen.signs.accepted else 0
                for name, value in values.items():
                    if value is not None:
                        self._writer.add_scalar(f"{one.name}/{of}/{name}", value, look.step)


def _writer(folder: str | os.PathLike[str]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ScissionError(f"{os.fspath(folder)}: this needs tensorboard; pip install tensorboard") from None
    return SummaryWriter(os.fspath(folder))
