"""The only graph mutation: a plan written into a copy of the model."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rules import Operand
from ...ir.axes.region import Region, region_of
from ...ir.axes.shared_axis import Stream, find_streams
from ...ir.errors import Remedy
from ...ir.graph.constant_permutation import operand_orders
from ...ir.graph.constants import Constants
from ...ir.graph.functions import FunctionId
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.shapes import correct_shapes
from ...ir.graph.survey import Survey
from ...ir.graph.view import view
from ...ir.io.load import read
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.annealing import Annealing
from ...ir.plan.axis_order import Reordering
from ...ir.plan.decomposition import Indices
from ...ir.plan.plan import Decomposition, LoweringName, Plan, PlanError, Step
from ...ir.plan.region_split import Joint
from ...ir.plural import counted
from ..anneal.obstacle import obstacle
from ..connectivity.edges import edges
from ..decompose.fingerprint import fingerprint
from ..decompose.recurrent import coupling_hash, joint_edges, units_of
from ..lowering.linear.batched import tile_of
from ..lowering.linear.lowering import apart, lower, misfit, problem
from ..lowering.linear.per_block import folds_bias
from ..lowering.linear.select import selection
from ..lowering.nodes.emitter import ORIGIN, ROLE, Emitter, Names
from ..lowering.nodes.sharing import Sharing
from ..lowering.recurrent.cells import parallel
from ..lowering.region.emit import branches
from ..lowering.region.node import Unsuited

__all__ = ["anneal", "reorder", "rewrite"]

INITIALIZERS_ARE_INPUTS = 4  # before this IR version every initializer had to be a graph input
REORDERED = "reordered"


@phase("rewrite")
def rewrite(model: ir.Model, plan: Plan) -> ir.Model:
    """A copy of the model in which every step of the plan that is not `dense` is carried out.

    Interfaces, other nodes and their names stay as they are; weights that nobody reads any more go. Where the plan
    anneals, its weights are removed first (see `anneal`), where it reorders, that is done next (see `reorder`). Raises
    PlanError when a node is missing or its weight is not the one that the plan was made for.
    """
    if plan.annealing:
        model = anneal(model, plan.annealing, effect=plan.effect)
    if missing := set(plan.inline) - model.functions.keys():
        raise PlanError(
            f"the model has no local function {'::'.join(min(missing)[:2])}; make a new plan for this model"
        )
    inline = plan.inline
    if plan.reorderings:
        model, inline = reorder(model, plan.reorderings, inline), ()
    seen = view(model, inline)
    copy, found = seen.model, seen.found
    linears = {linear.address: linear for linear in found.linears}
    names, sharing = Names(copy), Sharing()
    now: dict[ir.Value | None, ir.Value] = {}  # what earlier steps have put in the place of a value
    # First: regions are followed through the graph as it is.
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()} if plan.joints else {}
    for one in plan.joints:
        now.update(_replace_joint(copy, one, plan, linears, found, names, sharing, now, addresses))
    steps = [step for step in plan.rewrites if step.lowering not in ("parallel", "joint")]
    for step in steps:
        linear = _checked(step, linears, found, plan.provider)
        del linears[step.node]
        activation, addend = now.get(linear.activation, linear.activation), now.get(linear.addend, linear.addend)
        standing = replace(linear, activation=activation, addend=addend)
        old, new = _replace(copy, standing, found, step, names, sharing, plan.provider)
        now[old] = new
    # Last: the operands of a node that still stands are those of now.
    recurrent: dict[str, Step] = {}
    for step in (step for step in plan.rewrites if step.lowering == "parallel"):
        if step.node in recurrent:
            raise PlanError(f"{step.node}: the plan splits this recurrent operator twice; remove one of the steps")
        recurrent[step.node] = step
    for ways in _recurrents(found, recurrent).values():
        _replace_recurrent(copy, ways, found, recurrent, names, sharing)
    if plan.rewrites:
        correct_shapes(copy)
        copy.metadata_props["scission"] = f"{counted(len(plan.rewrites), 'operator')} split"
    return copy


def anneal(
    model: ir.Model,
    annealing: Sequence[Annealing],
    refitted: Mapping[str, npt.NDArray[Any]] | None = None,
    *,
    effect: str = "",
) -> ir.Model:
    """A copy of the model without the weights that an annealing removes; the only lossy step, and none is made twice.

    refitted: canonical weights (K, N) by address, of those whose kept entries were fitted again; effect: what all of it
    was measured to do, for the metadata. Strays become a thin product beside that of the blocks, added to it. Raises
    PlanError when a node is missing, its weight is another, or was refitted and is not given; AnnealingError when a
    mask is damaged.
    """
    seen = view(model)
    copy, found = seen.model, seen.found
    linears = {linear.address: linear for linear in found.linears}
    names = Names(copy)
    if any(one.strays for one in annealing):
        _name(found.linears, names)
    made: dict[Any, ir.Value] = {}  # equal weights stay one
    now: dict[ir.Value, ir.Value] = {}
    removed = 0  # counted, since a plan may have been edited by hand
    for one in annealing:
        linear = linears.pop(one.node, None)
        if linear is None:
            raise PlanError(f"{one.node}: the model has no such linear to anneal, or the plan does it twice")
        stored = found.constants.read(linear.weight)
        if linear.shape != one.shape or fingerprint(linear.stored(found.constants)) != one.sha256:
            raise PlanError(f"{one.node}: the weight is not the one that annealing was decided for; make a new plan")
        if one.refitted and (refitted is None or one.node not in refitted):
            raise PlanError(
                f"{one.node}: its weights were fitted again on data, which no plan holds; run ",
                Remedy("`scission.optimize`", "`scission optimize`"),
                " again",
            )
        if reason := obstacle(linear, strays=bool(one.strays)):
            raise PlanError(f"{one.node}: {reason}")
        activation = now.get(linear.activation, linear.activation)
        linear = replace(linear, activation=activation)
        emitter = Emitter(linear, names)
        key = None if one.refitted else (linear.weight, linear.transposed, one.mask, one.blocks, one.strays)
        weight = made.get(key) if key is not None and not linear.in_function else None
        if weight is None:
            canonical = refitted[one.node] if refitted and one.refitted else linear.canonical(found.constants)
            inside = one.kept()
            if any(inside[stray] for stray in one.strays):
                raise PlanError(f"{one.node}: a stray lies inside the blocks and would count twice; make a new plan")
            if canonical.shape != one.shape:
                raise PlanError(f"{one.node}: the refitted weight has shape {canonical.shape}, not {one.shape}")
            kept = np.where(inside, canonical, 0).astype(stored.dtype)
            weight = emitter.constant((kept.T if linear.transposed else kept).reshape(stored.shape), "annealed")
            made[key] = weight
        removed += _removed(linear.canonical(found.constants), one)
        old, new = _put_weight(copy, linear, one, found, weight, emitter)
        if new is not old:
            now[old] = new
    if annealing:
        correct_shapes(copy)
        copy.metadata_props["scission.annealing"] = _annealing_note(annealing, removed, effect)
    return copy


def reorder(model: ir.Model, reorderings: Sequence[Reordering], functions: Collection[FunctionId] = ()) -> ir.Model:
    """A copy of the model in which the features of some streams of the main graph have another order.

    The constants along them are permuted, each when it is read, so that no two are in memory at once; constants that
    are read elsewhere as well get a copy. Values that hold their features in another order have another name; nodes
    keep theirs, and so does the interface. functions: local ones to put in the place of their calls first. The result
    is exact but for the order of sums over a stream. Raises PlanError when a value is not there, is on no stream or on
    one that is pinned, twice, or has another number of features.
    """
    seen = view(model, functions)
    copy, found = seen.model, seen.found
    names = Names(copy)
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()}
    streams = find_streams(found, copy)
    if any(place.value.producer() is not None for stream in streams for place, _ in stream.constants):
        _name(found.linears, names)  # operators over constants come and go, and addresses may count them
    orders: dict[Operand, dict[int, Indices]] = {}
    moved: dict[ir.Value, None] = {}
    done: set[Stream] = set()
    for one in reorderings:
        stream = _stream_of(one, streams, copy)
        if stream in done:
            raise PlanError(f"{one.value}: the plan reorders its stream twice; leave one of the two")
        done.add(stream)
        moved.update(dict.fromkeys(value for value, _ in stream.members))
        for place, axis in stream.constants:
            rank = len(found.constants.describe(place.value)[0])
            orders.setdefault(place, {})[rank - axis] = one.order
    made: dict[Any, ir.Value] = {}
    for place, axes in orders.items():
        old = place.value
        place.node.replace_input_with(place.index, _permuted(copy, old, axes, found, names, made, addresses))
        _drop_unread(copy, old)
    for value in moved:
        if value.name:
            value.name = names.fresh(f"{value.name}/{REORDERED}")
    if reorderings:
        copy.metadata_props["scission.reordered"] = f"the features of {len(reorderings)} streams"
    return copy


def _stream_of(one: Reordering, streams: Iterable[Stream], model: ir.Model) -> Stream:
    """The stream that a reordering is about, checked."""
    for stream in streams:
        if any(value.name == one.value and axis == one.axis for value, axis in stream.members):
            if stream.pinned:
                raise PlanError(f"{one.value}: its features have to stay in their order: {stream.pinned}")
            if stream.size != one.order.size:
                raise PlanError(
                    f"{one.value}: the order is one of {one.order.size} features, the value has {stream.size} of them"
                )
            return stream
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    if all(value.name != one.value for value in values):
        raise PlanError(f"{one.value}: the model has no such value to reorder; make a new plan for this model")
    raise PlanError(f"{one.value}: no operator with a constant weight reads or makes its features on axis {-one.axis}")


def _permuted(
    model: ir.Model,
    value: ir.Value,
    orders: Mapping[int, Indices],
    found: Survey,
    names: Names,
    made: dict[Any, ir.Value],
    addresses: Mapping[ir.Node, str],
) -> ir.Value:
    """A constant with other orders along some of its dimensions; equal ones are made once; addresses: of all nodes."""
    key = (value, tuple((axis, orders[axis].tobytes()) for axis in sorted(orders)))
    if key in made:
        return made[key]
    node = value.producer()
    new = ir.Value(name=names.fresh(f"{value.name}/{REORDERED}"), type=value.type, shape=value.shape)
    if node is None or node.op_type == "Constant":
        new.const_value = _lazily(value, orders, found, new.name or "")
        model.graph.register_initializer(new)
        if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
            model.graph.inputs.append(new)
    else:
        needed = operand_orders(node, orders, found.constants)
        assert needed is not None and node.graph is not None  # or the stream were pinned
        operands = [
            _permuted(model, operand, needed[index], found, names, made, addresses)
            if operand and index in needed
            else operand
            for index, operand in enumerate(node.inputs)
        ]
        twin = ir.Node(
            node.domain,
            node.op_type,
            operands,
            list(node.attributes.values()),
            outputs=[new],
            name=names.fresh(f"{node.name or value.name}/{REORDERED}/{node.op_type}"),
            doc_string=node.doc_string,
            metadata_props={**node.metadata_props, ORIGIN: addresses[node], ROLE: REORDERED},
        )
        node.graph.insert_after(node, twin)
    _inherit(new, value)
    made[key] = new
    return new


def _lazily(value: ir.Value, orders: Mapping[int, Indices], found: Survey, name: str) -> ir.LazyTensor:
    """What is stored, permuted whenever it is read: what is large stays in its file until then."""
    shape, dtype = found.constants.describe(value)
    stored = value.const_value
    array = found.constants.read(value) if stored is None else None

    def permuted() -> ir.TensorProtocol:
        held = read(stored) if array is None else array
        for axis, order in orders.items():
            held = np.take(held, order, axis=axis)
        return ir.Tensor(held, dtype=dtype, name=name)

    return ir.LazyTensor(permuted, dtype, ir.Shape(shape), name=name)


def _name(linears: Iterable[Linear], names: Names) -> None:
    """Give nodes without a name of their own the one in their address, which counts nodes: new ones would shift it."""
    for linear in linears:
        wish = linear.address.rpartition("/")[2]
        if (not linear.node.name or not linear.address.endswith(linear.node.name)) and names.is_free(wish):
            linear.node.name = names.fresh(wish)


def _removed(weight: npt.NDArray[Any], one: Annealing) -> int:
    """How many non-zero entries of a canonical weight an annealing removes."""
    strays = sum(bool(weight[stray] != 0) for stray in set(one.strays))
    return int(np.count_nonzero(weight)) - int(np.count_nonzero(weight[one.kept()])) - strays


def _put_weight(
    model: ir.Model, linear: Linear, one: Annealing, found: Survey, weight: ir.Value, emitter: Emitter
) -> tuple[ir.Value, ir.Value]:
    """Put an annealed weight in the place of the original; returns the linear's value before and after."""
    node, graph = linear.node, linear.node.graph
    assert graph is not None
    place, output = list(node.inputs).index(linear.weight), node.outputs[0]
    if not one.strays:
        _register(model, linear, graph, emitter.constants, emitter.names, None)
        node.replace_input_with(place, weight)
        _drop_unread(model, linear.weight)
        return output, output
    inputs = [weight if index == place else value for index, value in enumerate(node.inputs)]
    blocks = ir.Value(name=emitter.names.fresh(f"{output.name}/blocks"), type=output.type, shape=output.shape)
    product = ir.Node(
        node.domain,
        node.op_type,
        inputs,
        list(node.attributes.values()),
        overload=node.overload,
        outputs=[blocks],
        name=node.name,
        doc_string=node.doc_string,
        metadata_props=dict(node.metadata_props),
    )
    strays = np.array(one.strays)
    used, at = np.unique(strays[:, 0], return_inverse=True)
    canonical = linear.canonical(found.constants)
    thin = np.zeros((used.size, one.shape[1]), canonical.dtype)
    values = canonical[strays[:, 0], strays[:, 1]]
    thin[at, strays[:, 1]] = values if linear.alpha == 1 else (values * linear.alpha).astype(thin.dtype)
    axis = -1 if linear.layout.rank is None else linear.layout.rank - 1
    few = emitter.one("Gather", [linear.activation, emitter.integers(used, "strays/inputs")], "strays", axis=axis)
    apart = emitter.one("MatMul", [few, emitter.constant(thin, "strays/weight")], "strays")
    whole = emitter.one("Add", [blocks, apart], "strays")
    _register(model, linear, graph, emitter.constants, emitter.names, None)
    _inherit(whole, output)
    nodes = [product, *emitter.nodes]
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [output], [whole])
    _drop_unread(model, linear.weight)
    return output, whole


