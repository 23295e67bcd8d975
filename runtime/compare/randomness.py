"""Two models that draw random numbers, as files in which both draw the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...ir.io.load import Model
from ...ir.io.save import save
from ...ir.staging.folder import temporary_folder
from ...passes.rewrite.comparable.seeding import common_seeds, draws, label, seeded

__all__ = ["Alike", "alike"]

NAMED = 3  # operators that a sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """The files to run; random: operators of the original that draw random numbers without a seed, as messages call
    them; only: those that one of the two models has and the other has none of."""

    original: Path
    changed: Path
    random: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What was done about them; empty where there are none."""
        if self.only:
            return f"only one of the models draws random numbers ({_listed(self.only)}), so they cannot be equal"
        if not self.random:
            return ""
        return f"random numbers are drawn by {_listed(self.random)}; for this both models were given the same seeds"


@contextmanager
def alike(original: Path, before: Model, changed: Path, after: Model) -> Iterator[Alike]:
    """The two models with one seed for each random operator and its counterpart; themselves where none draws.

    Both sessions then have the same noise in their n-th runs, and what is computed from it can be compared.
    """
    first, second = draws(before.graph), draws(after.graph)
    random = tuple(map(label, first))
    if not first or not second:
        yield Alike(original=original, changed=changed, random=random, only=tuple(map(label, first or second)))
        return
    seeds = common_seeds(first, second)
    with temporary_folder() as folder:
        paths = [folder / one / "model.onnx" for one in ("original", "changed")]
        for path, model, own in zip(paths, (before, after), seeds, strict=True):
            path.parent.mkdir()
            save(model, seeded(model.graph, own), path)
        yield Alike(original=paths[0], changed=paths[1], random=random)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
