"""Regions for tests: those of a model, every way to compute one, and whether it stays the same function."""

import dataclasses
from collections import Counter

import numpy as np
import onnx
import oracles
from reference import model, node
from shared_axes import blocked, groups

import scission
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.plan.plan import PlanError
from scission.ir.plan.region_split import RegionSplit
from scission.passes.decompose.merging import alike_together
from scission.passes.decompose.region import group_region
from scission.passes.lowering.region.cut import RegionBlocks
from scission.passes.lowering.region.lowering import REGIONS
from scission.passes.lowering.target import Target
from scission.passes.planning.analysis import analyse_linear
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.regions import candidate, grow
from scission.passes.planning.settings import PlanSettings
from scission.runtime.ort.library import onnxruntime

MS = "com.microsoft"
RUNS = ((3, 5), (1, 1), (2, 4), (0, 3), (3, 0))  # extents of "N" and "S"
TARGET = Target()
TOLERANCE = {8: 1e-9, 4: 1e-3, 2: 5e-2}  # in units of the largest number, by size of a number


def looked_at(proto):
    return view(load(proto).graph)


def candidates(seen):
    constants = seen.found.constants
    known = ((one, analyse_linear(one, constants)) for one in seen.found.linears)
    found = [candidate(one, analysis, constants) for one, analysis in known]
    return [one for one in found if one is not None]


def grown(seen):
    """The regions of the main graph."""
    mine = [one for one in candidates(seen) if one.linear.node.graph is seen.model.graph]
    return grow(mine, seen.found.constants) if len(mine) > 1 else []


def session(proto):
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime().InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ways(region):
    """(decompositions, layout, blocks_per_node): all blocks and two of them, one by one, in pairs and all at once."""
    for count in sorted({2, len(region.decompositions[0].blocks)}):
        found = group_region(region.decompositions, count)
        blocks = len(found[0].blocks)
        for layout in ("features_last", "features_first") if blocks > 1 else ():
            for blocks_per_node in sorted({1, 2, blocks}):
                yield found, layout, blocks_per_node
        if blocks > 1:
            yield alike_together(found), "stacked", blocks


def problem(seen, region, found, layout="features_last", blocks_per_node=1):
    """Why a region cannot be computed in this way; the graph is as it was after asking."""
    before = uses(seen.model)
    blocks = RegionBlocks(decompositions=tuple(found), layout=layout, blocks_per_node=blocks_per_node)
    why = REGIONS.why_not(region.region, blocks, TARGET)
    assert uses(seen.model) == before
    return why.text if why else None


def uses(model):
    values = [
        *model.graph.inputs,
        *model.graph.initializers.values(),
        *(v for node in model.graph for v in node.outputs),
    ]
    return {value: len(value.uses()) for value in values}


def joined(plan, seen, regions, layout="features_last", blocks_per_node=1):
    """The plan with everything dense but these regions: [(region, decompositions)]."""
    sha = {one.linear.address: one.analysis.sha256 for one in candidates(seen)}
    blocks, splits = {}, []
    for region, found in regions:
        nodes = tuple(linear.address for linear in region.region.linears)
        blocks |= dict(zip(nodes, found, strict=True))
        splits.append(RegionSplit(nodes=nodes, layout=layout, blocks_per_node=blocks_per_node))
    steps = [
        dataclasses.replace(s, lowering="region", decomposition=blocks[s.node], sha256=sha[s.node])
        if s.node in blocks
        else dataclasses.replace(s, lowering="dense")
        for s in plan.steps
    ]
    return dataclasses.replace(plan, steps=tuple(steps), regions=tuple(splits))


def dense_plan(proto):
    unprepared = frozenset({"channels"})  # decompositions are about all features, those that do nothing as well
    return make_plan(load(proto), PlanSettings(regions=False, force=True, unprepared=unprepared))


def assert_laws(before, after, blocks=()):
    """Names once, interface as it was, the checker as content as before, and nothing left to split."""
    assert oracles.interface(after) == oracles.interface(before)
    assert max(oracles.node_names(after).values()) == 1
    known = oracles.value_names(before)
    assert all(count <= known.get(name, 1) for name, count in oracles.value_names(after).items())
    if is_valid(before):
        onnx.checker.check_model(after, full_check=True)  # also that it is topologically sorted
    again = make_plan(load(after), PlanSettings(force=True))
    assert not [step.node for step in again.rewrites if "/block" in step.node]
    assert not {step.node for step in again.rewrites} & set(blocks)


