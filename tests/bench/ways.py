"""Measured ways to compute products and networks, and what the repository predicts of each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from cost import linear_of, model

import scission
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.planted import ffn as planted_ffn
from scission.passes.lowering.linear.lowerings import lowering_of
from scission.passes.lowering.prices import Prices
from scission.passes.lowering.region.cost import region_seconds, region_split_seconds
from scission.passes.lowering.region.cut import RegionBlocks
from scission.passes.planning.analysis import analyse
from scission.passes.planning.regions import Grown, candidate, grow

H200 = Path(__file__).parent / "cards" / "h200-2026-11-27.json"
STACKED = "hand_transpose"  # what the tables call rows first and stacked
NAMES = {STACKED: "stacked", "gather": "permute"}  # of lowerings, which the tables call as they were called
LAYOUTS = {"rows": "features_last", "columns": "features_first"}  # and of layouts of regions
CALLED = {ours: theirs for theirs, ours in (NAMES | LAYOUTS).items()}  # the other way round
BY_HAND = frozenset({"hand_fused", "hand_einsum"})  # ways that no lowering writes
EMPTY = "empty"  # a call of a graph that copies its input


@dataclass(frozen=True)
class Case:
    """What was computed: size, count: of a weight (size, size) or of a network size-4·size-size, and of its blocks."""

    kind: str
    size: int
    count: int
    shuffle: bool
    dtype: str
    rows: int

    @property
    def model(self) -> tuple[str, int, int, bool, str]:
        """What cases with other numbers of rows share."""
        return self.kind, self.size, self.count, self.shuffle, self.dtype


@dataclass(frozen=True)
class Measured:
    """Seconds of one way to compute one case; way: a lowering, or 'layout/blocks per node' of a region."""

    case: Case
    way: str
    seconds: float


def read(path: Path = H200) -> list[Measured]:
    """What was measured on a card, ways that failed left out."""
    content = json.loads(path.read_text())
    found = []
    for row in content["cases"]:
        spent = row.pop("us")
        found += [Measured(Case(**row), way, us * 1e-6) for way, us in spent.items() if us is not None]
    return found


def by_case(measured: Iterable[Measured]) -> dict[Case, dict[str, float]]:
    """Seconds of every way by case."""
    cases: dict[Case, dict[str, float]] = defaultdict(dict)
    for one in measured:
        cases[one.case][one.way] = one.seconds
    return cases


def single(case: Case) -> tuple[onnx.ModelProto, scission.Decomposition]:
    """One product, and its blocks."""
    rng = np.random.default_rng(case.size + case.count)
    sizes = [(case.size // case.count, case.size // case.count)] * case.count
    W, truth = weight(rng, sizes, contiguous=not case.shuffle)
    made = model(W.astype(case.dtype))
    for end in (*made.graph.input, *made.graph.output):
        end.type.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(case.dtype))
    return made, truth


def network(case: Case, activation: planted_ffn.Activation) -> onnx.ModelProto:
    """A feed-forward network of two products."""
    rng = np.random.default_rng(case.size + case.count)
    width, hidden, dtype = case.size, 4 * case.size, np.dtype(case.dtype)
    return planted_ffn.build(rng, width, hidden, case.count, activation, shuffle=case.shuffle, dtype=dtype).model


class Predictor:
    """Predicted seconds of each measured way, for any prices."""

    def __init__(self, cases: Iterable[Case], activation: planted_ffn.Activation) -> None:
        self.regions: dict[object, Grown] = {}
        self.truths = {}
        for case in {case.model: case for case in cases}.values():
            if case.kind == "single":
                original, truth = single(case)
                self.truths[case.model] = linear_of(original), truth
            else:
                self.regions[case.model] = _grown(network(case, activation))

    def seconds(self, case: Case, way: str, prices: Prices) -> float:
        """Of one way."""
        if case.kind == "single":
            linear, truth = self.truths[case.model]
            return lowering_of(NAMES.get(way, way)).seconds(linear, truth, case.rows, prices)
        grown = self.regions[case.model]
        if way == "dense":
            return region_seconds(grown.region, case.rows, prices)
        layout, stack = ("stacked", case.count) if way == STACKED else way.split("/")
        blocks = RegionBlocks(
            decompositions=grown.decompositions,
            layout=LAYOUTS.get(layout, layout),
            blocks_per_node=int(stack),
            copies=grown.copies,
        )
        return region_split_seconds(grown.region, blocks, case.rows, prices)


def _grown(original: onnx.ModelProto) -> Grown:
    found = view(load(original).graph).found
    candidates = [
        candidate(linear, analyse(linear.canonical(found.constants)), found.constants) for linear in found.linears
    ]
    (grown,) = grow([one for one in candidates if one is not None], found.constants)
    return grown
