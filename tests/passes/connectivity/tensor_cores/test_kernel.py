"""What the kernel is compiled to, for a card that need not be here; whether it multiplies is asked of its callers."""

import json
import os
import subprocess
import sys

import pytest
import triton_here

from scission.passes.connectivity.tensor_cores.kernel import is_interpreted
from scission.passes.connectivity.tensor_cores.tiles import OTHER, TILES

# In a process of its own: triton either interprets or compiles. It is told that a Hopper is there, on which nothing is
# launched, so that what is compiled is what a launch would run.
PROGRAM = """
import contextlib, json, re
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction
from scission.passes.connectivity.tensor_cores.launching import Arrays, padded, queue
from scission.passes.connectivity.tensor_cores.tiles import TILES


class Hopper:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)


driver.set_active(Hopper())
launch, compiled = JITFunction.run, []
JITFunction.run = lambda kernel, *args, warmup, **more: compiled.append(launch(kernel, *args, warmup=True, **more))
room = lambda: padded(600, 600, torch.device("cpu"))
flags = torch.zeros(2, dtype=torch.int32)
plain, square = Arrays(room(), room(), room()), Arrays(room(), room(), room(), room(), flags)
asked = [(square, tile, "fp8") for tile in TILES] + [(square, TILES[0], "int8"), (plain, TILES[0], "fp8")]
for arrays, tile, operand in asked:
    queue(arrays, tile, operand)
    ptx = compiled[-1].asm["ptx"]
    print(json.dumps({
        "operand": operand, "tile": TILES.index(tile), "shared": compiled[-1].metadata.shared,
        "products": sorted(set(re.findall(r"wgmma[.]mma_async[^ ;]*", ptx))),
        "copies": len(re.findall(r"cp[.]async[.]bulk[.]tensor", ptx)),
    }))
"""


@pytest.fixture(scope="module")
def compiled():
    """What every launch is compiled to: all tiles, both operands, squares and not."""
    apart = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    return list(map(json.loads, subprocess.run(run, env=apart, stdout=subprocess.PIPE, check=True).stdout.splitlines()))


def test_hopper_multiplies_eight_bits_in_its_widest_instructions_and_copies_whole_tiles(compiled):
    assert [one["tile"] for one in compiled] == [*range(len(TILES)), 0, 0]
    for one in compiled:
        kind = {"fp8": "e4m3.e4m3", "int8": "s8.s8"}[one["operand"]]
        assert one["products"] and all(name.endswith(kind) for name in one["products"])
        assert one["copies"]


def test_tiles_take_the_shared_memory_that_they_are_said_to_take(compiled):
    for one in compiled:
        assert TILES[one["tile"]].shared <= one["shared"] <= min(TILES[one["tile"]].shared + OTHER, 227 << 10)


def test_it_is_interpreted_where_there_is_no_gpu():
    assert is_interpreted() == (triton_here.DEVICE == "cpu")