def _annealing_note(annealing: Sequence[Annealing], removed: int, effect: str) -> str:
    """What an annealed model says of itself, as JSON."""
    tests = sorted({one.evidence.test for one in annealing})
    levels = sorted({one.evidence.level for one in annealing})
    note = {
        "annealed": True,
        "tests": tests,
        "levels": levels,
        "operators": len(annealing),
        "removed": removed,
        "refitted": any(one.refitted for one in annealing),
        "effect": effect or "not measured",
    }
    return json.dumps(note)


def _checked(step: Step, linears: dict[str, Linear], found: Survey, provider: str) -> Linear:
    linear = linears.get(step.node)
    if linear is None:
        raise PlanError(f"{step.node}: the model has no such linear, or the plan splits it twice; make a new plan")
    stored = linear.stored(found.constants)
    if linear.shape != step.shape or fingerprint(stored) != step.sha256:
        raise PlanError(f"{step.node}: the weight is not the one the plan was made for; make a new plan")
    alone: LoweringName = "scatter" if step.lowering == "joint" else step.lowering
    _check_plain(step)
    if reason := problem(linear, alone):
        raise PlanError(f"{step.node}: {reason}")
    if not step.decomposition.blocks:
        raise PlanError(f"{step.node}: the plan has no blocks to split into; set its lowering to 'dense'")
    reason = misfit(step.decomposition, alone, tile_of(provider, linear.dtype)) or apart(linear, step.decomposition)
    if reason:
        raise PlanError(f"{step.node}: {reason}")
    canonical = stored.T if linear.transposed else stored
    _check_cover(step, canonical)
    if step.lowering == "select" and selection(canonical) is None:
        raise PlanError(f"{step.node}: 'select' needs a weight with a single 1 for every output; use 'scatter'")
    return linear


