"""What the kernel is compiled to, for a card that need not be here; whether it multiplies is asked of its callers."""

import json
import os
import subprocess
import sys

import pytest
import triton_here

from scission.passes.connectivity.tensor_cores.kernel import is_interpreted
from scission.passes.connectivity.tensor_cores.tiles import TILES

# In a process of its own: triton either interprets or compiles.
PROGRAM = """
import json, re, sys
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from scission.passes.connectivity.tensor_cores.kernel import kernel, total
from scission.passes.connectivity.tensor_cores.tiles import Tile

operand, *numbers = sys.argv[1:]
tile = Tile(*map(int, numbers))
kind = {"fp8": "fp8e4nv", "int8": "i8"}[operand]
rows, columns, depth = tile.rows, tile.columns, tile.depth
described = lambda dtype, *sides: f"tensordesc<{dtype}[{sides[0]},{sides[1]}]>"
signature = {
    "left": described(kind, rows, depth), "right": described(kind, columns, depth),
    "found": described("u8", rows, columns), "known": described("u8", rows, columns),
    "turned": described("u8", columns, rows), "flags": "*i32", "extents": ("i32",) * 3,
    "tile": ("constexpr",) * len(tile.constants), "squared": "constexpr", "total": "constexpr",
}
place = list(signature).index
constants = {(place("tile"), index): value for index, value in enumerate(tile.constants)}
constants |= {(place("squared"),): True, (place("total"),): total(operand)}
found = compile(ASTSource(kernel, signature, constexprs=constants), target=GPUTarget("cuda", 90, 32),
                options={"num_warps": tile.warps, "num_stages": tile.stages})
ptx = found.asm["ptx"]
print(json.dumps({"products": sorted(set(re.findall(r"wgmma[.]mma_async[^ ;]*", ptx))),
                  "copies": len(re.findall(r"cp[.]async[.]bulk[.]tensor", ptx)), "shared": found.metadata.shared}))
"""


@pytest.mark.parametrize("operand", ["fp8", "int8"])
def test_hopper_multiplies_eight_bits_in_its_widest_instructions_and_copies_whole_tiles(operand):
    tile = TILES[0]
    numbers = map(str, (tile.rows, tile.columns, tile.depth, tile.warps, tile.stages))
    apart = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = [sys.executable, "-W", "ignore", "-c", PROGRAM, operand, *numbers]
    told = json.loads(subprocess.run(run, env=apart, capture_output=True, text=True, check=True).stdout)
    kind = {"fp8": "e4m3.e4m3", "int8": "s8.s8"}[operand]
    assert told["products"] and all(name.endswith(kind) for name in told["products"])
    assert told["copies"] and told["shared"] <= 227 << 10


def test_it_is_interpreted_where_there_is_no_gpu():
    assert is_interpreted() == (triton_here.DEVICE == "cpu")