def is_valid(proto):
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def assert_same(before, after):
    """Two lists of outputs; a NaN or an infinity need not spread over blocks, so it need not be in both."""
    for a, b in zip(before, after, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = TOLERANCE.get(a.dtype.itemsize, 0) if a.dtype.kind == "f" else 0
        a, b = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        assert finite.any() or not finite.size or not np.isfinite(a).any()
        worst = np.abs(np.where(finite, a, 0) - np.where(finite, b, 0)).max(initial=0)
        assert worst <= tolerance * np.abs(a[np.isfinite(a)]).max(initial=1)


def check_every_way(proto, feeds):
    """Rewrite every region of a model in every way and compare; counts of (layout, stacked, reason or None).

    feeds: several sets of inputs; those that ONNX Runtime refuses for the model itself are left out.
    """
    dense = session(proto)
    runs = [(one, dense_run(dense, one)) for one in feeds]
    runs = [(one, outputs) for one, outputs in runs if outputs is not None]
    seen, counts = looked_at(proto), Counter()
    plan = None
    regions = grown(seen)
    for region in regions:
        plan = plan or dense_plan(proto)
        for found, layout, blocks_per_node in ways(region):
            why = problem(seen, region, found, layout, blocks_per_node)
            counts[layout, blocks_per_node > 1, why] += 1
            asked = joined(plan, seen, [(region, found)], layout, blocks_per_node)
            try:
                changed = scission.apply(proto, asked)
            except PlanError as error:
                assert why is not None and why in str(error)
                continue
            assert why is None
            assert_changed(proto, changed, runs, [linear.address for linear in region.region.linears])
    if len(regions) > 1:
        asked = joined(plan, seen, [(region, region.decompositions) for region in regions])
        try:
            changed = scission.apply(proto, asked)
        except PlanError:
            return counts
        assert_changed(proto, changed, runs)
    return counts


def assert_changed(proto, changed, runs, blocks=()):
    assert_laws(proto, changed, blocks)
    split = session(changed)
    for one, outputs in runs:
        assert_same(outputs, split.run(None, one))


def dense_run(session, feeds):
    try:
        return session.run(None, feeds)
    except Exception:  # ONNX Runtime's exceptions have no common root of their own
        return None


def ints(*numbers):
    return np.array(numbers, np.int64)


# Chains spelt out: two linears whose hidden units are in blocks, and what stands between them.


def chain(between, *, K=8, H=8, blocks=2, rank=3, opset=20, constants=None, inputs=None, outputs=(), seed=0, lead=None):
    """A model x -> up -> between (nodes from 'h' to 'g') -> down -> y in blocks of shuffled features."""
    rng = np.random.default_rng(seed)
    units = groups(rng, H, blocks, shuffled=False)
    weights = {
        "U": blocked(rng, groups(rng, K, blocks), units),
        "V": blocked(rng, units, groups(rng, K, blocks)),
        **(constants or {}),
    }
    lead = lead or ["N", "S"][: rank - 1]
    nodes = [node("MatMul", "x U", "h", "up"), *between, node("MatMul", "g V", "y", "down")]
    return model(
        nodes,
        {"x": ([*lead, K], np.float64), **(inputs or {})},
        {"y": (None, np.float64), **{name: (None, kind) for name, kind in outputs}},
        weights,
        opset=opset,
        domains=[MS],
    )


def feeds(proto, sizes, seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for value in proto.graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value if d.HasField("dim_value") else sizes[d.dim_param] for d in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        found[value.name] = rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.ones(shape, dtype)
    return found


def checked(proto, runs=RUNS):
    """Counts of (layout, stacked, reason) over all ways, all of them compared; at least one region was found."""
    counts = check_every_way(proto, [feeds(proto, {"N": N, "S": S}, i) for i, (N, S) in enumerate(runs)])
    assert counts
    return counts


def done(counts):
    """(layout, stacked) that could be carried out, and the reasons of the others."""
    return {key[:2] for key in counts if key[2] is None}, {key[2] for key in counts if key[2] is not None}


ROWS = {("features_last", False), ("features_last", True), ("stacked", True)}
ALL = ROWS | {("features_first", False), ("features_first", True)}
