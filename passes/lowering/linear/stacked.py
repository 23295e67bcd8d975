"""The `stacked` lowering: blocks of like shape as one product of three dimensions, rows first.

    x (M, K) ── Gather (B, k) ── (M, B, k) ── Transpose ── (B, M, k) · (B, k, n) ── Transpose ── (M, B·n) ── Gather ── y

One launch for all blocks and four around it, whatever their number, none of which a CUDA graph cannot record. Where
blocks follow one another both Gathers are Reshapes. Blocks of different shapes make a few stacks, each padded to the
largest of its own, so that one large block does not blow up many small ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter_rows, leave_rows
from ..nodes.primitives import addend, affine, join, window
from ..prices import Prices
from ..seconds import picked_seconds, products_seconds, turned_blocks_seconds
from ..target import Target
from .padded import Stack, pad_blocks, why_not_stored
from .permute import arranged
from .protocol import LinearLowering, why_not_beside, why_not_dense

__all__ = ["Stacked", "stacked_seconds"]

Array = npt.NDArray[Any]
WASTE = 1.25  # times its own entries that a stack may have because its blocks are padded
STACKS = 4  # the most that blocks are sorted into: each launches four nodes


class Stacked(LinearLowering):
    """Gather of all blocks, MatMul of three dimensions, rows first."""

    name = "stacked"
    only_on = "cuda"  # a CPU's Gather on the last axis copies element by element: `batched` and `split` take less there

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.layout.kind != "rows":
            return Reason(Cause.LAYOUT, "'stacked' needs the features on the last axis; use 'batched' or 'scatter'")
        if reason := why_not_stored(linear, self.name):
            return reason
        if found is None:
            return None
        if reason := why_not_beside(self, linear, found):
            return reason
        entries = self.entries(found, target.tile(linear.dtype))
        if entries < found.shape[0] * found.shape[1]:
            return None
        told = f"{len(found.blocks)} blocks padded need no fewer multiply-adds than the dense weight; use 'scatter'"
        return Reason(Cause.BLOCKS, told)

    def entries(self, found: Decomposition, tile: int) -> int:
        """Those of all stacks, padded."""
        return sum(len(part.blocks) * part.k * part.n for part in _parts(found, tile))

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """Nodes around each stack, its product, and the elements that are moved in and out."""
        itemsize = int(linear.dtype.itemsize)
        parts = _parts(found, prices.tile(itemsize))
        seconds = 0.0
        for part in parts:
            B, k, n = len(part.blocks), part.k, part.n
            window = part.window()
            seconds += picked_seconds(B * k * rows, itemsize, prices) if window is None else prices.view_s
            seconds += 0.0 if window in (None, (0, found.shape[0])) else prices.node_s
            seconds += stacked_seconds(B, k, n, rows, itemsize, prices)
        if len(parts) > 1:
            seconds += prices.node_s + found.shape[1] * rows * prices.copy_s * prices.moved(itemsize)
        return seconds + (0.0 if _in_order(parts, found) else picked_seconds(found.shape[1] * rows, itemsize, prices))

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit the stacks and what puts their results in order."""
        linear = emitter.linear
        frame = enter_rows(emitter)
        canonical = linear.canonical(constants)
        parts = _parts(found, target.tile(linear.dtype))
        dormant, results, owned = found.dormant_outputs, [], []
        for index, part in enumerate(parts):
            stack, dormant = part.stack(dormant, found.shape[1])
            role = f"stack.{index}" if len(parts) > 1 else "blocks"
            results.append(_product(emitter, frame.features, part, stack, stack.weight(canonical), role))
            owned.append(stack.outputs.reshape(-1))
        whole = join(emitter, results, 1)
        order = np.concatenate(owned)
        if order.size != linear.shape[1] or (order != np.arange(order.size)).any():
            whole = emitter.one("Gather", [whole, emitter.integers(_places(order), "scatter/order")], "scatter", axis=1)
        return addend(emitter, leave_rows(emitter, frame, affine(emitter, whole, constants, behind=0)))


@dataclass(frozen=True, slots=True)
class _Part:
    """Blocks that are one stack, padded to k inputs and n outputs."""

    blocks: tuple[Block, ...]
    k: int
    n: int

    def window(self) -> tuple[int, int] | None:
        """Where the inputs of all blocks lie one after another, None where they do not."""
        order = np.concatenate([block.inputs for block in self.blocks])
        follows = order.size == len(self.blocks) * self.k and bool((np.diff(order) == 1).all())
        return (int(order[0]), int(order[-1]) + 1) if follows else None

    def stack(self, dormant: Indices, count: int) -> tuple[Stack, Indices]:
        """The stack with as many dormant outputs as there is room for, and those that are left."""
        room = len(self.blocks) * self.n - sum(block.outputs.size for block in self.blocks)
        return pad_blocks(self.blocks, self.k, self.n, dormant[:room], count), dormant[room:]


