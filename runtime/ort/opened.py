"""A model, wherever it comes from, as a file that ONNX Runtime can open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...ir.io.load import Model, Source, load
from ...ir.io.save import save
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.staging.folder import temporary_folder

__all__ = ["as_file", "written"]


@contextmanager
def as_file(source: Source, label: str) -> Iterator[tuple[Path, Model]]:
    """A model as a file that ONNX Runtime can open, and as a graph."""
    if isinstance(source, (str, os.PathLike)):
        yield Path(source), load(source)
        return
    model = load(source, label)
    with written(model, model.graph.clone(), label) as path:
        yield path, model


@contextmanager
def written(home: Model, graph: ir.Model, label: str = "model") -> Iterator[Path]:
    """A graph as the file `label`.onnx of a temporary folder; its weights are read from where those of `home` lie."""
    with temporary_folder() as folder:
        path = folder / f"{label}.onnx"
        save(home, graph, path)
        yield path
