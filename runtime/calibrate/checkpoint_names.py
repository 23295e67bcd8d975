"""What the weight of a linear may be called in a checkpoint, and which module a name belongs to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from ...ir.graph.linear import Linear
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["module_of", "names_of", "origin_of"]

LEAVES = frozenset({"weight", "kernel", "W", "w"})  # what libraries call the matrix of a layer
GENERATED = re.compile(r"val_\d+|onnx::\w+|\d+|node_\w+|_v_\d+|constant\w*")  # names that exporters make up
FOLDED = "pkg.onnxscript.optimizer.folded_from"
SCOPES = "pkg.torch.onnx.name_scopes"


def names_of(linear: Linear) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a linear's weight may be called in a checkpoint, the most trustworthy first; and in this export alone."""
    names: list[str] = []
    local = [linear.address]
    values = dict.fromkeys((linear.weight, *_roots(linear.weight)))
    for value in values:
        (local if GENERATED.fullmatch(value.name or "") else names).append(value.name or "")
    names += [name for value in values for name in _listed(value.metadata_props.get(FOLDED))]
    names += [f"{module}.weight".lstrip(".") for module in _listed(linear.node.metadata_props.get(SCOPES))[-2:-1]]
    path, slash, _ = (linear.node.name or "").rpartition("/")
    if slash:
        names.append(".".join((*module_of(path), "weight")))
    return tuple(dict.fromkeys(filter(None, names))), tuple(dict.fromkeys(filter(None, local)))


def origin_of(linear: Linear) -> frozenset[ir.Value]:
    """The initializers and Constant nodes that a linear's weight is computed from: the same for a shared weight."""
    return frozenset(_roots(linear.weight))


def module_of(name: str) -> tuple[str, ...]:
    """The module that a weight belongs to: 'a.b.weight', 'a/b/kernel:0' and '/a/a.b' are all of ('a', 'b')."""
    scopes = [scope for scope in re.sub(r":\d+$", "", name).split("/") if scope]
    scopes = [scope for scope, inner in pairwise([*scopes, ""]) if not inner.startswith(f"{scope}.")]
    parts = [part for part in ".".join(scopes).split(".") if part]
    return tuple(parts[:-1] if parts and parts[-1] in LEAVES else parts)


def _roots(value: ir.Value) -> Iterator[ir.Value]:
    """The initializers and Constant nodes that a constant is computed from."""
    stack = [value]
    seen: set[ir.Value] = set()
    while stack:
        top = stack.pop()
        node = top.producer()
        if node is None or not node.inputs:
            yield top
            continue
        fresh = [source for source in node.inputs if source is not None and source not in seen]
        seen.update(fresh)
        stack += fresh


def _listed(text: str | None) -> list[str]:
    """The list of texts that an exporter left in a node's metadata."""
    try:
        listed = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