def stacked_seconds(B: int, k: int, n: int, rows: int, itemsize: int, prices: Prices) -> float:
    """One product of B blocks, a Transpose in front of it and one behind, and a change of shape."""
    products = products_seconds([(k, n)] * B, rows, itemsize, prices.stacked(), nodes=1)
    turned = sum(turned_blocks_seconds(B * side * rows, itemsize, prices) for side in (k, n))
    return products + B * prices.batched_block_s + turned + prices.view_s


# Blocks from the largest to the smallest; a stack takes the next one while padding stays within `WASTE`.
#
#     sizes   9 9 8 | 4 4 4 3 | 1 1 1       three stacks: k = 9, 4, 1; one stack of k = 9 would multiply twice as much
#
# Of blocks that are alike the order is kept, in which their inputs or outputs may lie one after another.


def _parts(found: Decomposition, tile: int) -> list[_Part]:
    """The blocks sorted into stacks of like shape, in which dormant outputs have room."""
    blocks = sorted((block for _, block in arranged(found)), key=lambda block: (-_area(block), block.shape))
    groups: list[list[Block]] = [blocks] if len({block.shape for block in blocks}) == 1 else []
    for block in blocks if not groups else ():
        if groups and (len(groups) == STACKS or _waste([*groups[-1], block], tile) <= WASTE):
            groups[-1].append(block)
        else:
            groups.append([block])
    sides = [_sides(group, tile) for group in groups]
    room = sum(len(group) * n for group, (_, n) in zip(groups, sides, strict=True))
    missing = found.shape[1] - room
    if missing > 0:
        k, n = sides[-1]
        more = -(-missing // len(groups[-1]))
        sides[-1] = k, n + -(-more // tile) * tile
    return [_Part(tuple(group), k, n) for group, (k, n) in zip(groups, sides, strict=True)]


def _area(block: Block) -> int:
    return block.inputs.size * block.outputs.size


def _sides(blocks: Sequence[Block], tile: int) -> tuple[int, int]:
    k, n = (max(sizes) for sizes in zip(*(block.shape for block in blocks), strict=True))
    return -(-k // tile) * tile, -(-n // tile) * tile


def _waste(blocks: Sequence[Block], tile: int) -> float:
    """How many times their own entries blocks have as one stack; each alone is padded to whole tiles anyway."""
    k, n = _sides(blocks, tile)
    return len(blocks) * k * n / sum(math.prod(_sides([block], tile)) for block in blocks)


def _in_order(parts: Sequence[_Part], found: Decomposition) -> bool:
    """Whether results lie in the order of the outputs as they come out."""
    if any(block.outputs.size < part.n for part in parts for block in part.blocks):
        return False
    order = np.concatenate([block.outputs for part in parts for block in part.blocks])
    return order.size == found.shape[1] and bool((order == np.arange(order.size)).all())


def _places(order: Indices) -> Indices:
    """Where each output lies in `order`, which has -1 where nobody reads."""
    used = np.flatnonzero(order >= 0)
    places = np.empty(used.size, np.int64)
    places[order[used]] = used
    return places


def _product(emitter: Emitter, rows: ir.Value, part: _Part, stack: Stack, weight: Array, role: str) -> ir.Value:
    """One stack: rows (M, K) to its results (M, B·n)."""
    B, k, n = stack.shape
    bounds = part.window()
    if bounds is None:
        pieces = emitter.one("Gather", [rows, emitter.constant(stack.inputs, f"{role}/inputs")], "gather", axis=1)
    else:
        if bounds != (0, emitter.linear.shape[0]):
            rows = window(emitter, rows, *bounds, role, axis=1)
        pieces = emitter.one("Reshape", [rows, emitter.integers([0, B, k], f"{role}/inputs")], role)
    turned = emitter.one("Transpose", [pieces], role, perm=[1, 0, 2])
    # ONNX Runtime (1.31) would merge the Transpose into the product, which divides by zero without any rows.
    apart = emitter.one("Reshape", [turned, emitter.integers([0, 0, 0], f"{role}/same")], role)
    results = emitter.one("MatMul", [apart, emitter.constant(weight, f"{role}/weight")], role)
    back = emitter.one("Transpose", [results], role, perm=[1, 0, 2])
    return emitter.one("Reshape", [back, emitter.integers([0, B * n], f"{role}/outputs")], role)
