"""What was measured before: speeds of the forms of a unit by what it is and where it ran, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["TuningCache", "cache_path", "key_of"]

SCHEMA = 1
FASTEST = 1e6  # a speed-up above this was never measured


def cache_path() -> Path:
    """The file: tuning.json in the folder that SCISSION_CACHE names, else in the user's cache folder."""
    own = os.environ.get("SCISSION_CACHE")
    if own:
        return Path(own) / "tuning.json"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "scission" / "tuning.json"


def key_of(what: Mapping[str, Any]) -> str:
    """The key of everything that a measurement depends on.

    >>> key_of({"rows": [1, 16]}) == key_of({"rows": (1, 16)}), len(key_of({}))
    (True, 64)
    """
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class TuningCache:
    """Tables by key; `warnings` says in one line each what could not be read or written, which is never an error.

    path: None keeps them for this run only.
    """

    path: Path | None
    entries: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @staticmethod
    def open(path: Path | None) -> TuningCache:
        """What the file holds; a damaged one, or one of another version, holds nothing."""
        cache = TuningCache(path)
        if path is not None:
            cache.entries = _read(path, cache.warnings)
        return cache

    def get(self, key: str) -> dict[str, tuple[float | None, ...]] | None:
        """The speeds by way for a key; None where there are none, or what stands there is no table."""
        entry = self.entries.get(key)
        table = entry.get("speeds") if isinstance(entry, dict) else None
        if not isinstance(table, dict):
            return None
        found: dict[str, tuple[float | None, ...]] = {}
        for way, speeds in table.items():
            if not isinstance(speeds, list) or not all(speed is None or _is_speed(speed) for speed in speeds):
                return None
            if not speeds or speeds[0] is None:  # only what is hopeless is not measured at further sizes
                return None
            found[way] = tuple(speeds)
        return found

    def put(self, key: str, what: Mapping[str, Any], speeds: Mapping[str, tuple[float | None, ...]]) -> None:
        """Remember a table and write the file, whole or not at all, with what others wrote in the meantime.

        what: what the key stands for, for whoever reads the file.
        """
        entry = {"what": dict(what), "speeds": {way: list(found) for way, found in speeds.items()}}
        self.entries[key] = entry
        if self.path is None:
            return
        try:
            self.entries = _read(self.path, []) | self.entries
            _write(self.path, self.entries)
        except OSError as error:
            self.warnings.append(f"{self.path}: what was measured could not be kept ({error.strerror or error})")
            self.path = None  # saying so once is enough


def _is_speed(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < FASTEST


def _read(path: Path, warnings: list[str]) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        warnings.append(f"{path}: cannot be read and is begun anew ({' '.join(str(error).split())})")
        return {}
    if not isinstance(data, dict) or not isinstance(data.get("entries"), dict):
        warnings.append(f"{path}: holds no measurements and is begun anew")
        return {}
    if data.get("schema") != SCHEMA:
        warnings.append(f"{path}: was written by another version and is begun anew")
        return {}
    found: dict[str, Any] = data["entries"]
    return found


def _write(path: Path, entries: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tuning.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"schema": SCHEMA, "entries": entries}, file, indent=1)
        os.replace(name, path)  # noqa: PTH105 - replaces an existing file on every system
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
