"""The plan: which linear is split into which blocks, how, and why the others are not."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np

from ..brief import brief, brief_line
from ..graph.addressing import meant
from ..graph.recurrent import GATES
from ..graph.skipped import Skipped
from ..plural import counted
from ..reason import Cause, Reason
from .annealing import Annealing, AnnealingError
from .axis_order import Reordering
from .decomposition import LONGEST_RANGE, RANGE, Block, Decomposition, Indices, PlanError, from_ranges, to_ranges
from .grain import Grain
from .region_split import Joint
from .wanted import LoweringName, Wanted

__all__ = [
    "SCHEMA",
    "Block",
    "Decomposition",
    "Indices",
    "LoweringName",
    "Plan",
    "PlanError",
    "States",
    "Step",
    "common_rows",
    "require_plan",
]

SCHEMA = 6
SHOWN = 8  # nodes named in a message
ANNEALS = 3  # the first schema that knows annealing
JOINS = 4  # the first schema that knows joints, reorderings and the lowerings beside scatter, split and parallel
COVERS = 5  # the first schema that knows blocks that are added up, and strays
BATCHES = 6  # the first schema whose steps tell their own activation rows; before, all had those of the plan
READABLE = (1, 2, 3, 4, 5, 6)  # the first knew neither layers nor recurrent steps, the second no annealing
FIELD_TYPES: dict[str, tuple[type, ...]] = {  # of a step; a plan may have been edited by hand
    **dict.fromkeys(("node", "op", "weight", "dtype", "lowering"), (str,)),
    "reason": (Reason,),
    **dict.fromkeys(("components", "nonzeros", "dormant_inputs", "dormant_outputs"), (int, np.integer)),
    "giant": (float, int),
    "gain": (float, int, type(None)),
    "sha256": (str, type(None)),
}
PREDICTED = (
    "gain",
    "reason",
    "cause",
    "extents",
    "states",
)  # of a step, a joint or a reordering: what changes no model
DERIVED = ("mac_share", "byte_share")  # written for the reader, computed again when a plan is read


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The structure of a recurrent weight over its states, which are inputs and outputs at once.

    components: weakly connected ones; sccs: strongly connected ones; layers: of the condensation; giant: share of the
    states in the largest weak component. Raises PlanError when one of them is no number.
    """

    components: int
    sccs: int
    layers: int
    giant: float

    def __post_init__(self) -> None:
        for name in ("components", "sccs", "layers", "giant"):
            value = getattr(self, name)
            if not isinstance(value, (int, float) if name == "giant" else int) or isinstance(value, bool):
                raise PlanError(f"states: {name} is {value!r}, which is no number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the plan does with one linear, and on what evidence.

    node: address of the node (see `scission.ir.graph.linear`); shape: canonical (K, N); sha256: of the canonical
    weight's bytes, present whenever there is something to split; components: independent blocks before small ones are
    merged; giant: share of all K + N features in the largest component; nonzeros: edges; gain: predicted dense time
    over lowered time, at its worst over its row counts; reason: why the lowering was chosen; states: the structure over
    shared states, where the weight is recurrent; extents: what its activations are like besides their features, for
    each batch of the plan, of a recurrent operator positions and batch, empty where that is not known.

    An RNN, GRU or LSTM has a step for each direction, of shape (I + H, H): its inputs are the I features of X, then
    the H previous states, and a block owns the same units as previous states and as outputs. Its edges are those of
    all gates together, and `giant` is the share of its I + H nodes.
    """

    node: str
    op: str
    weight: str
    dtype: str
    shape: tuple[int, int]
    lowering: LoweringName
    decomposition: Decomposition
    components: int
    giant: float
    nonzeros: int
    dormant_inputs: int
    dormant_outputs: int
    reason: Reason
    gain: float | None = None
    sha256: str | None = None
    states: States | None = None
    extents: tuple[tuple[int, ...], ...] = ()

    __repr__ = brief_line

    def __post_init__(self) -> None:
        for name, kinds in FIELD_TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise PlanError(f"{self.node}: {name} is {value!r}, which is no {kinds[0].__name__}")
        if any(type(extent) is not int or extent < 1 for extents in self.extents for extent in extents):
            raise PlanError(f"{self.node}: extents are {self.extents!r}, which are no positive numbers")
        if self.lowering not in get_args(LoweringName):
            raise PlanError(f"{self.node}: unknown lowering {self.lowering!r}; use one of {get_args(LoweringName)}")
        if self.decomposition.shape != self.shape:
            raise PlanError(f"{self.node}: blocks are for shape {self.decomposition.shape}, weight has {self.shape}")
        if self.lowering != "dense" and self.sha256 is None:
            raise PlanError(f"{self.node}: a step that rewrites needs the SHA-256 of its weight; make a new plan")

    @property
    def rows(self) -> tuple[int, ...]:
        """Activation rows, for each batch of the plan: the products of its extents."""
        return tuple(math.prod(extents) for extents in self.extents)

    @property
    def parameters(self) -> int:
        """Entries of the dense weight, of all gates together."""
        return self.shape[0] * self.shape[1] * GATES.get(self.op, 1)

    @property
    def byte_share(self) -> float:
        """Bytes of the blocks' weights, of strays, and of the indices around them over those of the dense weight."""
        itemsize = {"double": 8, "float": 4}.get(self.dtype, 2)
        indices_ = 0 if self.lowering == "split" else sum(sum(b.shape) for b in self.decomposition.blocks) * 8
        indices_ += 16 * len(self.decomposition.strays)
        return self.decomposition.mac_share + indices_ / max(self.parameters * itemsize, 1)

    @property
    def density(self) -> float:
        """Edges over entries, 0 to 1."""
        return self.nonzeros / max(self.shape[0] * self.shape[1], 1)

    @property
    def degree(self) -> float:
        """Mean edges per feature; a random weight falls apart only below about 1 (percolation)."""
        return 2 * self.nonzeros / max(sum(self.shape), 1)


def require_plan(plan: Any) -> Plan:
    """The plan itself; raises PlanError for anything else, such as the file that holds one."""
    if not isinstance(plan, Plan):
        raise PlanError(f"a plan is wanted, not a {type(plan).__name__}; read a file of one with scission.Plan.loads")
    return plan


def common_rows(steps: Iterable[Step]) -> tuple[int, ...]:
    """The activation rows of some linears together, each number once; the largest where they differ in one setting."""
    return tuple(dict.fromkeys(map(max, zip(*(step.rows for step in steps if step.rows), strict=False))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decompositions and lowerings chosen for a whole model; printable, serialisable, checkable.

    model: name of the file it was made for; batch: sizes of the leading open dimension that costs were predicted for;
    provider: 'cpu' or 'cuda'; parameters: entries of all constant tensors of the model, the whole of every share;
    inline: local functions whose bodies take the place of their calls, because weights are among their arguments;
    annealing: weights to remove before anything is split, the only lossy part, empty by default: steps are about the
    model that it leaves; effect: what that was measured to do, in one line; reorderings: streams whose features get
    another order, before anything is split as well; joints: linears that are split together, whose lowering is 'joint';
    grain, wanted: what was asked for and not left to prices, of blocks and of lowerings; analysed: how components were
    found, which changes nothing and is not written down.
    Raises PlanError when a joint names no such step or its steps have not as many blocks, or a step is in no joint.

    >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1, 256), parameters=0, steps=(), skipped=())
    >>> Plan.loads(plan.dumps()) == plan
    True
    """

    model: str
    provider: str
    batch: tuple[int, ...]
    parameters: int
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    inline: tuple[tuple[str, str, str], ...] = ()
    annealing: tuple[Annealing, ...] = ()
    effect: str = ""
    reorderings: tuple[Reordering, ...] = ()
    joints: tuple[Joint, ...] = ()
    grain: Grain = field(default_factory=Grain)
    wanted: Wanted = field(default_factory=Wanted)
    analysed: str = field(default="", compare=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        known = {step.node: step for step in self.steps}
        joined = {node for joint in self.joints for node in joint.nodes}
        for node, count in Counter(step.node for step in self.steps).items():
            if count > 1 and node in joined:
                raise PlanError(f"{node}: the plan has two steps for it; remove one")
        steps = {node: step for node, step in known.items() if step.lowering == "joint"}
        for joint in self.joints:
            for node in joint.nodes:
                if node not in known:
                    raise PlanError(f"{node}: a joint names it, but the plan has no step for it")
                if known[node].lowering != "joint":
                    raise PlanError(f"{node}: a joint names it, but the lowering of its step is not 'joint'")
                if steps.pop(node, None) is None:
                    raise PlanError(f"{node}: two joints name it")
            if len({len(known[node].decomposition.blocks) for node in joint.nodes}) != 1:
                raise PlanError(f"{joint.nodes[0]}: the steps of its joint have not all as many blocks")
        if steps:
            raise PlanError(f"{next(iter(steps))}: its lowering is 'joint', but no joint names it")

    @property
    def rewrites(self) -> tuple[Step, ...]:
        """The steps that change the graph."""
        return tuple(step for step in self.steps if step.lowering != "dense")

    @property
    def sha256(self) -> str:
        """The SHA-256, as hexadecimal digits, of what the plan does to a model, whatever was predicted of it.

        The weights are part of it by the SHA-256 of each, so that it differs where they were annealed otherwise.

        >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=())
        >>> plan.sha256 == replace(plan, model="other.onnx", batch=(64,)).sha256
        True
        """
        done: dict[str, list[dict[str, Any]]] = {
            "steps": [_step_to_dict(step) for step in self.rewrites],
            "joints": [joint.to_dict() for joint in self.joints],
            "reorderings": [reordering.to_dict() for reordering in self.reorderings],
        }
        bare = {
            what: [{key: value for key, value in one.items() if key not in PREDICTED} for one in values]
            for what, values in done.items()
        }
        return hashlib.sha256(json.dumps([self.provider, self.inline, bare]).encode()).hexdigest()

    def rows_of(self, nodes: Collection[str]) -> tuple[int, ...]:
        """The activation rows that costs of these linears together are predicted for, see `common_rows`."""
        return common_rows([step for step in self.steps if step.node in nodes]) or self.batch

    def restored(self, nodes: Collection[str]) -> Plan:
        """The same plan that leaves these linears as the original has them, neither annealed nor split.

        nodes: addresses, or names of weights, which mean all that read them. Raises PlanError when one of them is not
        annealed.
        """
        known = {one.node for one in self.annealing}
        weights = {one.node: (one.weight,) for one in self.annealing}
        missing = sorted(name for name in set(nodes) if not meant(name, weights))
        nodes = {node for name in nodes for node in meant(name, weights)}
        if missing:
            shown = ", ".join(sorted(known)[:SHOWN]) + (", …" if len(known) > SHOWN else "")
            raise PlanError(
                f"{missing[0]}: the plan does not anneal it, so there is nothing to restore; it anneals "
                f"{shown or 'nothing'}"
            )
        left = tuple(one for one in self.annealing if one.node not in nodes)
        return replace(
            self.kept_dense(nodes, Reason(Cause.RESTORED, "restored from the original")), annealing=left, effect=""
        )

    def kept_dense(self, nodes: Collection[str], reason: Reason) -> Plan:
        """The same plan that leaves these linears dense; those that were to be split together with one of them are
        split alone, by `scatter`, which suits every linear.

        >>> plan = Plan(model="m.onnx", provider="cpu", batch=(1,), parameters=0, steps=(), skipped=())
        >>> plan.kept_dense(["none of it"], Reason(Cause.SLOWER, "why")) == plan
        True
        """
        broken = [joint for joint in self.joints if not set(nodes).isdisjoint(joint.nodes)]
        alone = {node for joint in broken for node in joint.nodes} - set(nodes)
        steps = tuple(
            replace(step, lowering="dense", reason=reason)
            if step.node in nodes
            else (replace(step, lowering="scatter") if step.node in alone else step)
            for step in self.steps
        )
        return replace(self, steps=steps, joints=tuple(joint for joint in self.joints if joint not in broken))

    def __str__(self) -> str:
        width = max((len(step.node) for step in self.steps), default=0)
        lines = [f"{step.node:{width}}  {step.lowering:7}  {step.reason}" for step in self.steps]
        return "\n".join(
            [f"plan for {self.model}: {len(self.rewrites)} of {counted(len(self.steps), 'operator')} split", *lines]
        )

    def dumps(self) -> str:
        """The plan as JSON text, one line per step, blocks as index ranges ("0-99,104")."""
        head = {
            "schema": SCHEMA,
            "model": self.model,
            "provider": self.provider,
            "batch": list(self.batch),
            "parameters": self.parameters,
            "inline": [list(function) for function in self.inline],
        }
        if self.effect:
            head["effect"] = self.effect
        head |= {name: asked.to_dict() for name, asked in (("grain", self.grain), ("wanted", self.wanted)) if asked}
        body = json.dumps(head, indent=1)[:-2]
        steps = ",\n  ".join(json.dumps(_step_to_dict(step)) for step in self.steps)
        skipped = ",\n  ".join(json.dumps(skip.to_dict()) for skip in self.skipped)
        for name, values in (("annealing", self.annealing), ("reorderings", self.reorderings), ("joints", self.joints)):
            if values:
                lines = ",\n  ".join(json.dumps(one.to_dict()) for one in values)
                body += f',\n "{name}": [\n  {lines}\n ]'
        return f'{body},\n "steps": [\n  {steps}\n ],\n "skipped": [\n  {skipped}\n ]\n}}\n'

    @staticmethod
    def loads(text: str) -> Plan:
        """Read `dumps` back; raises PlanError naming the step that is wrong."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            raise PlanError(f"the plan is not JSON: {error}") from None
        if not isinstance(data, dict) or "schema" not in data:
            raise PlanError("this JSON is not a scission plan: it has no 'schema'")
        if data["schema"] not in READABLE or type(data["schema"]) is not int:
            raise PlanError(f"the plan has schema {data['schema']!r}, this version reads {SCHEMA}; make a new plan")
        if data["schema"] < ANNEALS and (data.get("annealing") or data.get("effect")):
            raise PlanError(f"a plan of schema {data['schema']} cannot anneal; make a new plan")
        if data["schema"] < JOINS and (data.get("reorderings") or data.get("joints")):
            raise PlanError(f"a plan of schema {data['schema']} knows neither reorderings nor joints; make a new plan")
        steps = data.get("steps")
        listed = steps if isinstance(steps, list) else []
        adds = any(isinstance(step, dict) and ("summed" in step or "strays" in step) for step in listed)
        if data["schema"] < COVERS and adds:
            raise PlanError(
                f"a plan of schema {data['schema']} knows neither summed blocks nor strays; make a new plan"
            )
        try:
            return Plan(
                model=str(data["model"]),
                provider=str(data["provider"]),
                batch=tuple(int(size) for size in data["batch" if data["schema"] >= BATCHES else "rows"]),
                parameters=int(data["parameters"]),
                steps=tuple(_step_from_dict(index, step) for index, step in enumerate(data["steps"])),
                skipped=tuple(Skipped.from_dict(skip) for skip in data["skipped"]),
                inline=tuple((str(d), str(n), str(o)) for d, n, o in data["inline"]),
                annealing=tuple(Annealing.from_dict(one) for one in data.get("annealing", ())),
                effect=_text(data.get("effect", ""), "effect"),
                reorderings=tuple(Reordering.from_dict(one) for one in _list(data, "reorderings")),
                joints=tuple(Joint.from_dict(one) for one in _list(data, "joints")),
                grain=Grain.from_dict(data.get("grain", {})),
                wanted=Wanted.from_dict(data.get("wanted", {})),
            )
        except AnnealingError as error:
            raise PlanError(str(error)) from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"the plan is malformed: {type(error).__name__} {error}") from None


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name, [])
    if not isinstance(value, list):
        raise PlanError(f"{name} is {value!r}, which is no list")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{name} is {value!r}, which is no text")
    return value


