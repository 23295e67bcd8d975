"""Every model of a folder optimised, and the folder written anew, whole or not at all, with all else in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from ...ir.errors import ModelError
from ...ir.plural import counted
from ...ir.progress import Progress
from ...ir.staging.folder import temporary_folder
from ..fields import chosen, keywords
from ..ort.trials import Trials
from ..pipeline.optimize import optimize
from ..pipeline.options import OptimizeKeywords, OptimizeOptions, PlanOptions
from ..pipeline.result import Result
from .layout import Layout

__all__ = ["FolderResult", "optimize_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderResult:
    """What came of each model of a folder, by its path from there; others: what was copied, where it was written."""

    folder: Path
    results: Mapping[str, Result]
    others: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the folder was written: no check of a model failed."""
        return all(result.ok for result in self.results.values())

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        split = sum(result.outcome == "split" for result in self.results.values())
        failed = [name for name, result in self.results.items() if not result.ok]
        if failed:
            return f"check failed of {', '.join(failed)}, nothing was written"
        return f"{split} of {len(self.results)} models split; {counted(len(self.others), 'other file')} copied"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        models = {name: result.to_dict() for name, result in self.results.items()}
        return {"folder": str(self.folder), "models": models, "others": [str(path) for path in self.others]}


@keywords(PlanOptions, OptimizeOptions)
def optimize_folder(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: PlanOptions | None = None,
    *,
    further: OptimizeOptions | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[OptimizeKeywords],
) -> FolderResult:
    """Optimise every model of a folder of Hugging Face or onnxruntime-genai, and write the folder with all else in it.

    Each model keeps its name, so that what reads the folder finds it, and so does its data where that is called after
    it, with '.data' or '_data' behind; a model that does not split is then copied byte for byte. Files that are links,
    as in the cache of a hub, become files. What inputs of each hold says the inputs.toml beside it. folder: where the
    models lie, there or below; output: a folder that is not there yet, or empty; where the check of a model fails
    nothing is written. options, further, trials, progress: as in `optimize`, and each field of the first two as a
    keyword of its own. Raises ModelError for a folder without models, for links that lead out of it, where the output
    is there, or the disk refuses, and what `optimize` raises.
    """
    source, target = Path(folder), Path(output)
    options, further = chosen(PlanOptions, options, single), chosen(OptimizeOptions, further, single)
    _refuse_target(source, target)
    layout = Layout.of(source)
    results: dict[str, Result] = {}
    try:
        with temporary_folder(beside=target) as staging:
            made = staging / "models"
            for path in layout.models:
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                found = optimize(source / path, made / path, options, further=further, trials=trials, progress=progress)
                results[path.as_posix()] = _placed(found, made, target, path)
            if not all(result.ok for result in results.values()):
                unwritten = {name: replace(result, written=(), model=None) for name, result in results.items()}
                return FolderResult(folder=target, results=unwritten)
            layout.copy_others(made)
            if target.is_dir():
                target.rmdir()  # it is empty
            made.rename(target)
    except OSError as error:
        raise ModelError(f"{target}: {error.strerror or error}; nothing was written") from None
    return FolderResult(folder=target, results=results, others=tuple(target / path for path in layout.others))


def _placed(result: Result, made: Path, target: Path, path: Path) -> Result:
    """A result whose files are where they go to."""
    written = tuple(target / one.relative_to(made) for one in result.written)
    return replace(result, written=written, model=target / path if written else result.model)


def _refuse_target(source: Path, target: Path) -> None:
    """Raise ModelError where the source is no folder, or the output is there or would lie inside of the source."""
    if not source.is_dir():
        raise ModelError(f"{source}: is no folder; give one that holds models")
    if os.path.lexists(target) and (target.is_symlink() or not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target}: is there already, and no folder is replaced; choose another output")
    if not target.absolute().parent.is_dir():
        raise ModelError(f"{target}: the folder around it does not exist; create it first")
    if target.resolve().is_relative_to(source.resolve()):
        raise ModelError(f"{target}: lies inside of {source}, which is read; choose another output")
