"""Steps of a plan as JSON and back: blocks as index ranges, derived figures for the reader, every field checked.

Step  -> step_to_dict ->  {"node": ..., "blocks": [{"inputs": "0-99,104", "outputs": "0-7"}]}  -> step_from_dict
                             |
                             +-- without_predictions ->  Plan.sha256
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..reason import Reason
from .decomposition import LONGEST_RANGE, RANGE, Block, Decomposition, PlanError, from_ranges, to_ranges
from .step import States, Step

__all__ = ["DERIVED", "listed", "step_from_dict", "step_to_dict", "text_of", "without_predictions"]

DERIVED = ("mac_share", "byte_share")  # written for the reader, computed again when a plan is read
PREDICTED = ("gain", "cause", "reason", "extents", "states")  # what is said of a split, and does not change it


def listed(data: Mapping[str, Any], name: str) -> list[Any]:
    """A list of an object, empty where it has none; raises PlanError for anything else."""
    value = data.get(name, [])
    if not isinstance(value, list):
        raise PlanError(f"{name} is {value!r}, which is no list")
    return value


def text_of(value: Any, name: str) -> str:
    """The text itself; raises PlanError for anything else."""
    if not isinstance(value, str):
        raise PlanError(f"{name} is {value!r}, which is no text")
    return value


def without_predictions(data: Mapping[str, Any]) -> dict[str, Any]:
    """A step, a joint or a reordering for JSON, with what changes the model alone."""
    return {key: value for key, value in data.items() if key not in PREDICTED}


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
        **({"summed": True} if step.decomposition.summed else {}),
        **({"strays": [list(entry) for entry in step.decomposition.strays]} if step.decomposition.strays else {}),
        "blocks": _blocks_to_list(step.decomposition),
    }


def _blocks_to_list(decomposition: Decomposition) -> list[dict[str, str]]:
    blocks = [{"inputs": to_ranges(b.inputs), "outputs": to_ranges(b.outputs)} for b in decomposition.blocks]
    for block, (first, last) in zip(blocks, decomposition.layers, strict=False):
        block["layers"] = f"{first}-{last}"
    return blocks


def step_from_dict(index: int, data: Any) -> Step:
    """Inverse of `step_to_dict`; raises PlanError that names the step, the index-th, and the field."""
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