def _step_to_dict(step: Step) -> dict[str, Any]:
    return {
        "node": step.node,
        "lowering": step.lowering,
        "op": step.op,
        "weight": step.weight,
        "dtype": step.dtype,
        "shape": list(step.shape),
        "components": step.components,
        "giant": step.giant,
        "nonzeros": step.nonzeros,
        "dormant_inputs": step.dormant_inputs,
        "dormant_outputs": step.dormant_outputs,
        "mac_share": round(step.decomposition.mac_share, 6),
        "byte_share": round(step.byte_share, 6),
        "gain": step.gain,
        **step.reason.to_dict(),
        "sha256": step.sha256,
        **({"extents": [list(extents) for extents in step.extents]} if step.extents else {}),
        **({} if step.states is None else {"states": asdict(step.states)}),
        **({"summed": True} if step.decomposition.summed else {}),
        **({"strays": [list(entry) for entry in step.decomposition.strays]} if step.decomposition.strays else {}),
        "blocks": _blocks_to_list(step.decomposition),
    }


def _blocks_to_list(decomposition: Decomposition) -> list[dict[str, str]]:
    blocks = [{"inputs": to_ranges(b.inputs), "outputs": to_ranges(b.outputs)} for b in decomposition.blocks]
    for block, (first, last) in zip(blocks, decomposition.layers, strict=False):
        block["layers"] = f"{first}-{last}"
    return blocks


