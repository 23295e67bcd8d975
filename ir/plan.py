"""The plan: which linear is split into which blocks, how, and why the others are not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .errors import ScissionError
from .gates import GATES
from .skipped import Skipped

__all__ = ["SCHEMA", "Block", "Decomposition", "Lowering", "Plan", "PlanError", "States", "Step"]

SCHEMA = 2
READABLE = (1, 2)  # the first knew neither layers nor recurrent steps
Lowering = Literal["dense", "scatter", "split", "parallel"]
FIELD_TYPES: dict[str, tuple[type, ...]] = {  # of a step; a plan may have been edited by hand
    **dict.fromkeys(("node", "op", "weight", "dtype", "reason", "lowering"), (str,)),
    **dict.fromkeys(("components", "nonzeros", "dormant_inputs", "dormant_outputs"), (int, np.integer)),
    "giant": (float, int),
    "gain": (float, int, type(None)),
    "sha256": (str, type(None)),
}
DERIVED = ("mac_share", "byte_share")  # written for the reader, computed again when a plan is read
Indices = npt.NDArray[np.int64]
RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", re.ASCII)
LONGEST_RANGE = 64  # characters; Python refuses to read a number of thousands of digits


class PlanError(ScissionError):
    """A plan that is malformed, contradicts itself, or was made for another model."""


def indices(values: Iterable[int] | npt.NDArray[Any]) -> Indices:
    """Sorted feature indices as a read-only int64 vector; raises PlanError on duplicates or negatives."""
    array = np.array(values if isinstance(values, np.ndarray) else list(values), dtype=np.int64).reshape(-1)
    if array.size and (array[0] < 0 or (np.diff(array) <= 0).any()):
        raise PlanError("feature indices must be non-negative, sorted and distinct")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One independent sub-operator: the sorted input and output features that it owns.

    Raises PlanError when indices are negative, unsorted or repeated, or when a block has no output.

    >>> Block([0, 2], [1]).shape
    (2, 1)
    """

    inputs: Indices
    outputs: Indices

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", indices(self.inputs))
        object.__setattr__(self, "outputs", indices(self.outputs))
        if not self.outputs.size or not self.inputs.size:
            raise PlanError("a block needs at least one input and one output")

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.inputs.size, self.outputs.size

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Block)
            and np.array_equal(self.inputs, other.inputs)
            and np.array_equal(self.outputs, other.outputs)
        )

    def __hash__(self) -> int:
        return hash((self.inputs.tobytes(), self.outputs.tobytes()))


@dataclass(frozen=True)
class Decomposition:
    """All blocks of one linear of shape (K, N); what no block owns is dormant.

    Outputs never belong to two blocks. Blocks are independent, sharing no input, unless `layers` says that they are
    row groups of a block-triangular form (paper 4.4): then it holds the first and the last layer of each, and a block
    reads every input with an edge into its outputs. Raises PlanError when an output belongs to two blocks, an index
    is out of range, or there are not as many layers as blocks.

    >>> d = Decomposition((3, 2), (Block([0, 2], [1]),))
    >>> d.dormant_inputs.tolist(), d.dormant_outputs.tolist(), d.mac_share
    ([1], [0], 0.3333333333333333)
    """

    shape: tuple[int, int]
    blocks: tuple[Block, ...]
    layers: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        K, N = self.shape
        if self.layers and len(self.layers) != len(self.blocks):
            raise PlanError(f"{len(self.layers)} ranges of layers for {len(self.blocks)} blocks")
        if any(not 0 <= first <= last for first, last in self.layers):
            raise PlanError("a block's layers run backwards")
        uses = np.zeros(N, np.int64)
        for block in self.blocks:
            if block.inputs[-1] >= K or block.outputs[-1] >= N:
                raise PlanError(f"a block reaches outside the weight of shape {self.shape}")
            uses[block.outputs] += 1
        if (uses > 1).any():
            raise PlanError(f"output {int(np.argmax(uses > 1))} belongs to two blocks")

    @cached_property
    def dormant_inputs(self) -> Indices:
        """Inputs that no block reads."""
        return _complement(self.shape[0], [b.inputs for b in self.blocks])

    @cached_property
    def dormant_outputs(self) -> Indices:
        """Outputs that no block writes: the zero channel."""
        return _complement(self.shape[1], [b.outputs for b in self.blocks])

    @property
    def mac_share(self) -> float:
        """Multiply-adds of the blocks over those of the dense product, 0 to 1."""
        K, N = self.shape
        return sum(i * o for i, o in (b.shape for b in self.blocks)) / max(K * N, 1)


