"""Hidden units of experts of packed integers that do nothing go in whole blocks, with their scales and zero points."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_packed_experts import MS, packed, packed_experts
from reference import model as model_of
from reference import node
from without_channels import agrees, found_in, without

COUNT, WIDTH, HIDDEN = 3, 16, 96
BLOCK = 16


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_packed_experts_without_units_that_do_nothing_compute_the_same(seed):
    proto, feeds = packed_experts(seed)
    if oracles.runs(proto, feeds) is not None:  # both products are of as many bits
        assert agrees(proto, without(proto), feeds)


def planted(bits=4, block=0, function="relu", zeros=False, idle=(), unread=(), **more):
    """Experts of which units are zero, or nobody reads them."""
    rng = np.random.default_rng(0)
    rows = 2 if function == "swiglu" else 1
    middle = 1 << (bits - 1)
    up = rng.integers(0, 2 * middle, (COUNT, HIDDEN, rows, WIDTH))
    down = rng.integers(0, 2 * middle, (COUNT, WIDTH, HIDDEN))
    bias = rng.standard_normal((COUNT, HIDDEN, rows)).astype(np.float32)
    up[:, list(idle)], bias[:, list(idle)], down[:, :, list(unread)] = middle, 0, middle
    ends = [(COUNT, HIDDEN * rows), (COUNT, WIDTH)]
    if block:
        ends = [(*ends[0], WIDTH // block), (*ends[1], HIDDEN // block)]
    held = {"up": packed(up.reshape(COUNT, -1, WIDTH), bits), "bias": bias.reshape(COUNT, -1)}
    held |= {"down": packed(down, bits)}
    held |= {
        name: rng.uniform(0.01, 0.1, shape).astype(np.float32) for name, shape in zip(("su", "sd"), ends, strict=True)
    }
    held |= {
        name: packed(np.full(shape, middle), bits) for name, shape in zip(("zu", "zd"), ends, strict=True) if zeros
    }
    attributes = {"swiglu_fusion": 1} if rows == 2 else {}
    attributes |= {"block_size": block} if block else {}
    names = "x r up su bias down sd" + (" - - - - zu zd" if zeros else "")
    attributes |= {"k": 2, "activation_type": function, "expert_weight_bits": bits} | more
    moe = node("QMoE", names, "y", "moe", MS, **attributes)
    inputs = {"x": ["n", WIDTH], "r": ["n", COUNT]}
    return model_of([moe], inputs, {"y": ["n", WIDTH]}, held, opset=17, ir_version=9, domains=[MS])


def sizes(proto):
    held = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    (moe,) = proto.graph.node
    return [held[name] for name in moe.input[2:] if name]


@pytest.mark.parametrize("function", ["relu", "gelu", "silu", "identity", "swiglu"])
@pytest.mark.parametrize("bits", [4, 8])
def test_units_with_a_scale_for_each_row_go_and_a_multiple_of_sixteen_stays(function, bits):
    proto = planted(bits, function=function, zeros=True, idle=range(10, 30), unread=range(30, 70))
    rows, each = 2 if function == "swiglu" else 1, 8 // bits
    up, scales, bias, down, ends, zeros, other = sizes(without(proto))
    assert (up, scales, bias) == ([COUNT, 48 * rows, WIDTH // each], [COUNT, 48 * rows], [COUNT, 48 * rows])
    assert (down, ends) == ([COUNT, WIDTH, 48 // each], [COUNT, WIDTH])
    assert (zeros, other) == ([COUNT, 48 * rows // each], [COUNT, WIDTH // each])


@pytest.mark.parametrize("zeros", [False, True])
def test_units_with_scales_for_blocks_go_in_whole_blocks(zeros):
    proto = planted(block=BLOCK, zeros=zeros, unread=[*range(20), *range(32, 70)])
    found = sizes(without(proto))
    # Blocks 0, 2 and 3 are unread. Two zero points are one byte: of blocks 0 and 1 both stay.
    left = 64 if zeros else 48
    assert found[:2] == [[COUNT, left, WIDTH // 2], [COUNT, left, 1]]
    assert found[3:5] == [[COUNT, WIDTH, left // 2], [COUNT, WIDTH, left // BLOCK]]


@pytest.mark.parametrize(
    "proto",
    [
        planted(8, block=BLOCK, unread=range(48)),  # activations are rounded to integers
        planted(4, block=BLOCK, accuracy_level=4, unread=range(48)),
        planted(4, weights_prepacked=1, unread=range(48)),
        planted(4, function="sigmoid", unread=range(48)),
    ],
)
def test_what_is_rounded_stored_otherwise_or_not_known_stays(proto):
    assert found_in(proto)[1] == ()