def _replace_joint(
    model: ir.Model,
    one: Joint,
    plan: Plan,
    linears: dict[str, Linear],
    found: Survey,
    names: Names,
    sharing: Sharing,
    now: Mapping[ir.Value | None, ir.Value],
    addresses: Mapping[ir.Node, str],
) -> dict[ir.Value | None, ir.Value]:
    """Put the blocks of several linears in the place of them and of all between; returns what replaces which value.

    now: what earlier joints have put in the place of a value; addresses: of all nodes, as they were before.
    """
    steps = {step.node: step for step in plan.steps if step.node in one.nodes}
    members = []
    for node in one.nodes:
        members.append(_checked(steps[node], linears, found, plan.provider))
        del linears[node]
    graph = members[0].node.graph
    if not isinstance(graph, ir.Graph) or any(member.node.graph is not graph for member in members):
        raise PlanError(f"{one.nodes[0]}: the operators of a joint stand in different graphs; split each of them alone")
    region = region_of(members, found.constants)
    decompositions = [steps[linear.address].decomposition for linear in region.linears]
    standing = {old: new for old, new in now.items() if old is not None}
    try:
        made = branches(
            region,
            decompositions,
            found.constants,
            names,
            addresses,
            flow=one.flow,
            stack=one.stack,
            now=standing,
        )
    except Unsuited as error:
        raise PlanError(f"{one.nodes[0]}: its joint cannot be split together: {error}; make a new plan") from None
    reads = [value for node in made.removed for value in node.inputs if value is not None]
    _register(model, members[0], graph, made.constants, names, sharing)
    for anchor, nodes in made.nodes.items():
        graph.insert_before(anchor, nodes)
    replaced: dict[ir.Value | None, ir.Value] = {}
    for old, new in made.replaced.items():
        replaced[old] = new
        _inherit(new, old)
        new.name, new.type, new.shape = old.name, old.type or new.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(made.removed, safe=True)
    for value in dict.fromkeys(reads):
        if value in found.constants:
            _drop_unread(model, value)
    return replaced


