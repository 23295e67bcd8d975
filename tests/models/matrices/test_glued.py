import numpy as np
import pytest
from oracles import components, covers

from scission.models.matrices.glued import build


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "residual"), [(1, 0, 5), (0, 2, 0), (2, 1, 7), (0, 0, 9), (0, 0, 0)])
def test_the_weight_is_blocks_and_glue_and_nothing_else(inputs, outputs, residual, shuffle):
    glued = build(np.random.default_rng(0), 4, 6, inputs, outputs, residual, shuffle)
    assert glued.W.shape == (24, 24) and glued.W.dtype == np.float32
    expected = glued.blocks.inside()
    assert not expected[glued.residual[:, 0], glued.residual[:, 1]].any()
    expected[glued.inputs] = True
    expected[:, glued.outputs] = True
    assert (
        not np.isin(glued.residual[:, 0], glued.inputs).any() and not np.isin(glued.residual[:, 1], glued.outputs).any()
    )
    expected[glued.residual[:, 0], glued.residual[:, 1]] = True
    assert np.array_equal(glued.W != 0, expected)
    assert (len(glued.inputs), len(glued.outputs), len(glued.residual)) == (inputs, outputs, residual)
    assert len({tuple(entry) for entry in glued.residual}) == residual


def test_one_dense_input_or_output_leaves_one_component():
    for inputs, outputs, count in ((1, 0, 1), (0, 1, 1), (0, 0, 4)):
        assert components(build(np.random.default_rng(1), 4, 3, inputs, outputs, residual=0).W)[2] == count


@pytest.mark.parametrize(("inputs", "outputs", "residual"), [(1, 0, 5), (0, 2, 0), (2, 1, 7), (0, 0, 0)])
def test_the_cover_holds_every_entry_in_little_more_than_the_blocks(inputs, outputs, residual):
    glued = build(np.random.default_rng(2), 4, 6, inputs, outputs, residual)
    assert covers(glued.W, glued.cover)
    assert sorted(np.concatenate([b.outputs for b in glued.cover.blocks])) == list(range(24))
    assert len(glued.cover.blocks) == 4 + outputs
    assert glued.cover.mac_share * 576 <= 144 + (inputs + residual) * 24 + outputs * 24
    for block in glued.cover.blocks:  # no group reads what none of its outputs needs
        assert (glued.W[np.ix_(block.inputs, block.outputs)] != 0).any(1).all()


def test_outputs_of_a_block_that_are_all_dense_leave_no_group_behind():
    glued = build(np.random.default_rng(0), blocks=2, size=1, inputs=0, outputs=2, residual=0)
    assert [b.shape for b in glued.cover.blocks] == [(2, 1), (2, 1)]


def test_blocks_follow_one_another_unless_shuffled():
    plain, hidden = (build(np.random.default_rng(0), 3, 5, shuffle=shuffle).blocks for shuffle in (False, True))
    assert all(np.ptp(b.inputs) == np.ptp(b.outputs) == 4 for b in plain.blocks)
    assert not any(np.ptp(b.outputs) == 4 for b in hidden.blocks)


@pytest.mark.parametrize("options", [{"inputs": 7}, {"outputs": 7}, {"residual": 100}])
def test_more_glue_than_there_is_room_for_is_refused(options):
    with pytest.raises(ValueError, match="larger sample"):
        build(np.random.default_rng(0), 2, 3, **options)
