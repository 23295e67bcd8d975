import numpy as np
import pytest

from scission.ir.graph.recurrent import GATES, Recurrent
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.grain import Grain
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.lowering.protocol import worst_gain
from scission.passes.lowering.recurrent.cost import Run
from scission.passes.lowering.recurrent.lowering import CELLS
from scission.passes.lowering.target import Target
from scission.passes.planning.cell_candidates import Direction, cell_candidates

OPERATORS = sorted(GATES)
ONE = Target()
SOME = [Run(1, 1), Run(16, 1), Run(16, 16)]


def planted(op, sizes, runs, **options):
    W, _, truth = recurrent_weights(np.random.default_rng(0), op, sizes, **options)
    features, hidden = W.shape[1], truth.shape[1]
    node = ir.node(op, [ir.Value(name="x")], name="cell")
    cell = Recurrent(
        node=node,
        address="cell",
        index=0,
        count=1,
        direction="forward",
        features=features,
        hidden=hidden,
        dtype=ir.DataType.FLOAT,
        opset=17,
        in_function=False,
    )
    return Direction(cell=cell, blocks=truth, runs=runs)


def choose(op, sizes, runs=SOME, target=ONE, **options):
    found = cell_candidates([planted(op, sizes, runs, **options)], target, Grain())
    return max(found, key=lambda one: one.gain, default=None)


@pytest.mark.parametrize("op", OPERATORS)
def test_large_blocks_are_chosen_and_small_ones_merged(op):
    assert choose(op, [(64, 128)] * 8, SOME[1:]).gain > 1.4
    choice = choose(op, [(2, 2)] * 64)
    assert choice.gain < 1 and len(choice.decompositions[0].blocks) < 64


@pytest.mark.parametrize("op", OPERATORS)
def test_one_block_saves_only_dormant_features(op):
    assert choose(op, [(4, 4)]) is None
    assert len(choose(op, [(4, 4)], dormant=(400, 0)).decompositions[0].blocks) == 1


def test_the_gain_is_the_worst_over_sequences_and_prices():
    sizes, several = [(64, 64)] * 8, Target(threads=4)
    each = [choose("LSTM", sizes, [run]).gain for run in SOME] + [
        choose("LSTM", sizes, [run], several).gain for run in SOME
    ]
    assert choose("LSTM", sizes, SOME, several).gain <= min(each) + 1e-9


def test_directions_are_grouped_alike_and_the_slower_one_counts():
    two = [planted("GRU", [(16, 16)] * count, SOME) for count in (8, 4)]
    found = list(cell_candidates(two, Target(), Grain()))
    assert [[len(one.blocks) for one in made.decompositions] for made in found] == [[8, 4], [4, 4], [2, 2]]
    for made in found:
        gains = [
            worst_gain(CELLS, d.cell, one, d.runs, Target()) for d, one in zip(two, made.decompositions, strict=True)
        ]
        assert made.gain == min(gains)
    (parts,) = cell_candidates(two, Target(), Grain(parts=2))
    assert [len(one.blocks) for one in parts.decompositions] == [2, 2]
