"""Which tile is used when: no device is needed, since what trials tell is given."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.reason import Cause, Reason
from scission.passes.connectivity.tensor_cores import tuning
from scission.passes.connectivity.tensor_cores.launching import Arrays
from scission.passes.connectivity.tensor_cores.tiles import TILES, default_tile
from scission.passes.connectivity.tensor_cores.tuning import TRIAL, TileError, TileRace, tile_for

NOT = Reason(Cause.REFUSED, "here")
SECONDS = st.floats(1e-3, 10)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is told."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(tuning.time, "monotonic", lambda: now.seconds)
    return now


def test_a_few_products_are_computed_with_the_first_tile_and_nothing_is_tried():
    race = TileRace(list(TILES))
    for _ in range(9):
        assert race.pick(TRIAL / 10, lambda tile: None, lambda tile: 1 / 0) == TILES[0]
    assert not race.taken


@given(st.lists(st.tuples(SECONDS, SECONDS, st.booleans()), min_size=2, max_size=6), st.lists(SECONDS, max_size=60))
def test_trials_take_no_longer_than_the_work_but_for_one_and_the_fastest_is_used(tiles, works):
    """Each of (seconds of a product, seconds that its trial takes, whether it runs)."""
    told = dict(zip(TILES, tiles, strict=False))
    now, tried, longest = [0.0], [], TRIAL
    race = TileRace(list(told))
    runs = [tile for tile, (*_, works_here) in told.items() if works_here]

    def seconds(tile):
        tried.append(tile)
        now[0] += told[tile][1]
        return told[tile][0]

    def why_not(tile):
        return None if told[tile][2] else NOT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning.time, "monotonic", lambda: now[0])
        for work in works:
            if not runs:
                with pytest.raises(TileError, match="cannot be used"):
                    race.pick(work, why_not, seconds)
                return
            before = now[0]
            found = race.pick(work, why_not, seconds)
            longest = max(longest, *(sum(told[tile][1] for tile in pair) for pair in ((one, runs[0]) for one in runs)))
            assert race.spent == pytest.approx(now[0]) and race.spent <= race.work + longest
            assert now[0] == before or race.work >= TRIAL
            if not race.taken:
                assert found == runs[0]
            else:
                assert race.taken[found] <= min(race.taken.values()) / tuning.CLEARLY
    assert len(tried) == len(set(tried)) and set(tried) <= set(runs)


def test_all_tiles_are_tried_once_when_there_is_much_to_do(clock):
    spent = {tile: 5.0 - place / 2 for place, tile in enumerate(TILES)}
    race, tried = TileRace(list(TILES)), []
    for _ in range(3):
        found = race.pick(1e6, lambda tile: None, lambda tile: tried.append(tile) or spent[tile])
        assert found == TILES[-1] and tried == list(TILES)


def test_a_tile_that_is_hardly_faster_does_not_displace_the_first(clock):
    spent = dict.fromkeys(TILES, 1.0) | {TILES[3]: 0.995}
    assert TileRace(list(TILES)).pick(1e6, lambda tile: None, spent.get) == TILES[0]
    assert TileRace(list(TILES)).pick(1e6, lambda tile: None, (spent | {TILES[4]: 0.9}).get) == TILES[4]


def matrices(n, device="cpu"):
    room = torch.zeros((n, n), dtype=torch.uint8)
    return Arrays(*(SimpleNamespace(shape=room.shape, device=torch.device(device, 0)) for _ in range(3)))


def test_nothing_is_tried_without_a_gpu():
    assert tile_for(matrices(1 << 14), "fp8") == default_tile(1 << 14, 1 << 14)


def test_products_of_one_kind_share_a_race_and_others_have_their_own(monkeypatch):
    monkeypatch.setattr(tuning, "_races", {})
    monkeypatch.setattr(tuning, "_shared", lambda device: 227 << 10)
    monkeypatch.setattr(tuning, "why_not_tile", lambda *what: None)
    monkeypatch.setattr(tuning, "seconds_of", lambda arrays, tile, operand: TILES.index(tile) == 2 or 5.0)
    kinds = [(4097, "fp8"), (8191, "fp8"), (4097, "int8"), (8192, "fp8"), (9999, "fp8")]
    for n, operand in kinds:
        assert tile_for(matrices(n, "cuda"), operand) == TILES[0]
    assert len(tuning._races) == 4
    monkeypatch.setattr(tuning, "RATE", 1.0)
    assert tile_for(matrices(5001, "cuda"), "fp8") == TILES[2]
    monkeypatch.setattr(tuning, "RATE", 1e15)
    assert tile_for(matrices(6001, "cuda"), "fp8") == TILES[2]  # remembered
    assert tile_for(matrices(6001, "cuda"), "int8") == TILES[0]
