"""The pictures of the gallery, each drawn by the commands that a user has: weights as stored, and group by group.

    python docs/made/gallery.py [NAME …]

Writes docs/pictures/*.svg; all of them are the same bytes again for the same versions. Needs matplotlib.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scission.models.matrices import mel, pruned, toeplitz
from scission.models.planted import ffn
from scission.runtime.cli.app import app

FOLDER = Path(__file__).parents[1] / "pictures"
Array = npt.NDArray[np.float32]


def networks(rng: np.random.Generator) -> Array:
    """Eight networks merged into one weight, their features in any order."""
    rows, columns = (ffn.groups(rng, size, 8) for size in (96, 96))
    W, _ = ffn.weight_between(rng, rows, columns)
    return np.asarray(W, np.float32)


def kronecker(rng: np.random.Generator) -> Array:
    """A mixing of 12 channels at each of 8 places, as a flattening exporter writes it."""
    return np.kron(rng.standard_normal((12, 12)), np.eye(8)).astype(np.float32)


WEIGHTS: dict[str, Callable[[np.random.Generator], Array]] = {
    "networks": networks,
    "kronecker": kronecker,
    "mel": lambda rng: mel.filters(bins=257, bands=80),
    "filter": lambda rng: toeplitz.weight(rng, size=128, taps=5, shuffle=True),
    "pruned": lambda rng: pruned.weight(rng, (96, 96), share=0.1),
}


def draw(name: str) -> Path:
    """The picture of one weight, with its structure brought out."""
    picture = FOLDER / f"{name}.svg"
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / f"{name}.npy", WEIGHTS[name](np.random.default_rng(0)))
        with contextlib.chdir(folder):  # a picture bears the name that its weight was given by
            command = ["cover", f"{name}.npy", "--rows", "3000", "--picture", str(picture), "--overwrite", "-q"]
            app(command, standalone_mode=False)
    return picture


def main() -> None:
    """Draw those that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or WEIGHTS:
        picture = draw(name)
        print(f"{picture}: {picture.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
