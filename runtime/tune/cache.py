"""What was measured before: the forms of a unit beside dense by what it is and where it ran, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...ir.files.inside import real_path
from ...ir.files.reading import CACHE, UnreadableError, read_text, require_regular
from ...ir.record import is_number
from ...ir.staging.folder import temporary_folder
from ...ir.staging.place import as_before
from ..measure.comparison import Comparison

__all__ = ["KeptRace", "TuningCache", "cache_path", "key_of"]

SCHEMA = 3
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRace:
    """What is kept of one unit.

    forms: each beside dense at every row count, None where it was no longer run, in the order of the ways that the key
    is for; winner: the place of the one that won, None where that was dense; sizes: of open dimensions that it was
    raced at, None for those that the key is for: others do not fit into any memory.
    """

    forms: tuple[tuple[Comparison | None, ...], ...]
    winner: int | None
    sizes: tuple[Mapping[str, int], ...] | None = None


@dataclass(slots=True)
class TuningCache:
    """What was kept, by key.

    `warnings` says in one line each what could not be read or written, which is never an error.

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

    def get(self, key: str) -> KeptRace | None:
        """What was kept under a key; None where there is nothing, or what stands there was never measured."""
        entry = self.entries.get(key)
        if not isinstance(entry, dict) or not isinstance(entry.get("forms"), list) or "winner" not in entry:
            return None
        forms = [_form(told) for told in entry["forms"]]
        known = [form for form in forms if form is not None]
        winner, sizes = entry["winner"], entry.get("sizes")
        if len(known) < len(forms) or len({len(form) for form in known}) != 1:
            return None
        if winner is not None and (type(winner) is not int or not 0 <= winner < len(known)):
            return None
        if sizes is not None and not (isinstance(sizes, list) and all(isinstance(one, dict) for one in sizes)):
            return None
        return KeptRace(forms=tuple(known), winner=winner, sizes=None if sizes is None else tuple(sizes))

    def put(self, key: str, what: Mapping[str, Any], kept: KeptRace, ways: Sequence[str]) -> None:
        """Remember a race and write the file, whole or not at all, with what others wrote in the meantime.

        what: what the key stands for; ways: what the forms are called: both for whoever reads the file.
        """
        forms = [[None if one is None else [one.ratio, one.low, one.high, one.pairs] for one in f] for f in kept.forms]
        sizes = None if kept.sizes is None else [dict(one) for one in kept.sizes]
        told = {"what": dict(what), "ways": list(ways), "forms": forms, "winner": kept.winner, "sizes": sizes}
        self.entries[key] = told
        self._write()

    def drop(self, keys: Collection[str]) -> None:
        """Forget some entries, and write the file."""
        self.entries = {key: entry for key, entry in self.entries.items() if key not in keys}
        self._write(dropped=keys)

    def _write(self, dropped: Collection[str] = ()) -> None:
        if self.path is None:
            return
        try:
            others = {key: entry for key, entry in _read(self.path, []).items() if key not in dropped}
            self.entries = others | self.entries
            _write(self.path, self.entries)
        except OSError as error:
            self.warnings.append(f"{self.path}: what was measured could not be kept ({error.strerror or error})")
            self.path = None  # saying so once is enough


def _form(told: Any) -> tuple[Comparison | None, ...] | None:
    """A form as it was written, None where it is none; only what was hopeless was not run at further sizes."""
    if not isinstance(told, list) or not told or told[0] is None:
        return None
    found = [None if one is None else _comparison(one) for one in told]
    if any(made is None and one is not None for made, one in zip(found, told, strict=True)):
        return None
    return tuple(found)


def _comparison(told: Any) -> Comparison | None:
    if not isinstance(told, list) or len(told) != 4 or not all(map(is_number, told)):
        return None
    ratio, low, high, pairs = told
    return Comparison(ratio=ratio, low=low, high=high, pairs=pairs) if 0 < low <= ratio <= high < FASTEST else None


def _read(path: Path, warnings: list[str]) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, CACHE))
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
    if path.is_symlink():  # to a cache elsewhere, or to anything else that is none of ours
        problems: list[str] = []
        _read(path, problems)
        if problems:
            raise UnreadableError("it is a link to something else")
        path = real_path(path)
    if path.exists():
        require_regular(path.stat())
    with temporary_folder(beside=path) as folder:
        staged = folder / path.name
        staged.write_text(json.dumps({"schema": SCHEMA, "entries": entries}, indent=1), encoding="utf-8")
        as_before(staged, path)
        staged.replace(path)
