"""What work costs on a machine: one table for all operators, read from the file of the machine.

The model is small: launches, multiply-adds, bytes of weights, elements moved. Its constants were measured on ONNX
Runtime (`tests/bench/calibrate.py` fits them to the machine at hand and writes the file); they only have to rank,
because `optimize` measures the result anyway and keeps the original where that is faster.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from ...ir.graph.operators import RECURRENT

__all__ = ["FLOAT_BYTES", "MARGIN", "CellPrices", "OperatorPrices", "Prices", "prices_of"]

# A predicted gain below this is not worth a larger graph. Of 95 cases that were measured on an H200 97 % are chosen
# within 10 % of the fastest way with it, 92 % with 1.2.
MARGIN = 1.1
FLOAT_BYTES = 4  # of the elements that prices were measured with
MEMORY_THREADS = 2  # threads that one channel to memory feeds; more of them read no faster


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPrices:
    """What a recurrent operator takes besides its products, in seconds."""

    step_s: float  # one position of a sequence
    row_s: float  # one row of the batch at a position
    unit_s: float  # one hidden unit of a row


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPrices:
    """Seconds per unit of work of recurrent operators, whose products run once a position on few rows."""

    launch_s: float  # run a node
    mac_s: float  # a multiply-add
    dram_byte_s: float  # read a byte of a weight from memory
    cached_byte_s: float  # read a byte of a weight that fits the cache
    cache_bytes: float  # what that cache keeps
    gather_s: float  # find and copy one element to gather, or find the first of a run
    copy_s: float  # copy an element of a run
    RNN: OperatorPrices
    GRU: OperatorPrices
    LSTM: OperatorPrices

    def of(self, op: str) -> OperatorPrices:
        """Those of one operator."""
        return {"RNN": self.RNN, "GRU": self.GRU, "LSTM": self.LSTM}[op]

    def threaded(self, threads: int) -> CellPrices:
        """The same with several threads: products scale, memory up to two threads, the rest does not."""
        scaled = {name: getattr(self, name) / threads for name in ("mac_s", "cached_byte_s")}
        return replace(self, dram_byte_s=self.dram_byte_s / min(threads, MEMORY_THREADS), **scaled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Seconds per unit of work on one machine; elements are of four bytes, where nothing else is said.

    Raises TypeError where the data of a file name other fields.
    """

    machine: str  # what was measured, with which release, in words
    card: str  # the GPU that was measured, as its driver calls it, empty for a processor
    gemm_launch_s: float  # run a node that multiplies
    node_s: float  # run any other node
    mac_s: float  # a multiply-add
    dram_byte_s: float  # read a byte of weights from memory
    llc_byte_s: float  # read a byte of weights that fit the last cache
    llc_bytes: float  # what the last cache keeps from one call to the next
    l2_bytes: float  # what the cache next to the core keeps
    find_row_s: float  # find one row to gather
    copy_s: float  # copy an element by rows, as Gather, Concat and Split do
    copy_uncached_s: float  # the same of a tensor that the last cache does not keep
    transpose_s: float  # an element of a Transpose
    transpose_cached_s: float  # the same while the tensor fits the cache next to the core
    gather_elements_s: float  # an element of a GatherElements and of the Expand of its indices
    batched_block_s: float  # a block of a product of three dimensions
    small_block_s: float  # a product of each row by itself, with one matrix for all of them
    unpacked_factor: float  # how many times as long multiply-adds take whose weight is not packed when it is loaded
    conv_byte_s: float  # read a byte of the kernels of a convolution of one pixel again for a row
    conv_group_s: float  # a group of a convolution, for one row
    gemm_io_s: float  # an element that a product reads or writes
    elementwise_s: float  # an element that an operator between products computes
    scatter_add_s: float  # an element that ScatterND adds to another
    slice_row_s: float  # a row of what Slice cuts out, twice one of what Split or Concat does
    lanes: int  # outputs that a product computes at once where its weight is packed
    scatter_node_s: float  # run a ScatterND, however little it writes
    half_tile: int  # what sides of blocks of two-byte numbers should be multiples of: tensor cores take eight
    half_mac: float  # how many times as long as others a multiply-add of two-byte numbers takes
    half_move: float  # and an element of two bytes that is moved
    half_elementwise: float  # and one that an operator between products computes
    gather_last_s: float  # an element of a Gather on the last axis, all with the same indices
    gather_last_uncached_s: float  # the same where the last cache does not keep what is read and written
    transpose_blocks_s: float  # an element of a Transpose that leaves the last axis where it is
    stack_launch_s: float  # run a node that multiplies stacks of matrices
    turn_row_s: float  # run a Transpose of a single row, which only renames its axes
    depth_s: float  # one term of the sums that a node computes beside one another, each after the one before
    bias_s: float  # an element that a product adds a bias to, 0 where it does so for nothing
    gelu_nodes: int  # nodes that run of a GELU spelt out with Erf: those that are there, or the one made of them
    view_s: float  # run a node that changes nothing but the shape of a tensor
    plain_gemm_launch_s: float  # run a node that multiplies where launches are not recorded as a CUDA graph
    plain_node_s: float  # run any other node there
    cells: CellPrices  # of recurrent operators

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Prices:
        """The inverse of `dataclasses.asdict`."""
        cells = dict(data["cells"])
        cells |= {op: OperatorPrices(**cells[op]) for op in RECURRENT}
        return Prices(**{**data, "cells": CellPrices(**cells)})

    def dumps(self) -> str:
        """The text of the file of a machine, as `prices_of` reads it."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def tile(self, itemsize: int) -> int:
        """What the sides of padded blocks should be multiples of, for elements of so many bytes."""
        return self.half_tile if itemsize == 2 else 1

    def moved(self, itemsize: int) -> float:
        """How many times as long as one of four bytes an element of so many takes to move."""
        return self.half_move if itemsize == 2 else itemsize / FLOAT_BYTES

    def multiplied(self, itemsize: int) -> float:
        """How many times as long as with numbers of four bytes a multiply-add takes."""
        return self.half_mac if itemsize == 2 else max(itemsize / FLOAT_BYTES, 1)

    def computed(self, itemsize: int) -> float:
        """How many times as long as one of four bytes an element takes that is computed between products."""
        return self.half_elementwise if itemsize == 2 else 1.0

    def plain(self) -> Prices:
        """The same where launches are not recorded as a CUDA graph."""
        launch = self.plain_gemm_launch_s
        return replace(self, gemm_launch_s=launch, stack_launch_s=launch, node_s=self.plain_node_s)

    def stacked(self) -> Prices:
        """The same for weights of three dimensions, which are read as they are stored."""
        factor = self.unpacked_factor
        scaled = {name: getattr(self, name) * factor for name in ("mac_s", "dram_byte_s", "llc_byte_s")}
        return replace(self, lanes=1, gemm_launch_s=self.stack_launch_s, **scaled)

    def left(self) -> Prices:
        """The same for weights that are the left factor of a product."""
        return replace(self, mac_s=self.mac_s * self.unpacked_factor, lanes=1)

    def threaded(self, threads: int) -> Prices:
        """The same with several threads: products scale, memory up to two threads, index work does not."""
        memory = min(threads, MEMORY_THREADS)
        cells = self.cells.threaded(threads)
        return replace(self, mac_s=self.mac_s / threads, dram_byte_s=self.dram_byte_s / memory, cells=cells)


@cache
def prices_of(provider: str) -> Prices:
    """The prices of the machine that stands for a provider, for one thread: 'cuda', or the CPU for any other."""
    name = "cuda" if provider == "cuda" else "cpu"
    text = files(__package__).joinpath("machines", f"{name}.json").read_text(encoding="utf-8")
    return Prices.from_dict(json.loads(text))
