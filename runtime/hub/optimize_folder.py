"""Every model of a folder optimised, and the folder written anew, whole or not at all, with all else in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from ...ir.errors import ModelError, option
from ...ir.plural import counted
from ...ir.progress import Progress
from ...ir.staging.exchange import exchange
from ...ir.staging.folder import temporary_folder
from ..fields import chosen, keywords
from ..ort.trials import Trials
from ..pipeline.optimize import optimize
from ..pipeline.options import OptimizeKeywords, OptimizeOptions, PlanOptions, agreed
from ..pipeline.result import Result
from .layout import Layout
from .shared_inputs import shared_inputs

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
        others = counted(len(self.others), "other file")
        return f"{split} of {counted(len(self.results), 'model')} split; {others} copied"

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
    models lie, there or below; output: a folder that is not there yet, or empty, with `overwrite` also one of the same
    files, which are replaced all at once; where the check of a model fails nothing is written. options, further,
    trials, progress: as in `optimize`, and each field of the first two as a keyword of its own; values, sizes and the
    like count for the models that have such an input or dimension. Raises ModelError for a folder without models, for
    links that lead out of it, where the output is there, or holds what would be lost, or the disk refuses, InputError
    for a name that none of the models has, and what `optimize` raises.
    """
    source, target = Path(folder), _named(Path(output))
    options, further = chosen(PlanOptions, options, single), chosen(OptimizeOptions, further, single)
    _refuse_target(source, target, further.overwrite)
    layout = Layout.of(source)
    _refuse_loss(layout, target)
    shared = shared_inputs(source, layout.models, *agreed(options, trials))
    results: dict[str, Result] = {}
    try:
        with temporary_folder(beside=target) as staging:
            made = staging / "models"
            for path, (planning, run) in zip(layout.models, shared, strict=True):
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                found = optimize(source / path, made / path, planning, further=further, trials=run, progress=progress)
                results[path.as_posix()] = _placed(found, made, target, path)
            if not all(result.ok for result in results.values()):
                unwritten = {name: replace(result, written=(), model=None) for name, result in results.items()}
                return FolderResult(folder=target, results=unwritten)
            layout.copy_others(made)
            _refuse_loss(layout, target)  # what came since
            exchange(made, target)
    except OSError as error:
        raise ModelError(f"{target}: {error.strerror or error}; nothing was written") from None
    return FolderResult(folder=target, results=results, others=tuple(target / path for path in layout.others))


def _placed(result: Result, made: Path, target: Path, path: Path) -> Result:
    """A result whose files are where they go to."""
    written = tuple(target / one.relative_to(made) for one in result.written)
    return replace(result, written=written, model=target / path if written else result.model)


def _named(path: Path) -> Path:
    """The same place by a path that ends in its name, which `.` and `..` do not."""
    return path if path.name not in ("", "..") else path.resolve()


def _refuse_target(source: Path, target: Path, overwrite: bool) -> None:
    """Raise ModelError where the source is no folder, or the output is there or would lie inside of the source."""
    if not source.is_dir():
        raise ModelError(f"{source}: is no folder; give one that holds models")
    if not target.absolute().parent.is_dir():
        raise ModelError(f"{target}: the folder around it does not exist; create it first")
    if os.path.lexists(target):
        if target.is_symlink() or not target.is_dir():
            kind = "a link" if target.is_symlink() else "no folder"
            raise ModelError(f"{target}: is there and {kind}; choose another output")
        if _surrounds(target):
            raise ModelError(f"{target}: is the folder that this runs in; run it elsewhere, or choose another output")
        if source.resolve().is_relative_to(target.resolve()):
            raise ModelError(f"{target}: holds what is read, which is never written to; choose another output")
        if any(target.iterdir()) and not overwrite:
            raise ModelError(f"{target}: exists already; choose another output or add ", option("overwrite", True))
    if target.resolve().is_relative_to(source.resolve()):
        raise ModelError(f"{target}: lies inside of {source}, which is read; choose another output")


def _surrounds(target: Path) -> bool:
    """Whether this process works in a folder or below: who does goes with it when another takes its place."""
    with contextlib.suppress(FileNotFoundError):  # that folder is gone
        return Path.cwd().is_relative_to(target.resolve())
    return False


def _refuse_loss(layout: Layout, target: Path) -> None:
    """Raise ModelError where the output holds anything that the new one will not, so that it would be lost."""
    lost = layout.absent_of(target) if target.is_dir() else []
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        why = f"{target}: holds {lost[0]}{more}, which {layout.folder} has none of and would be lost"
        raise ModelError(f"{why}; move it elsewhere, or choose another output")
