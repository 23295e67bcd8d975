"""Real data sets laid side by side on shared features: a row of one activates only the features of that one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import datasets

from .matrix import Array

__all__ = ["NAMES", "Table", "load"]

_LOADERS: dict[str, Callable[[], Array]] = {
    "digits": lambda: datasets.load_digits().data,
    "breast_cancer": lambda: datasets.load_breast_cancer().data,
    "wine": lambda: datasets.load_wine().data,
    "iris": lambda: datasets.load_iris().data,
    "diabetes": lambda: datasets.load_diabetes().data,
}
NAMES = tuple(_LOADERS)
CLIP = 5.0  # standard deviations; a pixel lit in one image of 1797 would stand at 42 and blow up a step


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Table:
    """A data set among n shared features: the sorted indices of its own (F,), and its rows X (M, n), 0 elsewhere.

    A column of X is 0 as well where the data set's own feature never varies, so such a feature is never active.
    """

    name: str
    features: Array
    X: Array

    @property
    def active(self) -> Array:
        """The features, sorted, that at least one row activates."""
        return np.flatnonzero(self.X.any(axis=0))


def load(rng: np.random.Generator, names: Sequence[str] = NAMES) -> tuple[Table, ...]:
    """The named data sets of scikit-learn, on disjoint sets of features that a random permutation hides.

    Features are standardised and clipped at 5 standard deviations, in float32. All five have 121 features, of which
    three pixels of digits are never active. Raises ValueError for an unknown name, or for none at all.

    >>> wine, iris = load(np.random.default_rng(0), ["wine", "iris"])
    >>> wine.X.shape, iris.X.shape, sorted({*wine.features.tolist(), *iris.features.tolist()}) == list(range(17))
    ((178, 17), (150, 17), True)
    """
    if not names or (unknown := set(names) - _LOADERS.keys()):
        wrong = f"unknown data set {min(unknown)!r}" if names else "no data set"
        raise ValueError(f"{wrong}; use some of {', '.join(NAMES)}")
    contents = [_standardised(_LOADERS[name]()) for name in names]
    widths = [content.shape[1] for content in contents]
    n = sum(widths)
    places = np.split(rng.permutation(n), np.cumsum(widths)[:-1])
    return tuple(_placed(name, content, place, n) for name, content, place in zip(names, contents, places, strict=True))


def _standardised(content: Array) -> Array:
    """Mean 0 and variance 1 a column, exactly 0 where a column is constant."""
    constant = (content == content[0]).all(axis=0)
    scaled = (content - content.mean(axis=0)) / np.where(constant, 1, content.std(axis=0))
    return np.where(constant, 0, scaled.clip(-CLIP, CLIP)).astype(np.float32)


def _placed(name: str, content: Array, place: Array, n: int) -> Table:
    X = np.zeros((len(content), n), np.float32)
    X[:, place] = content
    return Table(name=name, features=np.sort(place), X=X)
