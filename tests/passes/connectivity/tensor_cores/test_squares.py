import numpy as np
import pytest
import torch
from digraphs import KINDS, digraph
from hypothesis import given, settings
from hypothesis import strategies as st
from triton_here import DEVICE

from scission.passes.connectivity import closure as module
from scission.passes.connectivity.closure import closure
from scission.passes.connectivity.tensor_cores.squares import Squares
from scission.passes.connectivity.tensor_cores.tiles import PROBE, Tile

TILES = (Tile(16, 32, 16, 4, 2), Tile(32, 16, 32, 4, 3), Tile(64, 64, 32, 4, 2))
OPERANDS = ("int8", "fp8")


def squared(R):
    return R.float() @ R.float() > 0


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 15, 16, 17, 31, 45, 70]),
    st.sampled_from(KINDS),
    st.sampled_from(TILES),
    st.sampled_from(OPERANDS),
)
def test_every_square_is_the_product_and_tells_whether_it_grew_and_is_full(seed, n, kind, tile, operand):
    R = torch.from_numpy(digraph(np.random.default_rng(seed), n, kind) | np.eye(n, dtype=bool)).to(DEVICE)
    squares = Squares(R.clone(), 3, tile, operand)
    for _ in range(3):
        want = squared(R)
        grew, full = squares.square().tolist()
        assert torch.equal(squares.relation, want)
        assert (bool(grew), bool(full)) == (not torch.equal(want, R), bool(want.all()))
        R = want


@pytest.mark.parametrize("operand", OPERANDS)
def test_a_dense_tile_is_left_early_only_when_nothing_is_missing(operand):
    """Rows beyond those that are looked at first decide some entries: only by way of the last state 0 reaches 1."""
    n = PROBE + 90
    R = torch.rand(n, n, generator=torch.Generator().manual_seed(0)) < 0.6
    R[:, 1], R[0, :] = False, False
    R[0, n - 1] = R[n - 1, 1] = True
    R.fill_diagonal_(True)
    want = squared(R)
    assert want[0, 1] and not want.all()
    squares = Squares(R.to(DEVICE), 1, Tile(128, 128, 128, 4, 3), operand)
    assert squares.square().tolist() == [1, 0]
    assert torch.equal(squares.relation.cpu(), want)
    dense = (torch.rand(n, n, generator=torch.Generator().manual_seed(1)) < 0.5).fill_diagonal_(True)
    squares = Squares(dense.to(DEVICE), 1, Tile(128, 256, 128, 8, 3), operand)
    assert squares.square().tolist() == [1, 1] and squares.relation.all()


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 3, 17, 48]), st.sampled_from(KINDS), st.booleans())
def test_closures_by_the_kernel_are_those_of_torch(seed, n, kind, reflexive):
    A = torch.from_numpy(digraph(np.random.default_rng(seed), n, kind)).to(DEVICE)
    before = A.clone()
    found = closure(A, reflexive=reflexive, arithmetic="fused")
    assert torch.equal(found, closure(A, reflexive=reflexive, arithmetic="float32")) and torch.equal(A, before)
    assert found.is_contiguous()


def test_squaring_stops_as_soon_as_it_adds_nothing(monkeypatch):
    real, taken = module.Squares.square, []
    monkeypatch.setattr(module.Squares, "square", lambda self: taken.append(1) or real(self))
    late = DEVICE == "cuda"  # the host looks one squaring behind there
    for A, count in ((torch.eye(40), 1), (torch.eye(40).roll(1, 0), 6), (torch.ones(40, 40), 0)):
        taken.clear()
        closure(A.bool().to(DEVICE), arithmetic="fused")
        assert len(taken) in ({count, count + 1} if late else {count})


def test_batches_go_another_way():
    A = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.1
    assert torch.equal(closure(A.to(DEVICE), arithmetic="fused"), closure(A.to(DEVICE), arithmetic="float32"))
