"""Steps of a plan as JSON and back: blocks as index ranges, derived figures for the reader, every field checked.

Step  -> step_to_dict ->  {"node": ..., "blocks": [{"inputs": "0-99,104", "outputs": "0-7"}]}  -> step_from_dict
                             |
                             +-- without_predictions ->  Plan.sha256
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, cast

from ..reason import Reason
from ..record import Record, shown
from .decomposition import LARGEST, LONGEST_RANGE, RANGE, Block, Decomposition, PlanError, from_ranges, to_ranges
from .step import States, Step
from .wanted import LoweringName

__all__ = [
    *("DERIVED", "MOST", "blocks_of", "pairs_of", "require_few", "shape_of", "step_from_dict", "step_to_dict"),
    "without_predictions",
]

MOST = 1 << 27  # indices in a plan; four times as many as one for all linears of 70 billion parameters needs
NAMING = ("inputs", "outputs", "order", "removed", "places")  # fields that are texts of index ranges
DERIVED = ("mac_share", "byte_share")  # written for the reader, computed again when a plan is read
PREDICTED = ("gain", "cause", "reason", "extents", "states")  # what is said of a split, and does not change it


def without_predictions(data: Mapping[str, Any]) -> dict[str, Any]:
    """A step, a region or a reordering for JSON, with what changes the model alone."""
    return {key: value for key, value in data.items() if key not in PREDICTED}


def require_few(data: Any, most: int) -> None:
    """Raise PlanError where the index ranges of a plan as JSON name more than so many indices: a hundred bytes may.

    >>> require_few({"steps": [{"blocks": [{"inputs": "0-99", "outputs": "0-1"}]}]}, most=50)
    Traceback (most recent call last):
    scission.ir.plan.decomposition.PlanError: the plan names more than 50 features, which are more than can be
    """
    left, open_ = most, [data]
    while open_:
        value = open_.pop()
        if isinstance(value, list):
            open_ += [one for one in value if isinstance(one, dict | list)]
        elif isinstance(value, dict):
            left -= sum(_length(text) for name in NAMING if isinstance(text := value.get(name), str))
            open_ += [one for one in value.values() if isinstance(one, dict | list)]
        if left < 0:
            raise PlanError(f"the plan names more than {most:,} features, which are more than can be")


def _length(text: str) -> int:
    """How many indices a text of ranges names; what is none is refused by whoever reads it."""
    found = (RANGE.fullmatch(run) for run in text.split(",") if len(run) <= LONGEST_RANGE)
    ends = [(int(match[1]), int(match[2] or match[1])) for match in found if match]
    return sum(last - first + 1 for first, last in ends if first <= last < LARGEST)


def step_to_dict(step: Step) -> dict[str, Any]:
    """A step for JSON."""
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
        **({"slices": step.slices} if step.slices != 1 else {}),
        **({} if step.states is None else {"states": asdict(step.states)}),
        **({"split_k": True} if step.decomposition.split_k else {}),
        **({"residual": [list(entry) for entry in step.decomposition.residual]} if step.decomposition.residual else {}),
        "blocks": _blocks_to_list(step.decomposition),
    }


def _blocks_to_list(decomposition: Decomposition) -> list[dict[str, str]]:
    blocks = [{"inputs": to_ranges(b.inputs), "outputs": to_ranges(b.outputs)} for b in decomposition.blocks]
    for block, (first, last) in zip(blocks, decomposition.layers, strict=False):
        block["layers"] = f"{first}-{last}"
    return blocks


def step_from_dict(index: int, data: Any) -> Step:
    """Inverse of `step_to_dict`; raises PlanError that names the step, the index-th, and the field."""
    node = data.get("node") if isinstance(data, dict) else None
    where = f"steps[{index}] ({node if isinstance(node, str) else 'no node'})"
    record = Record.of(data, where if isinstance(data, dict) else f"steps[{index}]", PlanError)
    for derived in DERIVED:
        record.any(derived, default=None)
    try:
        K, N = shape_of(record)
        blocks = record.items("blocks")
        found = Decomposition(
            (K, N),
            blocks_of(record, blocks, (K, N)),
            _layers_of(blocks),
            record.flag("split_k", default=False),
            pairs_of(record, "residual"),
        )
        step = Step(
            reason=Reason.from_dict(record.fields, record.wrong),
            shape=(K, N),
            decomposition=found,
            **{name: record.text(name) for name in ("node", "op", "weight", "dtype")},
            lowering=cast("LoweringName", record.text("lowering")),
            **{name: record.whole(name) for name in ("components", "nonzeros", "dormant_inputs", "dormant_outputs")},
            giant=record.number("giant"),
            gain=record.number("gain", default=None),
            sha256=record.text("sha256", default=None),
            states=_states_of(record),
            extents=tuple(_extents_of(record)),
            slices=record.whole("slices", default=1),
        )
    except PlanError as error:
        own = str(error).removeprefix(f"{where}: ").removeprefix(f"{node}: ")  # what a step says of itself, said once
        raise PlanError(f"{where}: {own}") from None
    record.done()
    return step


def shape_of(record: Record) -> tuple[int, int]:
    """The shape (K, N) of a record; raises its error where that is no pair of sizes."""
    shape = record.items("shape")
    if len(shape) != 2 or not all(type(size) is int and 0 <= size <= LARGEST for size in shape):
        raise record.wrong(f"'shape' is {shown(shape)}, which is no pair of sizes")
    return shape[0], shape[1]


def blocks_of(record: Record, blocks: list[Any], shape: tuple[int, int]) -> tuple[Block, ...]:
    """The blocks of a list of a record; raises its error, or PlanError, where they are none of a weight (K, N)."""
    found = []
    for index, block in enumerate(blocks):
        own = Record.of(block, f"{record.where}: blocks[{index}]", record.error)
        inputs, outputs = own.text("inputs"), own.text("outputs")
        own.any("layers", default=None)
        own.done()
        try:
            found.append(Block(from_ranges(inputs, shape[0]), from_ranges(outputs, shape[1])))
        except PlanError as error:
            raise own.wrong(str(error)) from None
    return tuple(found)


def _states_of(record: Record) -> States | None:
    states = record.any("states", default=None)
    if states is None:
        return None
    own = Record.of(states, f"{record.where}: states", PlanError)
    counts = {name: own.whole(name) for name in ("components", "sccs", "layers")}
    found = States(**counts, giant=own.number("giant"))
    own.done()
    return found


def _extents_of(record: Record) -> Iterator[tuple[int, ...]]:
    for extents in record.items("extents", default=[]):
        if not isinstance(extents, list) or not all(type(extent) is int for extent in extents):
            raise record.wrong(f"'extents' holds {shown(extents)}, which is no list of sizes")
        yield tuple(extents)


def _layers_of(blocks: Any) -> tuple[tuple[int, int], ...]:
    """The ranges of layers that blocks were written with; every block has one, or none has."""
    texts = [block["layers"] for block in blocks if "layers" in block]
    if texts and len(texts) < len(blocks):
        raise PlanError("only some blocks say which layers they are made of")
    found = []
    for text in texts:
        if not isinstance(text, str) or not (match := RANGE.fullmatch(text)) or len(text) > LONGEST_RANGE:
            raise PlanError(f"{shown(text)} is no range of layers such as '0-7'")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def pairs_of(record: Record, name: str) -> tuple[tuple[int, int], ...]:
    """The entries [input, output] of a list of a record, which may be missing; raises its error for other items."""
    entries = record.items(name, default=[])
    if not all(isinstance(one, list) and len(one) == 2 and all(type(at) is int for at in one) for one in entries):
        raise record.wrong(f"{name!r} is no list of pairs [input, output]")
    return tuple((k, n) for k, n in entries)
