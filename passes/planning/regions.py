"""Which linears are split together: regions grown from segment to segment, as long as blocks do not get larger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ...ir.axes.feature_ids import Features, feature_axis_in, trace
from ...ir.axes.region import Places, Region, Segment, region_of, segments, unfit
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition, Step, common_rows
from ...ir.plan.region_split import FeatureLayout, RegionSplit
from ...ir.reason import Cause, Reason
from ...ir.relation import Relation
from ..connectivity.edges import relate
from ..decompose.blocks import halves
from ..decompose.merging import alike_together, balanced_together, width
from ..decompose.region import assign, group_region, is_rectangular, region_blocks
from ..lowering.linear.protocol import why_not_dense
from ..lowering.linear.select import selection
from ..lowering.nodes.quantisation_groups import group_size
from ..lowering.prices import MARGIN
from ..lowering.protocol import worst_gain
from ..lowering.region.cut import RegionBlocks
from ..lowering.region.lowering import REGIONS
from ..lowering.seconds import dense_seconds
from ..lowering.target import MOST_JOINED, Target
from .analysis import Analysis
from .grain import suited_to

__all__ = ["Candidate", "Grown", "grow", "grown_from", "join_steps", "joined", "region_options"]

SLACK = 1.05  # blocks of several linears together may cost that many times the multiply-adds of each one's own


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A linear that may be split together with others.

    reads: (N, K) what each output reads, where blocks may share inputs: of a selection, and of a weight that has a
    cover but no components; these stand at the entrance of a region or not in it. copies: whether it is a selection.
    """

    linear: Linear
    analysis: Analysis
    reads: Relation | None
    copies: bool

    @property
    def macs(self) -> float:
        """Multiply-adds a row that it takes when it is split alone."""
        if self.copies:
            return 0
        K, N = self.linear.shape
        found = self.analysis.decomposition if self.reads is None else self.analysis.covers[0]
        return found.mac_share * K * N


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """A region whose linears have common blocks; copies: those that are selections."""

    region: Region
    decompositions: tuple[Decomposition, ...]
    copies: frozenset[Linear] = frozenset()


def candidate(linear: Linear, analysis: Analysis, constants: Constants) -> Candidate | None:
    """The linear as a candidate; None where it cannot take part in a region."""
    covered = bool(analysis.covers) and not (analysis.covers[0].split_k or analysis.covers[0].residual)
    whole = analysis.components.count < 2
    if (whole and not covered) or unfit(linear) or why_not_dense(linear, None) or group_size(linear):
        return None
    copies = False
    if analysis.components.nonzeros == linear.shape[1] and linear.alpha == 1 and linear.beta == 1:
        copies = selection(linear.canonical(constants)) is not None
    reads = relate(linear.canonical(constants)).transposed() if whole or copies else None
    return Candidate(linear, analysis, reads, copies)


def grow(candidates: Sequence[Candidate], constants: Constants) -> list[Grown]:
    """The regions of two linears and more among the candidates of one graph.

    Segments are taken from the smallest to the largest; all that touch one are joined where that leaves them the blocks
    that they have without, up to `SLACK` times the multiply-adds.
    """
    # To join parts costs as much as they are large together. Of equal segments each round takes those that touch no
    # part which was joined in it, so that parts double from round to round, and n linears in a row cost n log n:
    #
    #     a   b   c   d   e   f   g   h        round 1: ab  cd  ef  gh
    #     └─1─┘ 2 └─1─┘ 3 └─1─┘ 2 └─1─┘        round 2: abcd  efgh      round 3: all
    of = {one.linear: one for one in candidates}
    graph = candidates[0].linear.node.graph
    assert isinstance(graph, ir.Graph)
    places = Places.of(graph)
    features = trace(places.nodes, of, constants)
    growing = _Growing(
        of, constants, places, {linear: RegionPart(frozenset([linear]), of[linear].macs) for linear in of}, features
    )
    sized: dict[int, list[Segment]] = {}
    for segment in segments(features, of):
        sized.setdefault(len(segment.writers) + len(segment.readers), []).append(segment)
    for size in sorted(sized):
        pending = sized[size]
        while pending:
            pending = growing.round(pending)
    regions = [part for part in dict.fromkeys(growing.belongs.values()) if len(part.members) > 1]
    whole = (
        grown_from([of[linear] for linear in part.members], constants, places=places, features=part.features)
        for part in regions
    )
    return [grown for grown in whole if grown is not None]


@dataclass(frozen=True, slots=True, eq=False)
class RegionPart:
    """Linears that are joined, the multiply-adds a row that their blocks take together, and their features."""

    members: frozenset[Linear]
    macs: float
    features: Features | None = None


