"""Commands as the help lists them: each with its whole sentence."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["Listing"]


class Listing(TyperGroup):
    """A group of commands whose sentences are wrapped rather than cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands that are not hidden, in their order; no sentence is longer than the letters asked for."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(1 << 12)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