def joint_problem(
    region: Region,
    decompositions: Sequence[Decomposition],
    constants: Constants,
    names: Names,
    addresses: Mapping[ir.Node, str],
    *,
    flow: str,
    stack: int,
) -> str | None:
    """Why a region cannot be computed block by block in this way, found by trying; None when it can.

    The graph is left as it was: what was emitted reads nothing any more.
    """
    why: str | None = None
    try:
        made = branches(region, decompositions, constants, names, addresses, flow=flow, stack=stack)
        nodes = [node for new in made.nodes.values() for node in new]
    except Unsuited as reason:
        nodes, why = reason.nodes, str(reason)
    for node in nodes:
        for index in range(len(node.inputs)):
            node.replace_input_with(index, None)
    return why


def _recurrents(found: Survey, steps: Mapping[str, Step]) -> dict[ir.Node, list[Recurrent]]:
    """All directions of each recurrent node of which at least one is split, the steps checked."""
    known = {way.address: way for way in found.recurrents}
    for step in steps.values():
        if step.node not in known:
            raise PlanError(f"{step.node}: the model has no such recurrent operator; make a new plan")
        _check_recurrent(step, known[step.node], found)
    nodes: dict[ir.Node, list[Recurrent]] = {known[address].node: [] for address in steps}
    for way in found.recurrents:
        if way.node in nodes:
            nodes[way.node].append(way)
    return nodes


