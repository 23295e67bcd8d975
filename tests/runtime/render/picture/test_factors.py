"""Factors of a weight are drawn in its picture: a panel for each of them, and for each permutation that moves."""

from __future__ import annotations

import io

import numpy as np
import pytest
from factored import fourier, hadamard, random_hidden

from scission.runtime.render.picture.structure import picture
from scission.runtime.weights.source import from_array
from scission.runtime.weights.stages import as_product
from scission.runtime.weights.states import find, states_of

pytest.importorskip("matplotlib")
from matplotlib.image import imread
from picture_examples import texts

WEIGHTS = {
    "Hadamard": hadamard(64),
    "Fourier": fourier(64),
    "hidden": random_hidden(np.random.default_rng(2), 4, 5)[0],
    "one block": hadamard(16),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_factor_has_a_panel_with_its_blocks_and_extents(name):
    states = states_of(from_array(WEIGHTS[name], name), paper=False)
    structure, factors = find(states), as_product(WEIGHTS[name])
    words = texts(picture(structure, states, "svg", 0, factors))
    said = f"as a product of {len(factors.diagonals)} block-diagonal factors: {factors.macs:,} multiply-adds"
    assert said in words
    for one in factors.diagonals:
        rows, columns = one.shape
        assert f"of {rows} by {columns}" in words
        assert f"{one.count * rows:,} by {one.count * columns:,}" in words
    drawn = picture(structure, states, "png", 0, factors)
    without = picture(structure, states)
    pixels = [imread(io.BytesIO(one), format="png") for one in (drawn, without)]
    assert len(pixels[0]) > len(pixels[1]) or structure.size <= 60
    assert drawn == picture(structure, states, "png", 0, factors)
    assert not any("multiply-adds" in word for word in texts(picture(structure, states, "svg")))