def _complement(size: int, parts: list[Indices]) -> Indices:
    free = np.ones(size, bool)
    for part in parts:
        free[part] = False
    return indices(np.flatnonzero(free))


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

    node: address of the node (see `scission.ir.linear`); shape: canonical (K, N); sha256: of the canonical weight's
    bytes, present whenever there is something to split; components: independent blocks before small ones are merged;
    giant: share of all K + N features in the largest component; nonzeros: edges; gain: predicted dense time over
    lowered time, at its worst over the row counts of the plan; reason: why the lowering was chosen; states: the
    structure over shared states, where the weight is recurrent.

    An RNN, GRU or LSTM has a step for each direction, of shape (I + H, H): its inputs are the I features of X, then
    the H previous states, and a block owns the same units as previous states and as outputs. Its edges are those of
    all gates together, and `giant` is the share of its I + H nodes.
    """

    node: str
    op: str
    weight: str
    dtype: str
    shape: tuple[int, int]
    lowering: Lowering
    decomposition: Decomposition
    components: int
    giant: float
    nonzeros: int
    dormant_inputs: int
    dormant_outputs: int
    reason: str
    gain: float | None = None
    sha256: str | None = None
    states: States | None = None

    def __post_init__(self) -> None:
        for name, kinds in FIELD_TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise PlanError(f"{self.node}: {name} is {value!r}, which is no {kinds[0].__name__}")
        if self.lowering not in get_args(Lowering):
            raise PlanError(f"{self.node}: unknown lowering {self.lowering!r}; use one of {get_args(Lowering)}")
        if self.decomposition.shape != self.shape:
            raise PlanError(f"{self.node}: blocks are for shape {self.decomposition.shape}, weight has {self.shape}")
        if self.lowering != "dense" and self.sha256 is None:
            raise PlanError(f"{self.node}: a step that rewrites needs the SHA-256 of its weight; make a new plan")

    @property
    def parameters(self) -> int:
        """Entries of the dense weight, of all gates together."""
        return self.shape[0] * self.shape[1] * GATES.get(self.op, 1)

    @property
    def byte_share(self) -> float:
        """Bytes of the blocks' weights and of the indices around them over those of the dense weight."""
        itemsize = {"double": 8, "float": 4}.get(self.dtype, 2)
        indices_ = 0 if self.lowering == "split" else sum(sum(b.shape) for b in self.decomposition.blocks) * 8
        return self.decomposition.mac_share + indices_ / max(self.parameters * itemsize, 1)

    @property
    def density(self) -> float:
        """Edges over entries, 0 to 1."""
        return self.nonzeros / max(self.shape[0] * self.shape[1], 1)

    @property
    def degree(self) -> float:
        """Mean edges per feature; a random weight falls apart only below about 1 (percolation)."""
        return 2 * self.nonzeros / max(sum(self.shape), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decompositions and lowerings chosen for a whole model; printable, serialisable, checkable.

    model: name of the file it was made for; rows: activation rows (batch x positions) that costs were predicted for;
    provider: 'cpu' or 'cuda'; parameters: entries of all constant tensors of the model, the whole of every share;
    inline: local functions whose bodies take the place of their calls, because weights are among their arguments.

    >>> plan = Plan(model="m.onnx", provider="cpu", rows=(1, 256), parameters=0, steps=(), skipped=())
    >>> Plan.loads(plan.dumps()) == plan
    True
    """

    model: str
    provider: str
    rows: tuple[int, ...]
    parameters: int
    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    inline: tuple[tuple[str, str, str], ...] = ()

    @property
    def rewrites(self) -> tuple[Step, ...]:
        """The steps that change the graph."""
        return tuple(step for step in self.steps if step.lowering != "dense")

    def __str__(self) -> str:
        width = max((len(step.node) for step in self.steps), default=0)
        lines = [f"{step.node:{width}}  {step.lowering:7}  {step.reason}" for step in self.steps]
        return "\n".join([f"plan for {self.model}: {len(self.rewrites)} of {len(self.steps)} operators split", *lines])

    def dumps(self) -> str:
        """The plan as JSON text, one line per step, blocks as index ranges ("0-99,104")."""
        head = {
            "schema": SCHEMA,
            "model": self.model,
            "provider": self.provider,
            "rows": list(self.rows),
            "parameters": self.parameters,
            "inline": [list(function) for function in self.inline],
        }
        body = json.dumps(head, indent=1)[:-2]
        steps = ",\n  ".join(json.dumps(_step_to_dict(step)) for step in self.steps)
        skipped = ",\n  ".join(json.dumps(skip.to_dict()) for skip in self.skipped)
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
        if data["schema"] not in READABLE or isinstance(data["schema"], bool):
            raise PlanError(f"the plan has schema {data['schema']!r}, this version reads {SCHEMA}; make a new plan")
        try:
            return Plan(
                model=str(data["model"]),
                provider=str(data["provider"]),
                rows=tuple(int(rows) for rows in data["rows"]),
                parameters=int(data["parameters"]),
                steps=tuple(_step_from_dict(index, step) for index, step in enumerate(data["steps"])),
                skipped=tuple(Skipped(**skip) for skip in data["skipped"]),
                inline=tuple((str(d), str(n), str(o)) for d, n, o in data["inline"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"the plan is malformed: {type(error).__name__} {error}") from None


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
        "reason": step.reason,
        "sha256": step.sha256,
        **({} if step.states is None else {"states": asdict(step.states)}),
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
        if fields.get("states") is not None:
            fields["states"] = States(**fields["states"])
        return Step(shape=(K, N), decomposition=Decomposition((K, N), parts, _layers_of(blocks)), **fields)
    except KeyError as error:
        raise PlanError(f"{where}: field {error} is missing") from None
    except (TypeError, ValueError, OverflowError, MemoryError) as error:  # the last two: absurd sizes
        raise PlanError(f"{where}: {error}") from None


def to_ranges(values: Indices) -> str:
    """Sorted indices as text.

    >>> to_ranges(indices([0, 1, 2, 5, 7, 8]))
    '0-2,5,7-8'
    """
    if not values.size:
        return ""
    breaks = np.flatnonzero(np.diff(values) != 1)
    starts = values[np.concatenate([[0], breaks + 1])].tolist()
    stops = values[np.concatenate([breaks, [values.size - 1]])].tolist()
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, stops, strict=True))


def from_ranges(text: str, size: int) -> Indices:
    """Inverse of `to_ranges`; raises PlanError when the text is not such a list of indices below `size`.

    >>> from_ranges("0-2,5", size=6).tolist()
    [0, 1, 2, 5]
    """
    if not isinstance(text, str):
        raise PlanError(f"{text!r} is not a text of index ranges such as '0-2,5'")
    parts = []
    for run in filter(None, text.split(",")):
        if not (match := RANGE.fullmatch(run)) or len(run) > LONGEST_RANGE:
            raise PlanError(f"{run[:40]!r} is not an index or a range of indices")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < size:
            raise PlanError(f"{run!r} is not a range of indices below {size}")
        parts.append(np.arange(first, last + 1))
    return indices(np.concatenate(parts) if parts else [])