@dataclass(frozen=True, slots=True)
class _Growing:
    """The parts that the candidates of a graph are joined to so far; features: followed from all of these."""

    of: Mapping[Linear, Candidate]
    constants: Constants
    places: Places
    belongs: dict[Linear, RegionPart]
    features: Features

    def round(self, pending: Sequence[Segment]) -> list[Segment]:
        """Join what touches some segments; those whose parts were joined in this round already come back."""
        fresh: set[RegionPart] = set()
        left = []
        for segment in pending:
            inside = [one for one in segment.readers if self.of[one].reads is None]  # others can only be entrances
            parts = dict.fromkeys(self.belongs[linear] for linear in (*segment.writers, *inside))
            if len(parts) < 2:
                continue
            if not fresh.isdisjoint(parts):
                left.append(segment)
            elif (joined := self._joined(list(parts))) is not None:
                fresh.add(joined)
                self.belongs.update(dict.fromkeys(joined.members, joined))
        return left

    def _joined(self, parts: Sequence[RegionPart]) -> RegionPart | None:
        """Some parts together; None where they have no common blocks, or much larger ones."""
        members = frozenset().union(*(part.members for part in parts))
        own = [self.of[linear] for linear in members]
        features = self.features if len(members) == len(self.of) else None
        found = grown_from(own, self.constants, tail=False, places=self.places, features=features)
        if found is None:
            return None
        macs = sum(
            d.mac_share * d.shape[0] * d.shape[1]
            for linear, d in zip(found.region.linears, found.decompositions, strict=True)
            if not self.of[linear].copies
        )
        fits = macs <= SLACK * sum(part.macs for part in parts)
        return RegionPart(members, macs, found.region.features) if fits else None


def grown_from(
    candidates: Sequence[Candidate],
    constants: Constants,
    *,
    tail: bool = True,
    places: Places | None = None,
    features: Features | None = None,
) -> Grown | None:
    """The region of some candidates, None where they have no common blocks; tail, places, features: see `region_of`."""
    linears = [one.linear for one in candidates]
    region = region_of(linears, constants, tail=tail, places=places, features=features)
    parts = {one.linear: one.analysis.components for one in candidates if one.reads is None}
    reads = {one.linear: one.reads for one in candidates if one.reads is not None}
    if not parts or any(region.is_internal(linear) for linear in reads):
        return None
    found = region_blocks(region, parts, reads)
    if found is None:
        return None
    block_of = assign(region, found)
    if block_of is None or not is_rectangular(region, block_of, len(found[0].blocks)):
        return None
    return Grown(region, found, frozenset(one.linear for one in candidates if one.copies))


@dataclass(frozen=True, slots=True, eq=False)
class RegionOption:
    """One way to compute a region, and what it is predicted to gain over dense, at its worst."""

    blocks: RegionBlocks
    gain: float


def region_options(grown: Grown, rows: Sequence[int], target: Target, grain: Grain | None = None) -> list[RegionOption]:
    """Every way to compute a region, best first: layouts, numbers of blocks from all of them down to two, and stacks;
    whether it can be written so is not asked yet. grain: how coarse blocks are to be."""
    flat = all(feature_axis_in(linear) == 1 for linear in grown.region.linears)
    layouts: tuple[FeatureLayout, ...] = ("features_last", "features_first") if flat else ("features_last",)
    found = []
    for grouped in _grouped(grown, grain or Grain()):
        count = len(grouped[0].blocks)
        stacks = [1] if not _equal(grouped) else sorted({1, *(s for s in (4, 16) if s < count), count})
        ways: list[tuple[FeatureLayout, int, tuple[Decomposition, ...]]]
        ways = [(layout, blocks_per_node, grouped) for layout, blocks_per_node in product(layouts, stacks)]
        if target.provider == "cuda":  # where a Gather on the last axis is as fast as one of rows
            ways.append(("stacked", count, alike_together(grouped)))
        for layout, blocks_per_node, own in ways:
            blocks = RegionBlocks(
                decompositions=own, layout=layout, blocks_per_node=blocks_per_node, copies=grown.copies
            )
            if target.provider == "cuda" and len(blocks.groups) > MOST_JOINED:
                continue
            found.append(RegionOption(blocks, worst_gain(REGIONS, grown.region, blocks, rows, target)))
    return sorted(found, key=lambda option: -option.gain)


