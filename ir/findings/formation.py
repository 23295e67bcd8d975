"""How the structure of weights forms in training: what a monitor saw of each at some steps, a line a look."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..brief import brief, brief_line
from ..errors import ScissionError
from ..plain import plain_dict
from ..record import REQUIRED, Record
from .structure import Labels

__all__ = ["KEPT", "BlockSigns", "EdgeStructure", "Formation", "Look", "RunError", "WeightLook", "from_runs", "to_runs"]

VERSION = 1  # of a line
RUN = re.compile(r"(-1|\d{1,9})(?:x(\d{1,9}))?", re.ASCII)
WIDEST = 1 << 26  # features on one side of a weight
KEPT = 1 << 14  # features of a weight up to which their components are kept
MOST = 1 << 53  # that a number of a look is, so that all are exact where they are drawn


class RunError(ScissionError):
    """A log of a training run that is none, or does not belong to the run that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSigns:
    """What the test of whole blocks said of a weight, or of its change. step: at which it looked; blocks: how many it
    found; existence: the p-value that one of them is none; accepted: whether the certificate believes in all of them;
    reason: what it says."""

    step: int
    blocks: int
    existence: float
    accepted: bool
    reason: str

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStructure:
    """The structure of one relation of a weight (K, N).

    edges: entries that are one; components: of inputs and outputs, those without an edge left out; giant: share of the
    K + N features in the largest; dormant: features without an edge; sccs, layers: of a square weight over one set of
    states, None for others; signs: of blocks, None where nobody looked for them yet.
    """

    edges: int
    components: int
    giant: float
    dormant: int
    sccs: int | None = None
    layers: int | None = None
    signs: BlockSigns | None = None

    __repr__ = brief_line


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightLook:
    """One weight at one step.

    shape: (K, N), inputs first; weight: the structure of what is not zero; change: of what differs from the initial
    weight, None where that is not known; inputs, outputs: the component of every feature in `subject`, as `to_runs`
    writes them, None where they are as at the look before or were not kept.
    """

    name: str
    shape: tuple[int, int]
    weight: EdgeStructure
    change: EdgeStructure | None = None
    inputs: str | None = None
    outputs: str | None = None

    __repr__ = brief_line

    @property
    def subject(self) -> EdgeStructure:
        """What learning did where that is known, else what the weight is."""
        return self.weight if self.change is None else self.change


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All weights at one step. seconds: since the run began; took: seconds that the look itself took."""

    step: int
    seconds: float
    took: float
    weights: tuple[WeightLook, ...]

    __repr__ = brief_line

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return plain_dict({"version": VERSION, **asdict(self)})

    def to_line(self) -> str:
        """One line of JSON, without the end of it."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=True)

    @staticmethod
    def from_line(line: str, where: str) -> Look:
        """Inverse of `to_line`; raises RunError, beginning with `where`, for anything else.

        >>> look = Look(step=3, seconds=1.5, took=0.25, weights=())
        >>> Look.from_line(look.to_line(), "run.jsonl:1") == look
        True
        """
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            raise RunError(f"{where}: is no JSON; give the log that a StructureMonitor wrote") from None
        record = Record.of(data, where, RunError)
        if (version := record.any("version")) != VERSION:
            raise record.wrong(f"is version {version!r}, this scission reads version {VERSION}")
        look = Look(
            step=_count(record, "step"),
            seconds=_real(record, "seconds"),
            took=_real(record, "took"),
            weights=tuple(
                _weight(one, f"{where}: weights[{index}]") for index, one in enumerate(record.items("weights"))
            ),
        )
        record.done()
        if len({one.name for one in look.weights}) < len(look.weights):
            raise record.wrong("two weights have one name")
        return look


@dataclass(frozen=True, slots=True)
class Formation:
    """All looks of a run, in order."""

    looks: tuple[Look, ...]

    __repr__ = brief

    @staticmethod
    def from_lines(lines: Iterable[str], name: str) -> Formation:
        """The looks of a log; raises RunError for a line that is none, naming it, where steps run backwards, and where
        a weight has another shape than before."""
        looks = tuple(Look.from_line(line, f"{name}:{number}") for number, line in enumerate(lines, 1))
        for number, (one, after) in enumerate(itertools.pairwise(looks), 2):
            if after.step <= one.step:
                raise RunError(f"{name}:{number}: step {after.step} follows {one.step}; give the log of one run")
        shapes: dict[str, tuple[int, int]] = {}
        for number, look in enumerate(looks, 1):
            for seen in look.weights:
                if shapes.setdefault(seen.name, seen.shape) != seen.shape:
                    raise RunError(
                        f"{name}:{number}: {seen.name} has another shape than before; give the log of one run"
                    )
        return Formation(looks)

    @property
    def names(self) -> tuple[str, ...]:
        """The weights that were looked at, in the order in which they came."""
        return tuple(dict.fromkeys(one.name for look in self.looks for one in look.weights))

    def of(self, name: str) -> tuple[tuple[Look, WeightLook], ...]:
        """The looks at one weight."""
        return tuple((look, one) for look in self.looks for one in look.weights if one.name == name)

    def labels(self, name: str, at: Sequence[int] | None = None) -> tuple[tuple[Labels, Labels] | None, ...]:
        """The components of inputs and outputs at each look at a weight, None as long as they are not known; at: of
        these looks at it alone, in order."""
        told = list(itertools.accumulate((one for _, one in self.of(name)), _news))
        asked = told if at is None else [told[index] for index in at]
        read = {id(one): _labels(one) for one in {id(one): one for one in asked}.values()}  # each once
        return tuple(read[id(one)] for one in asked)


