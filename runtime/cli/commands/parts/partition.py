"""`scission partition`: cut a model into parts that run by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....ort.trials import Trials
from ....say import say
from ....serve.options import PartitionOptions
from ...common.arguments import Input, Overwrite
from ...common.from_fields import group, takes
from ...common.patience import Patience
from ...common.terminal import Printing, progress_bar

__all__ = ["partition"]


@takes(
    group(Patience),
    options=group(PartitionOptions),
    trials=group(Trials, without=("seconds", "cuda_graph", "tf32")),
    printing=group(Printing),
)
def partition(
    model: Input,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="where the parts go")],
    overwrite: Overwrite = False,
    *,
    options: PartitionOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Cut a model from its inputs to its outputs into parts that share no product, each a model of its own.

    Put together they are run beside the model before anything is written; `scission check FOLDER IN` does it again.
    With --parts some go to one file: fewer calls, but all of one file are run where any of them is activated.
    """
    from ....render.parts.table import parts_view
    from ....serve import partition as cutting

    with progress_bar(printing.bare) as progress:
        found = cutting.partition(model, output, options, trials=trials, overwrite=overwrite, progress=progress)
    printing.show(found.to_dict, lambda _: parts_view(found.manifest, printing.everything))
    if not printing.bare:
        say(f"wrote {output}: {len(found.manifest.parts)} parts; put together: {found.verdict.reason}")
