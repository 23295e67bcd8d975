"""`scission activation`: which parts of a model data activate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....calibrate.sources.forms import FORMS
from ....say import say
from ...common.from_fields import group, takes
from ...common.parsing import off_of, pairs
from ...common.terminal import Printing

__all__ = ["activation"]

Off = Annotated[
    list[str] | None,
    typer.Option(
        "--off",
        metavar="NAME=V",
        help="what an input holds where it is off (default: what most of its entries are); masked: anything, where "
        "all else that a part reads is off",
    ),
]


@takes(printing=group(Printing))
def activation(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the parts, as `scission partition` wrote them")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help=f"inputs of the model: {FORMS}")],
    off: Off = None,
    *,
    printing: Printing,
) -> None:
    """Count which parts of a model data activate, which of them together, and what that loads each of them with.

    It is kept in FOLDER/activation.json: whoever runs the parts learns from it what inputs hold where they are off, and
    whoever plans replicas how often each part is called.
    """
    from ....render.parts.activation import activation_view
    from ....serve.count import count_activation

    found = count_activation(folder, data, off=pairs(off_of, off))
    printing.show(found.to_dict, lambda _: activation_view(found, printing.everything))
    if not printing.bare:
        say(f"wrote {folder / 'activation.json'}: {found.rows:,} rows")