def _grouped(grown: Grown, grain: Grain) -> Iterator[tuple[Decomposition, ...]]:
    """The blocks of a region merged as a grain allows, none into one."""
    blocks = len(grown.decompositions[0].blocks)
    if grain.parts is not None:
        made = [balanced_together(grown.decompositions, grain.parts)]
    else:
        made = [group_region(grown.decompositions, count) for count in ([blocks] if grain.every else halves(blocks))]
    for grouped in made:
        count = len(grouped[0].blocks)
        narrow = grain.granularity is None or count == blocks or max(map(width, grouped)) <= grain.granularity
        if count > 1 and narrow:
            yield grouped


def _keeps(grown: Grown, own: Sequence[Candidate], grain: Grain) -> bool:
    """Whether the blocks of a region are as fine as its linears can have them alone, where a grain is asked for."""
    if not grain:
        return True
    analyses = {one.linear: one.analysis for one in own if not one.copies}
    for linear, found in zip(grown.region.linears, grown.decompositions, strict=True):
        if linear not in analyses:
            continue
        alone = suited_to(analyses[linear], grain)
        if grain.every and analyses[linear].components.count > len(found.blocks):
            return False
        if grain.granularity is not None and width(found) > max(grain.granularity, min(map(width, alone))):
            return False
        most = max(len(one.blocks) for one in alone)
        if grain.parts is not None and len(found.blocks) < min(grain.parts, most):
            return False
    return True


def _equal(decompositions: Sequence[Decomposition]) -> bool:
    return all(len({block.outputs.size for block in d.blocks}) == 1 for d in decompositions)


def join_steps(
    steps: Sequence[Step],
    candidates: Sequence[Candidate],
    constants: Constants,
    target: Target,
    *,
    force: bool = False,
    grain: Grain | None = None,
) -> tuple[list[Step], list[RegionSplit]]:
    """The steps of a model where linears are split together that gain more so than each alone, and the regions that
    these make.

    force: also where that gains less; grain: how coarse blocks are to be, which none is to miss for being in a region.
    """
    grain = grain or Grain()
    place = {step.node: index for index, step in enumerate(steps)}
    changed = list(steps)
    regions: list[RegionSplit] = []
    graphs: dict[ir.Graph, list[Candidate]] = {}
    for one in candidates:
        if isinstance(one.linear.node.graph, ir.Graph):
            graphs.setdefault(one.linear.node.graph, []).append(one)
    for own in graphs.values():
        sha = {one.linear: one.analysis.sha256 for one in own}
        for grown in grow(own, constants) if len(own) > 1 else ():
            if not _keeps(grown, own, grain):
                continue
            linears = grown.region.linears
            alone = [steps[place[linear.address]] for linear in linears]
            rows = common_rows(alone)
            options = region_options(grown, rows, target, grain)
            option = next((one for one in options if REGIONS.why_not(grown.region, one.blocks, target) is None), None)
            if option is None or (option.gain < _gain_alone(linears, alone, rows, target) and not force):
                continue
            if option.gain < MARGIN and not force:
                continue
            together, made = joined(option, alone, [sha[linear] for linear in linears])
            regions.append(made)
            for step in together:
                changed[place[step.node]] = step
    return changed, regions


def joined(option: RegionOption, steps: Sequence[Step], hashes: Sequence[str | None]) -> tuple[list[Step], RegionSplit]:
    """The steps of a region, in the order of its linears, and how they are split together; hashes: of their weights."""
    gain = round(option.gain, 3)
    reason = Reason(
        Cause.REGION, f"{len(option.blocks.decompositions[0].blocks)} blocks of {len(steps)} operators together"
    )
    nodes = tuple(step.node for step in steps)
    layout, stack = option.blocks.layout, option.blocks.blocks_per_node
    made = RegionSplit(nodes=nodes, layout=layout, blocks_per_node=stack, gain=gain, reason=reason.text)
    together = [
        replace(step, lowering="region", decomposition=found, gain=gain, reason=reason, sha256=sha256)
        for step, found, sha256 in zip(steps, option.blocks.decompositions, hashes, strict=True)
    ]
    return together, made


def _gain_alone(linears: Sequence[Linear], steps: Sequence[Step], rows: Sequence[int], target: Target) -> float:
    """What the steps of some linears gain together when each is carried out alone."""
    worst = np.inf
    for count in rows:
        for prices in target.prices:
            dense = [dense_seconds(linear.shape, count, int(linear.dtype.itemsize), prices) for linear in linears]
            gains = [step.gain if step.lowering != "dense" and step.gain else 1.0 for step in steps]
            worst = min(worst, sum(dense) / sum(d / g for d, g in zip(dense, gains, strict=True)))
    return float(worst)
