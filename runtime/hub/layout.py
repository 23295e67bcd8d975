"""What lies in a folder of models: the models, their data, and what other programs read beside them.

config.json  tokenizer.json …   onnx/model.onnx  onnx/model.onnx_data      a folder of a hub
genai_config.json  …            model.onnx  model.onnx.data                a folder of onnxruntime-genai
blobs/1f…  snapshots/9c…/config.json → ../../blobs/1f…                     the cache of a hub, whose files are links
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...ir.errors import ModelError
from ...ir.files.inside import OutsideError, open_real, place_inside, real_path
from ...ir.files.reading import LENGTH
from ...ir.io.external import HUB, copy_file
from ...ir.io.load import load

__all__ = ["Layout"]

MODEL = ".onnx"
SNAPSHOTS, BLOBS = "snapshots", "blobs"  # of the cache of a hub
MOST = 100_000  # files of a folder of models


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A folder; models: paths of its models, from the folder; others: of what is neither a model nor data of one."""

    folder: Path
    models: tuple[Path, ...]
    others: tuple[Path, ...]

    @staticmethod
    def of(folder: Path) -> Layout:
        """What lies in a folder and below. What is hidden, and folders that are links, is passed over.

        Raises ModelError where there is no model or one cannot be read, where a link leads out of the folder, or for
        what is no regular file.
        """
        if (folder / SNAPSHOTS).is_dir():
            raise ModelError(f"{folder}: is the cache of a hub; give one of the folders in {folder / SNAPSHOTS}")
        allowed, found = _allowed(folder), dict[Path, Path]()
        for path in _files(folder):
            try:
                found[path] = place_inside(folder / path, allowed)
                open_real(found[path], LENGTH).close()
            except OutsideError:
                raise ModelError(f"{folder / path}: is a link out of {folder}; put the file itself there") from None
            except OSError as error:
                raise ModelError(f"{folder / path}: {error.strerror or error}; move it elsewhere") from None
        models = tuple(path for path in found if path.suffix.lower() == MODEL)
        if not models:
            raise ModelError(f"{folder}: there is no {MODEL} file in it; give the folder that holds the model")
        data = {real_path(one) for path in models for one in load(folder / path).data_files()}
        others = tuple(path for path, real in found.items() if path not in models and real not in data)
        return Layout(folder=folder, models=models, others=others)

    def copy_others(self, target: Path) -> None:
        """Copy what is neither a model nor data of one into another folder; links become files. Raises OSError."""
        for path in self.others:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            copy_file(real_path(self.folder / path, strict=True), target / path)

    def absent_of(self, other: Path) -> list[Path]:
        """What lies in another folder, hidden or not, and has no counterpart here: neither a file of the same path, nor
        a model for which it would be the data. Raises OSError."""
        named = {*self.models, *self.others}
        named |= {path.with_name(path.name + suffix) for path in self.models for suffix in (HUB, ".data")}
        found = (
            Path(place) / name for place, inner, names in os.walk(other) for name in [*_links(place, inner), *names]
        )
        return sorted(path for path in (one.relative_to(other) for one in found) if path not in named)


def _links(place: str, inner: list[str]) -> list[str]:
    """Which of the folders in a place are links, and so not looked into."""
    return [name for name in inner if (Path(place) / name).is_symlink()]


def _allowed(folder: Path) -> list[Path]:
    """Where files of a folder may really be: inside of it, or among the blobs of the cache that it is a snapshot in."""
    real = real_path(folder, strict=True)
    return [real, real.parent.parent / BLOBS] if real.parent.name == SNAPSHOTS else [real]


def _files(folder: Path) -> Iterator[Path]:
    """Files and links to files, from the folder, in the order of their names."""
    count = 0
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            count += 1
            if count > MOST:
                raise ModelError(f"{folder}: holds more than {MOST:,} files; give the folder of one model")
            yield (Path(place) / name).relative_to(folder)
