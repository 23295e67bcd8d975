"""A linear operator trained with local updates on several real data sets: the setting of the paper's Theorem 2.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import onnx

from ..matrix import Array
from ..sketch import Sketch
from ..tables import NAMES, Table, load

__all__ = ["Experiment", "Init", "Loss", "Optimiser", "coupling", "fit", "noisy", "operator", "train"]

Loss = Literal["local", "shared"]
Optimiser = Literal["sgd", "adam", "adamw"]
Init = Literal["normal", "uniform"]

RATES: dict[Optimiser, float] = {"sgd": 0.1, "adam": 2e-3, "adamw": 2e-3}
NOISE = 0.5  # standard deviation of what denoising has to take away; that of a feature is 1
BATCH = 32


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Experiment:
    """Weights before and after training, canonical (n, n) with inputs in rows, and the classes behind them.

    classes: (n,) co-occurrence classes of the features (Definition 2.2), numbered by their smallest member; active:
    (n,) features that some training sample activates, the others are classes of their own; datasets: the clean rows.
    """

    initial: Array
    trained: Array
    classes: Array
    active: Array
    datasets: tuple[Table, ...]

    @property
    def inside(self) -> Array:
        """(n, n), true where both features are active and of one class: the diagonal blocks of (2.9)."""
        own: Array = (self.classes[:, None] == self.classes) & self.active[:, None] & self.active
        return own

    @property
    def filled(self) -> Array:
        """The trained weight with zeros outside the diagonal blocks: what block-fill keeps."""
        return np.where(self.inside, self.trained, np.float32(0))

    @property
    def model(self) -> onnx.ModelProto:
        """The trained operator as a graph."""
        return operator(self.trained)

    @property
    def initial_model(self) -> onnx.ModelProto:
        """The same graph before training."""
        return operator(self.initial)


def train(
    seed: int = 0,
    loss: Loss = "local",
    optimiser: Optimiser = "sgd",
    decay: float = 0.0,
    init: Init = "normal",
    steps: int = 4000,
    *,
    mixed: float = 0.0,
    names: Sequence[str] = NAMES,
) -> Experiment:
    """Train y = x W to restore noisy rows of several data sets, whose features are hidden among n shared ones.

    loss, optimiser, decay: as in `fit`; init: normal with standard deviation 1/√n or uniform within ±1/√n; mixed:
    share of the rows, 0 to 1, to which a row of another data set is added, so that both are active together; names:
    see `tables.load`. Every step draws 32 rows, each from a data set drawn first. The same seed draws the same
    features, initial weight and rows whatever the loss, optimiser and decay. Theorem 2.1 of the paper says that with
    the 'local' loss and no decay nothing outside the classes moves. Raises ValueError for an unknown name, or when
    rows cannot be mixed that way.

    >>> result = train(names=["wine", "iris"], steps=50)
    >>> sorted(np.bincount(result.classes).tolist())
    [4, 13]
    >>> bool((result.trained == result.initial)[~result.inside].all())
    True
    """
    if not 0 <= mixed <= (len(names) > 1):
        raise ValueError(f"the share of mixed rows is 0 to 1 of two or more data sets, not {mixed} of {len(names)}")
    rng = np.random.default_rng(seed)
    datasets = load(rng, names)
    W0 = _initial(rng, datasets[0].X.shape[1], init)
    sizes = np.array([len(table.X) for table in datasets])
    samples = _mix(rng, np.concatenate([table.X for table in datasets]), sizes, mixed)
    drawn = rng.integers(len(sizes), size=(steps, BATCH))
    order = (np.cumsum(sizes) - sizes)[drawn] + rng.integers(sizes[drawn])
    W = fit(rng, W0, samples, order, loss=loss, optimiser=optimiser, decay=decay)
    seen = samples[np.unique(order)] != 0
    return Experiment(initial=W0, trained=W, classes=coupling(seen), active=seen.any(axis=0), datasets=datasets)


def fit(
    rng: np.random.Generator,
    initial: Array,
    samples: Array,
    order: Array,
    *,
    loss: Loss = "local",
    optimiser: Optimiser = "sgd",
    decay: float = 0.0,
    rate: float | None = None,
) -> Array:
    """The weight (n, n) after training on clean samples (M, n), whose row indices `order` (steps, batch) gives.

    A sample activates S = {i : x_i ≠ 0} (2.5); the input is noise added to the active features, the target the clean
    row. Loss 'local' is the squared error over S, so an update reaches S × S alone (2.6); 'shared' is that over all
    outputs. optimiser: 'sgd', 'adam', 'adamw' with PyTorch's meaning of decay: an L2 term in the gradient for the
    first two, a shrinking apart from it for the last. An entry whose gradient is always zero keeps its bits unless
    there is decay. rate: the default depends on the optimiser. Raises ValueError for an unknown loss or optimiser.
    """
    if loss not in get_args(Loss) or optimiser not in RATES:
        raise ValueError(f"unknown loss {loss!r} or optimiser {optimiser!r}")
    rate = RATES[optimiser] if rate is None else rate
    step = _sgd(rate, decay) if optimiser == "sgd" else _adam(initial, rate, decay, coupled=optimiser == "adam")
    W = initial.copy()
    for rows in order:
        target = samples[rows]
        x = noisy(rng, target)
        error = x @ W - target
        if loss == "local":
            error *= target != 0
        W = step(W, x.T @ error / np.float32(len(rows)))
    return W


def noisy(rng: np.random.Generator, X: Array) -> Array:
    """Rows (M, n) with Gaussian noise on their active features; the others stay exactly 0.

    >>> (noisy(np.random.default_rng(0), np.float32([[0, 1, -2]])) != 0).tolist()
    [[False, True, True]]
    """
    noise = rng.standard_normal(X.shape, np.float32) * np.float32(NOISE)
    blurred: Array = X + noise * (X != 0)
    return blurred


def coupling(active: Array) -> Array:
    """Co-occurrence classes (n,) of features, from Booleans (M, n): which features each sample activates.

    The transitive closure of "active in one sample" (Definitions 2.1 and 2.2), numbered by smallest member; a feature
    that is never active is a class of its own.

    >>> coupling(np.array([[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0]], bool)).tolist()
    [0, 1, 0, 1, 2]
    """
    patterns = np.unique(active, axis=0) if len(active) else active
    classes = np.arange(active.shape[1])
    for pattern in patterns:
        joined = np.unique(classes[pattern])
        classes[np.isin(classes, joined)] = joined.min(initial=active.shape[1])
    return np.unique(classes, return_inverse=True)[1].astype(np.int64)


def operator(W: Array) -> onnx.ModelProto:
    """One MatMul "operator": x (rows, K) times the initializer "W" (K, N) to y (rows, N)."""
    sketch = Sketch(np.random.default_rng(0), dtype=W.dtype)
    x = sketch.input("x", ("rows", W.shape[0]))
    y = sketch.op("MatMul", x, sketch.constant(W, "W"), name="operator")
    sketch.output(y, shape=("rows", W.shape[1]), name="y")
    return sketch.model()


def _initial(rng: np.random.Generator, n: int, init: Init) -> Array:
    if init not in get_args(Init):
        raise ValueError(f"unknown initialisation {init!r}; use one of {', '.join(get_args(Init))}")
    draw = rng.standard_normal((n, n), np.float32) if init == "normal" else 2 * rng.random((n, n), np.float32) - 1
    scaled: Array = draw * np.float32(1 / np.sqrt(n))
    return scaled


def _mix(rng: np.random.Generator, samples: Array, sizes: Array, share: float) -> Array:
    """The samples, a share of them with a clean row of another data set added."""
    owner = np.repeat(np.arange(sizes.size), sizes)
    chosen = rng.choice(len(samples), round(share * len(samples)), replace=False)
    other = [rng.choice(np.flatnonzero(owner != owner[row])) for row in chosen]
    mixed = samples.copy()
    mixed[chosen] += samples[np.array(other, np.int64)]
    return mixed


def _sgd(rate: float, decay: float) -> Callable[[Array, Array], Array]:
    def step(W: Array, gradient: Array) -> Array:
        updated: Array = W - rate * (gradient + decay * W if decay else gradient)
        return updated

    return step


def _adam(initial: Array, rate: float, decay: float, *, coupled: bool) -> Callable[[Array, Array], Array]:
    """Adam with the usual constants (0.9, 0.999, 1e-8)."""
    mean, square = np.zeros_like(initial), np.zeros_like(initial)
    steps = 0

    def step(W: Array, gradient: Array) -> Array:
        nonlocal steps
        steps += 1
        if decay and coupled:
            gradient = gradient + decay * W
        elif decay:
            W = W * (1 - rate * decay)
        mean[:] = 0.9 * mean + 0.1 * gradient
        square[:] = 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**steps)) + 1e-8
        updated: Array = W - rate / (1 - 0.9**steps) * mean / root
        return updated

    return step
