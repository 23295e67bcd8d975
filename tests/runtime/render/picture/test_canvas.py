from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure

from scission.runtime.render.picture import canvas as panel
from scission.runtime.render.picture import raster


@pytest.mark.parametrize("columns", [1, 64, 65, 512, 513, 5000])
def test_every_column_of_pixels_gets_a_whole_number_of_dots(columns):
    pixels = -(-columns // raster.pool(columns))
    dots = panel.resolution(columns) * panel.PANEL
    assert columns <= panel.DRAWN or (dots / pixels) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("size", "names"), [(3, ["a", "b", "c"]), (100, ["0", "20", "40", "60", "80"])])
def test_there_are_names_where_there_is_room_and_else_round_numbers(size, names):
    axes = Figure().add_axes((0, 0, 1, 1))
    panel.ticks(axes.xaxis, size, lambda: ["a", "b", "c"])
    assert [label.get_text() for label in axes.get_xticklabels()] == names


def test_pixels_with_few_edges_are_paler():
    axes = Figure().add_axes((0, 0, 1, 1))
    edges = np.full((1, 70), raster.INNER)
    panel.fill(axes, edges, np.zeros_like(edges), (1, 70), "title", np.linspace(0, 1, 70, dtype=np.float32)[None])
    blue = np.asarray(axes.images[0].get_array())[0, :, 2].astype(int)
    red = np.asarray(axes.images[0].get_array())[0, :, 0].astype(int)
    assert (np.diff(red) <= 0).all() and red[0] < 255 and (red[-1], blue[-1]) == (0, 0xB2)


@pytest.mark.parametrize("size", [(5, 9), (70, 90)])
def test_entries_are_squares_or_pixels(size):
    axes = Figure().add_axes((0, 0, 1, 1))
    kinds = np.zeros(size, np.uint8)
    kinds[0, 0] = raster.INNER
    panel.fill(axes, kinds, np.zeros_like(kinds), size, "title")
    assert bool(axes.images) is (max(size) > panel.DRAWN) and axes.get_ylim() == (size[0], 0)


def test_names_that_no_file_can_hold_are_spelt_out():
    def draw(figure):
        panel.head(figure, "a\x00\x1b\udcff --> <script>", "line", 2.0)
        panel.ticks(figure.add_axes((0, 0, 1, 1)).xaxis, 1, lambda: ["b\x00\u202e"])

    made = panel.drawn(draw, (2, 2), "svg", 72)
    ElementTree.fromstring(made)  # no XML holds a NUL
    assert r"a\x00\x1b\udcff" in made.decode() and r"b\x00\u202e" in made.decode()
