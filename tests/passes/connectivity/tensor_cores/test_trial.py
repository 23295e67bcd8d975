import pytest
import torch
from digraphs import CUDA
from triton_here import DEVICE

from scission.ir.reason import Cause
from scission.passes.connectivity.tensor_cores import trial
from scission.passes.connectivity.tensor_cores.launching import Arrays, octets_of, padded
from scission.passes.connectivity.tensor_cores.tiles import TILES, Tile
from scission.passes.connectivity.tensor_cores.trial import divided, seconds_of, why_not_tile

HERE = torch.device(DEVICE)
SMALL = Tile(64, 64, 64, 4, 3)


def asked(tile, squared, even=(False, False, False), operand="int8"):
    return why_not_tile.__wrapped__(HERE, tile, operand, squared, even)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("squared", [False, True])
def test_every_tile_is_right_at_odd_sizes(tile, squared):
    assert asked(tile, squared) is None


@pytest.mark.parametrize("even", [(True, True, True), (True, False, True), (False, True, False)])
def test_sides_are_divided_as_those_of_the_product_that_is_asked_about(monkeypatch, even):
    seen, real = [], trial.queue
    monkeypatch.setattr(trial, "SIDE", 72)
    monkeypatch.setattr(trial, "queue", lambda arrays, *rest: seen.append(arrays) or real(arrays, *rest))
    assert asked(SMALL, False, even) is None
    assert divided(seen[0]) == even


@pytest.mark.parametrize("spoilt", ["found", "turned", "flags"])
def test_a_tile_that_writes_anything_wrong_is_not_used(monkeypatch, spoilt):
    monkeypatch.setattr(trial, "SIDE", 72)
    real = trial.queue

    def wrong(arrays, *rest):
        real(arrays, *rest)
        getattr(arrays, spoilt)[(1,) if spoilt == "flags" else (71, 0)].logical_not_()

    monkeypatch.setattr(trial, "queue", wrong)
    assert asked(SMALL, True).cause is Cause.DIFFERENT


def test_a_tile_that_does_not_run_is_not_used(monkeypatch):
    monkeypatch.setattr(trial, "queue", lambda *rest: 1 / 0)
    found = asked(SMALL, False)
    assert found.cause is Cause.REFUSED and "ZeroDivisionError" in str(found)


@pytest.mark.parametrize("tile", [pytest.param(tile, marks=CUDA) for tile in TILES])
def test_a_trial_takes_time_and_writes_the_product(tile):
    R = (torch.rand(700, 700, device="cuda") < 0.03).fill_diagonal_(True)
    arrays = Arrays(octets_of(R), octets_of(R.t()), padded(700, 700, HERE))
    if why_not_tile(R.device, tile, "int8", False, divided(arrays)) is None:
        assert seconds_of(arrays, tile, "int8") > 0
        assert torch.equal(arrays.found.view(torch.bool), R.float() @ R.float() > 0)
