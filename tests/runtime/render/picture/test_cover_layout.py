import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission import Block, Decomposition
from scission.passes.decompose.blocks import in_order, transposed
from scission.runtime.render.picture import raster
from scission.runtime.render.picture.cover_layout import arrange, shade


def groups(seed, layered=False, split_k=False):
    """Random groups of outputs over random inputs, some of them read by nobody."""
    rng = np.random.default_rng(seed)
    K, N = (int(size) for size in rng.integers(1, 30, 2))
    owner = rng.integers(-1, 4, N)
    blocks = []
    for group in range(4):
        reads = np.flatnonzero(rng.random(K) < rng.choice([0.1, 0.5, 1]))
        if reads.size and (owner == group).any():
            blocks.append(Block(reads, np.flatnonzero(owner == group)))
    layers = tuple((int(layer), int(layer)) for layer in rng.permutation(len(blocks))) if layered else ()
    found = Decomposition((K, N), tuple(blocks), layers)
    return transposed(found) if split_k else found


CASES = st.builds(groups, st.integers(0, 2**32 - 1), st.just(False), st.booleans())


@given(CASES)
def test_rectangles_hold_what_the_groups_hold(found):
    shown = arrange(found)
    K, N = found.shape
    np.testing.assert_array_equal(np.sort(shown.outputs), np.arange(N))
    np.testing.assert_array_equal(np.sort(shown.inputs), np.arange(K))
    drawn = np.zeros((N, K), int)
    for one in shown.rectangles:
        drawn[one.top : one.bottom, one.left : one.right] += 1
    np.testing.assert_array_equal(drawn, found.inside().T[np.ix_(shown.outputs, shown.inputs)])


@given(CASES, st.sampled_from([512, 7, 1]))
def test_pixels_are_shaded_where_there_is_a_rectangle(found, pixels):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "PIXELS", pixels)
        shown = arrange(found)
        shaded = shade(shown)
        edges = raster.edges(
            raster.Relation.of_rows(found.shape[::-1], [found.inside().T]),
            raster.RasterAxes(shown.outputs, shown.inputs, np.zeros(max(found.shape), np.int64)),
        )
    np.testing.assert_array_equal(shaded != raster.EMPTY, edges != raster.EMPTY)


def test_inputs_of_many_groups_are_shaded_apart():
    found = Decomposition((5, 3), (Block([0, 1, 2], [0]), Block([2, 3], [1]), Block([0, 1, 2, 3, 4], [2])))
    shaded = shade(arrange(found))
    own, shared, none = raster.GROUP_BLOCK, raster.COUPLING_BLOCK, raster.EMPTY
    assert shaded.tolist() == [[own, own, shared, none, none], [none, none, shared, own, none], [shared] * 5]


def test_row_groups_come_in_the_order_of_their_layers():
    found = Decomposition((2, 2), (Block([0, 1], [0]), Block([1], [1])), ((1, 1), (0, 0)))
    assert [block.outputs.tolist() for block in in_order(found)] == [[1], [0]]
    assert arrange(found).outputs.tolist() == [1, 0] and arrange(found).inputs.tolist() == [1, 0]


def test_a_band_looks_like_a_band():
    windows = [Block(np.arange(start, start + 4), [start // 2]) for start in range(0, 12, 2)]
    shuffle = np.random.default_rng(0).permutation(14)
    blocks = tuple(Block(np.sort(shuffle[block.inputs]), block.outputs) for block in windows)
    shown = arrange(Decomposition((14, 6), blocks))
    reach = [(one.group, one.left, one.right) for one in shown.rectangles]
    assert all(left >= 2 * group and right <= 2 * group + 4 for group, left, right in reach)