def _layers_of(blocks: Any) -> tuple[tuple[int, int], ...]:
    """The ranges of layers that blocks were written with; every block has one, or none has."""
    texts = [block["layers"] for block in blocks if "layers" in block]
    if texts and len(texts) < len(blocks):
        raise PlanError("only some blocks say which layers they are made of")
    found = []
    for text in texts:
        if not isinstance(text, str) or not (match := RANGE.fullmatch(text)) or len(text) > LONGEST_RANGE:
            raise PlanError(f"{text!r} is no range of layers such as '0-7'")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _strays_of(entries: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(entries, list) or not all(
        isinstance(one, list) and len(one) == 2 and all(type(at) is int for at in one) for one in entries
    ):
        raise PlanError("strays is no list of pairs [input, output]")
    return tuple((k, n) for k, n in entries)


def _step_from_dict(index: int, data: Mapping[str, Any]) -> Step:
    if not isinstance(data, dict):
        raise PlanError(f"steps[{index}] is not an object")
    where = f"steps[{index}] ({data.get('node', 'no node')})"
    try:
        fields = dict(data)
        blocks = fields.pop("blocks")
        for derived in DERIVED:
            fields.pop(derived, None)
        K, N = fields.pop("shape")
        if not (type(K) is int and type(N) is int and K >= 0 and N >= 0):
            raise PlanError(f"shape {[K, N]} is no pair of sizes")
        parts = tuple(Block(from_ranges(b["inputs"], K), from_ranges(b["outputs"], N)) for b in blocks)
        if "extents" in fields:
            fields["extents"] = tuple(tuple(extents) for extents in fields["extents"])
        if fields.get("states") is not None:
            fields["states"] = States(**fields["states"])
        summed, strays = fields.pop("summed", False), _strays_of(fields.pop("strays", []))
        if not isinstance(summed, bool):
            raise PlanError(f"summed is {summed!r}, which is neither true nor false")
        found = Decomposition((K, N), parts, _layers_of(blocks), summed, strays)
        reason = Reason.from_dict(fields)
        return Step(shape=(K, N), decomposition=found, reason=reason, **fields)
    except KeyError as error:
        raise PlanError(f"{where}: field {error} is missing") from None
    except (TypeError, ValueError, OverflowError, MemoryError) as error:  # the last two: absurd sizes
        raise PlanError(f"{where}: {error}") from None
