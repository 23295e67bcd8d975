import pytest

from scission.passes.connectivity.tensor_cores.tiles import (
    OTHER,
    PROBE,
    TILES,
    Tile,
    by_fit,
    default_tile,
    fastest,
)


@pytest.mark.parametrize("sides", [(100, 64, 64), (8, 64, 64), (64, 64, 2 * PROBE), (64, 0, 64)])
def test_sides_are_powers_of_two_and_the_depth_divides_what_is_looked_at(sides):
    with pytest.raises(ValueError, match="powers of two from 16"):
        Tile(*sides, 4, 3)


def test_what_a_stage_holds_fits_the_shared_memory_of_hopper():
    for tile in TILES:
        assert tile.shared + OTHER <= 227 << 10
        assert tile.rows * tile.columns / (32 * tile.warps) <= 128  # sums a thread holds, half of its registers


def test_large_products_get_large_tiles_and_small_ones_many_programs():
    assert default_tile(16384, 16384).rows * default_tile(16384, 16384).columns == 128 * 256
    assert default_tile(1024, 2048).programs(1024, 2048) >= 128
    assert default_tile(10, 10) == min(TILES, key=lambda tile: tile.rows * tile.columns)
    assert Tile(64, 128, 64, 4, 3).programs(65, 128) == 2


def test_the_fastest_tile_is_one_that_runs():
    spent = dict(zip(TILES, (3.0, None, 1.0, 2.0, None, 5.0, 4.0, None, 9.0), strict=True))
    tile, taken = fastest(spent.get)
    assert tile == TILES[2] and taken == {tile: seconds for tile, seconds in spent.items() if seconds is not None}
    with pytest.raises(ValueError, match="no tile"):
        fastest(lambda tile: None)


@pytest.mark.parametrize(
    ("kibibytes", "sides"), [(227, (128, 256)), (163, (128, 256)), (99, (128, 256)), (64, (64, 64)), (9, (64, 64))]
)
def test_cards_with_less_shared_memory_get_tiles_that_fit_it(kibibytes, sides):
    tiles = by_fit(8192, 8192, kibibytes << 10)
    assert len(set(tiles)) == len(tiles) and (tiles[0].rows, tiles[0].columns) == sides
    assert all(tile.shared + OTHER <= kibibytes << 10 for tile in tiles) or len(tiles) == 1
    assert set(by_fit(8192, 8192, 227 << 10)) == set(TILES)
    assert by_fit(10, 10, 227 << 10)[0] == default_tile(10, 10)