def _check_plain(step: Step) -> None:
    """Blocks of several operators, and those of a recurrent one, are computed by what knows no strays and no sums."""
    what = "stray entries" if step.decomposition.strays else "blocks that share outputs"
    if step.lowering in ("joint", "parallel") and (step.decomposition.strays or step.decomposition.summed):
        raise PlanError(f"{step.node}: '{step.lowering}' has no place for {what}; use other blocks, or 'scatter'")


def _check_recurrent(step: Step, way: Recurrent, found: Survey) -> None:
    _check_plain(step)
    W, R = way.stored(found.constants)
    if way.shape != step.shape or coupling_hash(W, R, way.direction) != step.sha256:
        raise PlanError(f"{step.node}: the weights are not those the plan was made for; make a new plan")
    if step.decomposition.dormant_outputs.size:
        unit = int(step.decomposition.dormant_outputs[0])
        raise PlanError(f"{step.node}: hidden unit {unit} belongs to no block, but its bias changes it; give it to one")
    for index, block in enumerate(step.decomposition.blocks):
        states = block.inputs[block.inputs >= way.features] - way.features
        if not np.array_equal(states, units_of(block, way.features).hidden):
            raise PlanError(
                f"{step.node}: block {index} reads other states than it computes; its inputs must be features and then "
                f"each of its outputs once more, {way.features} higher"
            )
    _check_cover(step, joint_edges(W, R))


def _check_cover(step: Step, weight: npt.NDArray[Any]) -> None:
    """Every edge of a canonical weight must lie inside a block: a plan edited by hand must not drop one."""
    found = step.decomposition
    if found.summed or found.strays:
        left = (edges(weight) & ~found.inside()).any(axis=0)
    else:
        left = np.zeros(step.shape[1], bool)
        for block in found.blocks:
            outside = np.ones(step.shape[0], bool)
            outside[block.inputs] = False
            left[block.outputs] = edges(weight[np.ix_(outside, block.outputs)]).any(axis=0)
        dormant = found.dormant_outputs
        left[dormant] = edges(weight[:, dormant]).any(axis=0)
    if left.any():
        raise PlanError(
            f"{step.node}: output {int(np.argmax(left))} reads an input outside its block; the blocks would lose "
            "that weight, so correct them or make a new plan"
        )


