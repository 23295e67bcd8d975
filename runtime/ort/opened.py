"""A model, wherever it comes from, as a file that ONNX Runtime can open."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...ir.io.load import Model, Source, load
from ...ir.io.save import save

__all__ = ["as_file"]


@contextmanager
def as_file(source: Source, label: str) -> Iterator[tuple[Path, Model]]:
    """A model as a file that ONNX Runtime can open, and as a graph."""
    if isinstance(source, (str, os.PathLike)):
        yield Path(source), load(source)
        return
    with tempfile.TemporaryDirectory(prefix="scission.") as folder:
        model = load(source, label)
        path = Path(folder) / f"{label}.onnx"
        save(model, model.graph.clone(), path)
        yield path, model
