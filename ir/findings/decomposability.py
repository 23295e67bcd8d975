"""Why a model does not decompose: how far each of its weights is from falling apart, and what could have been seen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

from ..evidence.null import Null
from ..graph.skipped import Skipped
from ..plain import plain, plain_dict

__all__ = ["STEPS", "MatrixReport", "ModelReport", "Sensitivity", "Step", "Worth"]

Step = Literal["split", "anneal", "untrained", "dormant", "sigma", "channels", "heads", "rank", "checkpoint", "train"]

STEPS: Mapping[Step, str] = MappingProxyType(  # up to the colon what to try, after it why
    {
        "split": "run scission optimize: without any annealing there are blocks",
        "anneal": "anneal edge by edge, and measure: the entries confirmed at this level have no giant",
        "untrained": "check whether it was ever trained: it looks like its initialisation",
        "dormant": "drop the dormant features, and measure: the product shrinks although it has no blocks",
        "sigma": "give the initial checkpoint or its sigma: what is known of the initialisation does not suffice",
        "channels": "cut the hidden units into parallel shards: all take the same input and their results add up; "
        "exact, though not fewer multiply-adds",
        "heads": "lower the rank of queries and keys: head by head, which needs no blocks",
        "rank": "factorise into two of lower rank: it needs no blocks",
        "checkpoint": "give the initial checkpoint: whatever learning never updated is then known for certain",
        "train": "train for blocks: with a group lasso on what lies between them",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What a test at `factor` times sigma confirms: share of the entries, and the graph of these.

    giant: share of all features in its largest component; distance: its density times sqrt(K N).
    """

    factor: float
    confirmed: float
    components: int
    giant: float
    dormant: int
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixReport:
    """One weight (K, N): its graph, what it takes to break it, and what the tests could see in it."""

    node: str
    shape: tuple[int, int]
    density: float  # of its entries that are not zero
    components: int  # of these
    giant: float  # share of the features in the largest
    dormant: int  # features without any
    distance: float  # density times sqrt(K N): at 1 a random weight falls apart
    half: float  # |w| above which no component holds half of the features
    half_kept: float  # share of the non-zero entries that are larger than that
    half_giant: float  # `giant` of those
    half_components: int  # `components` of those
    mass: float | None  # share of the squared weight in the best two equal blocks; None where that has no meaning
    mass_shuffled: float | None  # the same for its entries in random places
    null: Null | None  # that of an untouched weight; None where nothing is known
    # deviation in sigma that learning must add inside two equal blocks for the edge test to find them; or inf
    smallest_edge: float | None
    smallest_block: float  # the same for co-clustering
    sensitivity: tuple[Sensitivity, ...]  # at 0.9, 1.0 and 1.1 sigma, by increasing factor
    power: tuple[tuple[str, str], ...]  # what each test could see, by its name
    reason: str  # why it does not fall apart
    step: Step  # what to try next, a key of STEPS
    suggestion: str  # that with its figures

    @property
    def whole(self) -> bool:
        """Whether one component holds at least half of the features."""
        return self.giant >= 0.5

    @property
    def confirmed(self) -> Sensitivity | None:
        """What is confirmed at the null as it is."""
        return next((one for one in self.sensitivity if one.factor == 1), None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is infinite or not known is None."""
        found = asdict(self) | {"shape": list(self.shape), "power": dict(self.power)}
        found["null"] = self.null and {**self.null.to_dict(), "sigma": self.null.sigma}
        found["sensitivity"] = [asdict(one) for one in self.sensitivity]
        return plain_dict(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the outputs are worth without the giants: the metric there, and of the original where it is known."""

    metric: str
    value: float
    original: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """Why a model does not decompose, weight by weight, and in one sentence.

    What holds the weights together is read from their non-zero entries, without any annealing. test: by which the
    caller tried to decompose the model in vain, '' for none; level: of the edge test, shared out by Bonferroni among
    the entries of a weight; worth: None until it is measured, then a copy has it; seconds:
    the examination took.
    """

    model: str
    matrices: tuple[MatrixReport, ...]
    level: float
    test: str = ""
    worth: Worth | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def steps(self) -> tuple[tuple[Step, int], ...]:
        """What to try next and for how many weights, by the parameters it concerns."""
        sizes: Counter[Step] = Counter()
        for one in self.matrices:
            sizes[one.step] += math.prod(one.shape)
        counts = Counter(one.step for one in self.matrices)
        return tuple((step, counts[step]) for step, _ in sizes.most_common())

    @property
    def sentence(self) -> str:
        """How far the model is from falling apart, what that would cost, and what to try next; about sixty words."""
        if not self.matrices:
            why = f": {self.skipped[0].reason}" if self.skipped else ""
            return f"{self.model} has no weight that can be examined{why}."
        whole = [one for one in self.matrices if one.whole]
        parts = [self._standing(whole)]
        if whole:
            parts.append(self._price(whole))
        both = [(one.mass, one.mass_shuffled) for one in whole if one.mass is not None and one.mass_shuffled]
        if both:
            mass, shuffled = (sum(values) / len(both) for values in zip(*both, strict=True))
            parts.append(f"best two blocks: {mass:.0%} of the squared weights (shuffled: {shuffled:.0%})")
        step, count = self.steps[0]
        where = "" if count == len(self.matrices) else f" ({count} of {len(self.matrices)})"
        return f"{'; '.join(parts)}; next: {STEPS[step].partition(':')[0]}{where}."

    def _standing(self, whole: list[MatrixReport]) -> str:
        """How many weights hang together as they are, and how firmly."""
        total = f"of {len(self.matrices)} weight{'s' * (len(self.matrices) > 1)}"
        if not whole:
            none = f"in none {total} does a component hold half of the features"
            return f"{self.model} decomposes without annealing: {none}"
        verdict = "does not decompose" if self.test or len(whole) == len(self.matrices) else "decomposes only in part"
        under = f"under the test {self.test}: as trained," if self.test else "without annealing:"
        single = all(one.components == 1 for one in whole)
        parts = "are one component" if single else "have a component with at least half of the features"
        parts = parts.replace("are", "is", 1).replace("have", "has", 1) if len(whole) == 1 else parts
        dormant = sum(one.dormant for one in self.matrices)
        giant = _span((one.giant for one in whole), _percent)
        apart = _span((one.distance for one in whole), lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.1f}")
        return (
            f"{self.model} {verdict} {under} {len(whole)} {total} {parts} (giant {giant}, {dormant:,} dormant), "
            f"{apart} times the density where random weights fall apart"
        )

    def _price(self, whole: list[MatrixReport]) -> str:
        """What has to go for the giants to go, and what the outputs are worth then."""
        gone = _span((1 - one.half_kept for one in whole), _gone)
        text = f"breaking the giant{'s' * (len(whole) > 1)} takes {gone} of entries"
        if self.worth is None:
            return text
        name = self.worth.metric
        name = name.replace(":", ".").rpartition(".")[2] if name.startswith("python:") else name
        original = "" if self.worth.original is None else f", original {self.worth.original:.3g}"
        return f"{text} ({name} {self.worth.value:.3g}{original})"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the sentence and the steps."""
        return {
            "model": self.model,
            "sentence": self.sentence,
            "steps": [{"step": step, "weights": count, "text": STEPS[step]} for step, count in self.steps],
            "test": self.test,
            "level": self.level,
            "worth": None if self.worth is None else plain(asdict(self.worth)),
            "matrices": [one.to_dict() for one in self.matrices],
            "skipped": [one.to_dict() for one in self.skipped],
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def _span(values: Iterable[float], shown: Callable[[float], str]) -> str:
    """One value, or from the smallest to the largest."""
    found = sorted(values)
    low, high = shown(found[0]), shown(found[-1])
    return low if low == high else f"{low.removesuffix('%')}-{high}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace(".0%", "%")


def _gone(share: float) -> str:
    """What has to go, not rounded up to all."""
    return _percent(share if share == 1 else min(share, 0.999))