def _replace(
    model: ir.Model, linear: Linear, found: Survey, step: Step, names: Names, sharing: Sharing, provider: str
) -> tuple[ir.Value, ir.Value]:
    """Put the blocks in the place of one linear; returns the value that went and the one in its place."""
    emitter = Emitter(linear, names)
    tile = tile_of(provider, linear.dtype)
    result = lower(emitter, found.constants, step.decomposition, step.lowering, tile)
    graph = linear.node.graph
    assert graph is not None
    _register(model, linear, graph, emitter.constants, emitter.names, sharing)
    old, output = [linear.node], linear.node.outputs[0]
    reads = [value for value in linear.node.inputs if value is not None and value is not linear.activation]
    if folds_bias(linear, step.lowering):
        assert linear.bias is not None and linear.bias.node is not None
        old.append(linear.bias.node)
        output = linear.bias.node.outputs[0]
        reads.append(linear.bias.value)
    _inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, linear.node, old, emitter.nodes, [output], [result])
    for value in reads:
        _drop_unread(model, value)
    return output, result


def _replace_recurrent(
    model: ir.Model,
    ways: list[Recurrent],
    found: Survey,
    steps: Mapping[str, Step],
    names: Names,
    sharing: Sharing,
) -> None:
    """Put the blocks of all directions in the place of one recurrent node."""
    node, graph = ways[0].node, ways[0].node.graph
    assert graph is not None
    emitters = [Emitter(way, names) for way in ways]
    split = [steps[way.address].decomposition if way.address in steps else None for way in ways]
    results = parallel(emitters, ways, found.constants, split)
    nodes = [new for emitter in emitters for new in emitter.nodes]
    for emitter in emitters:
        _register(model, ways[0], graph, emitter.constants, names, sharing)
    reads = [value for value in node.inputs if value is not None]
    outputs = [node.outputs[place] for place in results]
    for result, output in zip(results.values(), outputs, strict=True):
        _inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, outputs, list(results.values()))
    for value in reads:
        if value in found.constants:
            _drop_unread(model, value)


def _inherit(result: ir.Value, output: ir.Value) -> None:
    result.doc_string = output.doc_string
    result.metadata_props.update(output.metadata_props)
    result.meta.update(output.meta)


def _register(
    model: ir.Model,
    linear: Linear | Recurrent,
    graph: Any,
    constants: Iterable[ir.Value],
    names: Names,
    sharing: Sharing | None,
) -> None:
    """New constants become initializers of the main graph, visible everywhere, and before IR version 4 its inputs as
    well, as all others are (Constant nodes held only floats then); in functions, which have no initializers, they
    become Constant nodes in front of all others. sharing: what is stored there already, and read from
    there; None for what no two operators share."""
    for value in constants:
        # ONNX Runtime fuses a DequantizeLinear with its product only where nobody else reads its operands.
        alone = any(node.op_type == "DequantizeLinear" for node in value.consumers())
        place = graph if linear.in_function else None
        first = value if alone or sharing is None else sharing.first(value, place)
        if first is not value:
            ir.convenience.replace_all_uses_with(value, first)
            continue
        if not linear.in_function:
            model.graph.register_initializer(value)
            if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
                model.graph.inputs.append(value)
            continue
        tensor = value.const_value
        value.const_value = None
        node = ir.Node(
            "",
            "Constant",
            [],
            [ir.Attr("value", ir.AttributeType.TENSOR, tensor)],
            outputs=[value],
            name=names.fresh(f"{value.name}/Constant"),
            metadata_props={ORIGIN: linear.address, ROLE: "constant"},
        )
        graph.insert_before(graph[0], node)


def _drop_unread(model: ir.Model, value: ir.Value) -> None:
    """Remove a constant that nobody reads, and what it was computed from."""
    inputs_override = (model.ir_version or 0) >= INITIALIZERS_ARE_INPUTS  # such an input belongs to the interface
    pending = [value]
    while pending:
        value = pending.pop()
        if value.uses() or value.is_graph_output():
            continue
        node = value.producer()
        if node is not None:
            if node.graph is None or any(output.uses() or output.is_graph_output() for output in node.outputs):
                continue
            inputs = [v for v in node.inputs if v is not None]
            node.graph.remove(node, safe=True)
            pending.extend(inputs)
        elif value.is_initializer() and value.graph is not None:
            graph = value.graph
            if value.is_graph_input():
                if inputs_override:
                    continue
                graph.inputs.remove(value)
            del graph.initializers[value.name or ""]
