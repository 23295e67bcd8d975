"""Whether a split model is larger as a file than its original, which is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...ir.io.load import Model, load
from ..render.words import megabytes

__all__ = ["grown", "growth"]

ROOM = 1 << 12  # bytes that the nodes of blocks may take beside their weights before a file counts as larger


def growth(model: Model, written: Sequence[Path]) -> str:
    """What is to be said where the written files are larger than those of the model; '' where they are not."""
    if model.path is None or not written:
        return ""
    before, after = (
        sum(path.stat().st_size for path in paths) for paths in ([model.path, *model.data_files()], written)
    )
    if after <= before + ROOM or megabytes(before) == megabytes(after):
        return ""
    return f"; the file grows from {megabytes(before)} to {megabytes(after)}: blocks hold more than it did"


def grown(source: Path, output: Path) -> str:
    """What is to be said where a rewritten file is larger than its source; '' where it is not."""
    changed = load(output)
    return growth(load(source), [output, *changed.data_files()])
