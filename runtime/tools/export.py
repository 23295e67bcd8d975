"""torch.onnx.export with a split behind it."""

from __future__ import annotations

import io
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...ir.errors import ScissionError
from ...ir.io.save import refuse_output
from ..fields import chosen
from ..ort.trials import Trials
from ..pipeline.options import OptimizeOptions, PlanOptions
from ..pipeline.result import Result
from .proved import proved

__all__ = ["NoTorchError", "export"]


class NoTorchError(ScissionError):
    """An export was asked for, and torch or what it exports with is not installed."""


def export(
    module: Any,
    args: Any,
    path: str | os.PathLike[str],
    *,
    options: PlanOptions | None = None,
    further: OptimizeOptions | None = None,
    trials: Trials | None = None,
    **torch_export_options: Any,
) -> Result:
    """Export a torch module as torch.onnx.export does, and write the model split, proved and measured.

    module, args, torch_export_options: as of torch.onnx.export, which exports with dynamo unless told otherwise;
    path: the file, written whole or not at all. options, further, trials: how to plan, what besides, and how models
    are run, as of `scission.optimize`, and as there each field of the first two as a keyword of its own. Where nothing
    is gained the file holds the model as torch exported it. Raises NoTorchError where torch or onnxscript are not
    installed, SplitError where the split model differs, after which there is no file, ModelError where the file is
    there already, before torch exports anything, TypeError for a second file and for one in place of the module, and
    what torch.onnx.export and `scission.optimize` raise.

    >>> import tempfile, torch
    >>> layer = torch.nn.Linear(32, 32)
    >>> _ = layer.weight.data.mul_(torch.block_diag(*[torch.ones(8, 8)] * 4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = export(layer, (torch.ones(2, 32),), f"{folder}/layer.onnx", force=True, bench=False,
    ...         dynamo=False, input_names=["x"], output_names=["y"])
    >>> made.outcome, len(made.plan.rewrites)
    ('split', 1)
    """
    if "f" in torch_export_options:
        raise TypeError("export() writes one file, that of path, and takes no 'f'")
    if isinstance(module, (str, os.PathLike)):
        raise TypeError(f"{module}: is a file and no module of torch; `scission.optimize` takes an .onnx file")
    own = {one.name for kind in (PlanOptions, OptimizeOptions) for one in fields(kind)}
    options = chosen(PlanOptions, options, torch_export_options)
    further = chosen(OptimizeOptions, further, torch_export_options)
    refuse_output(Path(path), (), further.overwrite)
    left = {name: value for name, value in torch_export_options.items() if name not in own}
    return proved(_exported(module, args, left), options, further, trials, path)


def _exported(module: Any, args: Any, options: dict[str, Any]) -> Any:
    """What torch makes of a module: a program, or the bytes of a model where it is told to export without dynamo."""
    try:
        import torch
    except ImportError as error:
        raise NoTorchError("an export needs torch; pip install torch onnxscript") from error
    try:
        if not options.get("dynamo", True):
            written = io.BytesIO()
            torch.onnx.export(module, args, written, **options)
            return written.getvalue()
        return torch.onnx.export(module, args, **{"dynamo": True, "verbose": False, **options})
    except ModuleNotFoundError as error:
        raise NoTorchError(f"torch.onnx.export needs {error.name}; pip install {error.name}") from error
