"""Models of index work take shares of values and join them again, whatever the values are called."""

import numpy as np
import pytest
from random_parts import run_model

from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.parts.manifest import PartValue
from scission.ir.parts.share import share_of
from scission.passes.rewrite.parts.index_models import joining, taking


@pytest.mark.parametrize("name", ["x", "index/0", "index/constant_0", "index_/1"])
def test_shares_that_are_taken_are_joined_to_the_value_again(name):
    """Values may have the names that index work gives to its own."""
    value = PartValue(name, "float32", ("n", 6))
    owners = np.array([0, 1, 0, 2, 1, 2])
    shares = {f"index/{at}x": share_of(name, {1: owners == at}) for at in range(3)}
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    pieces = run_model(ir.to_proto(taking([value], shares, "taking")), {name: x})
    assert all(np.array_equal(pieces[piece], share.of(x)) for piece, share in shares.items())
    made = run_model(ir.to_proto(joining([value], shares, "joining")), pieces)
    assert np.array_equal(made[name], x)
