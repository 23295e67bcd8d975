"""A folder of parts, read and written: whole or not at all, and no file in it is believed without its SHA-256."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...ir.errors import Remedy, option
from ...ir.files.reading import MANIFEST, read_text
from ...ir.parts.activation import FILE as ACTIVATION
from ...ir.parts.activation import Activation
from ...ir.parts.digest import digest_of
from ...ir.parts.manifest import FILE, Manifest, PartFile
from ...ir.parts.share import ManifestError
from ...ir.staging.folder import temporary_folder
from ...ir.staging.place import Move, place

__all__ = [
    "original_digest",
    "publish",
    "read_activation",
    "read_manifest",
    "refuse_folder",
    "require_files",
    "staged_folder",
    "write_activation",
]

PARTITION = Remedy("`scission.partition`", "`scission partition`")
COUNT = Remedy("`scission.count_activation`", "`scission activation`")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; raises ManifestError, naming the file, for what is none."""
    path = folder / FILE
    try:
        return Manifest.loads(read_text(path, MANIFEST))
    except ManifestError as error:
        raise ManifestError(f"{path}: ", *error.parts) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ManifestError(f"{path}: cannot be read ({why}); make a folder with ", PARTITION) from None


def read_activation(folder: Path, manifest: Manifest) -> Activation | None:
    """What was counted of the parts of a folder; None where nothing was.

    Raises ManifestError, naming the file, for what is none or was counted for other parts.
    """
    path = folder / ACTIVATION
    if not os.path.lexists(path):
        return None
    try:
        found = Activation.loads(read_text(path, MANIFEST))
        found.require_of(manifest)
    except ManifestError as error:
        raise ManifestError(f"{path}: ", *error.parts) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ManifestError(f"{path}: cannot be read ({why}); count it again with ", COUNT) from None
    return found


def write_activation(folder: Path, found: Activation) -> None:
    """Write what was counted of the parts of a folder, whole or not at all; raises ManifestError where it cannot be."""
    path = folder / ACTIVATION
    try:
        with temporary_folder(beside=path) as staging:
            (staging / ACTIVATION).write_text(found.dumps(), encoding="utf-8")
            place([Move(staging / ACTIVATION, path)], staging, overwrite=True)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}; nothing was written") from None


def require_files(folder: Path, part: PartFile) -> None:
    """Raise ManifestError unless the files of a part are there and are those that the manifest is about."""
    for name, sha256 in part.files.items():
        path = folder / name
        try:
            if path.is_symlink():
                raise ManifestError(f"{path}: is a link, and a part lies in its folder; copy the file there")
            found = digest_of([path])
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read ({error.strerror}); copy the folder again") from None
        if found != sha256:
            raise ManifestError(f"{path}: is not the file that the manifest tells of; cut the model again")


def original_digest(paths: Sequence[Path]) -> str:
    """The SHA-256 of a model by all of its files, the model itself first."""
    return digest_of([*paths[:1], *sorted(set(paths[1:]) - {*paths[:1]})])


def refuse_folder(folder: Path, read: Sequence[Path], overwrite: bool) -> None:
    """Raise ManifestError where parts must not be written: where something is that is no folder of parts, where a file
    lies that is read, there already, out of reach."""
    try:
        if not folder.absolute().parent.is_dir():
            raise ManifestError(f"{folder}: the folder around it does not exist; create it first")
        if not os.path.lexists(folder):
            return
        if folder.is_symlink() or not folder.is_dir():
            raise ManifestError(f"{folder}: is there and no folder; choose another output")
        inside = [entry.name for entry in os.scandir(folder)]
        own = folder.resolve()
        if any(own in path.resolve().parents for path in read):
            raise ManifestError(f"{folder}: holds what is read, which is never written to; choose another output")
    except OSError as error:
        raise ManifestError(f"{folder}: {error.strerror or error}; choose another output") from None
    if inside and FILE not in inside:
        raise ManifestError(f"{folder}: is a folder of something else; choose another output")
    if inside and not overwrite:
        raise ManifestError(f"{folder}: exists already; choose another output or add ", option("overwrite", True))
    if inside:
        read_manifest(folder)  # what is replaced is a folder of parts


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder in which the files of `folder` are made.

    Raises ManifestError where the disk refuses; nothing is left behind then.
    """
    beside = folder / FILE if folder.is_dir() else folder
    try:
        with temporary_folder(beside=beside) as staging:
            made = staging / "parts"
            made.mkdir()
            yield made
    except OSError as error:
        raise ManifestError(f"{folder}: {error.strerror or error}; nothing was written") from None


def publish(made: Path, folder: Path, manifest: Manifest) -> None:
    """Put a complete folder in its place: all of its files, or none; raises OSError."""
    if not folder.is_dir():
        made.rename(folder)
        return
    before = read_manifest(folder).files if (folder / FILE).exists() else []
    staging = made.parent
    names = [*manifest.files, *([ACTIVATION] if (made / ACTIVATION).exists() else [])]
    for name in names:  # beside the journal
        (made / name).rename(staging / name)
    place([Move(staging / name, folder / name) for name in names], staging, overwrite=True)
    for name in {*before, ACTIVATION} - {*names}:  # what was counted of other parts goes with them
        (folder / name).unlink(missing_ok=True)