def to_runs(labels: Labels) -> str:
    """Labels as runs of equal ones, -1 for dormant features.

    >>> to_runs(np.array([0, 0, 0, 2, -1, -1]))
    '0x3,2,-1x2'
    """
    if not labels.size:
        return ""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    lengths = np.diff(starts, append=labels.size)
    pairs = zip(labels[starts].tolist(), lengths.tolist(), strict=True)
    return ",".join(f"{label}x{length}" if length > 1 else str(label) for label, length in pairs)


def from_runs(text: str, size: int) -> Labels:
    """Inverse of `to_runs`, for `size` labels; raises RunError for anything else, before an array is made of it.

    >>> from_runs("0x3,2,-1x2", 6).tolist()
    [0, 0, 0, 2, -1, -1]
    """
    labels, lengths = _runs(text, size)
    return np.repeat(np.array(labels, np.int64), lengths)


def _runs(text: str, size: int) -> tuple[list[int], list[int]]:
    """The labels of runs, and how long each is."""
    labels, lengths = [], []
    for run in filter(None, text.split(",")):
        if not (match := RUN.fullmatch(run)):
            raise RunError(f"{run[:20]!r} is no run of labels such as '0x3'")
        labels.append(int(match[1]))
        lengths.append(int(match[2] or 1))
    if sum(lengths) != size or size > WIDEST or max(labels, default=-1) >= WIDEST:
        raise RunError(f"{sum(lengths)} labels for {size} features")
    return labels, lengths


def _news(before: WeightLook, one: WeightLook) -> WeightLook:
    """The look that says which components there are."""
    return before if one.inputs is None or one.outputs is None else one


def _labels(one: WeightLook) -> tuple[Labels, Labels] | None:
    if one.inputs is None or one.outputs is None:
        return None
    return from_runs(one.inputs, one.shape[0]), from_runs(one.outputs, one.shape[1])


def _weight(data: Any, where: str) -> WeightLook:
    record = Record.of(data, where, RunError)
    shape = record.items("shape")
    if len(shape) != 2 or not all(type(side) is int and 0 < side <= WIDEST for side in shape):
        raise record.wrong("'shape' is no pair of sizes")
    change = record.any("change", default=None)
    found = WeightLook(
        name=record.text("name"),
        shape=(shape[0], shape[1]),
        weight=_edges(record.any("weight"), f"{where}: weight"),
        change=None if change is None else _edges(change, f"{where}: change"),
        inputs=record.text("inputs", default=None),
        outputs=record.text("outputs", default=None),
    )
    record.done()
    for text, size in ((found.inputs, shape[0]), (found.outputs, shape[1])):
        if text is not None:
            if sum(shape) > KEPT:
                raise record.wrong(f"components are kept of {KEPT} features at most, and these are {sum(shape)}")
            _runs(text, size)
    return found


def _count(record: Record, name: str, default: Any = REQUIRED) -> Any:
    found = record.whole(name, default)
    if found is not None and found > MOST:
        raise record.wrong(f"{name!r} is larger than {MOST}")
    return found


def _real(record: Record, name: str) -> float:
    found = float(record.number(name))
    if not math.isfinite(found):
        raise record.wrong(f"{name!r} is infinite")
    return found


def _edges(data: Mapping[str, Any], where: str) -> EdgeStructure:
    record = Record.of(data, where, RunError)
    signs = record.any("signs", default=None)
    found = EdgeStructure(
        **{name: _count(record, name) for name in ("edges", "components", "dormant")},
        giant=_real(record, "giant"),
        **{name: _count(record, name, None) for name in ("sccs", "layers")},
        signs=None if signs is None else _signs(signs, f"{where}: signs"),
    )
    record.done()
    return found


def _signs(data: Mapping[str, Any], where: str) -> BlockSigns:
    record = Record.of(data, where, RunError)
    found = BlockSigns(
        step=_count(record, "step"),
        blocks=_count(record, "blocks"),
        existence=_real(record, "existence"),
        accepted=record.flag("accepted"),
        reason=record.text("reason"),
    )
    record.done()
    return found
