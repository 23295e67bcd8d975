import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.graph.recurrent import GATES
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.lowering.recurrent.cost import CPU, CUDA, Run, choose_recurrent, parallel_seconds, seconds

OPERATORS = sorted(GATES)
SOME = [Run(1, 1), Run(16, 1), Run(16, 16)]


def planted(op, sizes, **options):
    W, _, truth = recurrent_weights(np.random.default_rng(0), op, sizes, **options)
    return truth, W.shape[1]


def test_the_constants_are_positive_and_finite():
    for machine in (CPU, CUDA, CPU.threaded(4)):
        for name in machine.__slots__:
            value = getattr(machine, name)
            values = value.values() if isinstance(value, dict) else [value]
            assert all(0 <= v < math.inf for v in values)
            assert not isinstance(value, dict) or value.keys() == GATES.keys()


@given(st.sampled_from(OPERATORS), st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 64), st.integers(1, 64))
def test_more_work_takes_longer(op, features, hidden, positions, batch):
    for machine in (CPU, CUDA):
        base = seconds(op, features, hidden, Run(positions, batch), 4, machine)
        assert 0 < base < math.inf
        assert seconds(op, features + 1, hidden, Run(positions, batch), 4, machine) > base
        assert seconds(op, features, hidden + 1, Run(positions, batch), 4, machine) > base
        assert seconds(op, features, hidden, Run(positions + 1, batch), 4, machine) > base
        assert seconds(op, features, hidden, Run(positions, batch + 1), 4, machine) > base
        assert seconds(op, features, hidden, Run(positions, batch), 8, machine) >= base


@pytest.mark.parametrize("op", OPERATORS)
def test_scattered_blocks_cost_more_than_neighbours(op):
    sizes = [(32, 32)] * 4
    scattered, neighbours = planted(op, sizes), planted(op, sizes, contiguous=True)
    for run in SOME:
        assert parallel_seconds(scattered[0], op, scattered[1], run, 4, CPU) > parallel_seconds(
            neighbours[0], op, neighbours[1], run, 4, CPU
        )


@pytest.mark.parametrize("op", OPERATORS)
def test_large_blocks_are_chosen_and_small_ones_merged(op):
    truth, features = planted(op, [(64, 128)] * 8)
    choice = choose_recurrent(truth, op, features, SOME[1:], 4, [CPU])
    assert choice.lowering == "parallel" and choice.gain > 1.4
    truth, features = planted(op, [(2, 2)] * 64)
    choice = choose_recurrent(truth, op, features, SOME, 4, [CPU])
    assert choice.gain < 1 and len(choice.decomposition.blocks) < 64


@pytest.mark.parametrize("op", OPERATORS)
def test_one_block_saves_only_dormant_features(op):
    truth, features = planted(op, [(4, 4)])
    assert choose_recurrent(truth, op, features, SOME, 4, [CPU]) is None
    truth, features = planted(op, [(4, 4)], dormant=(400, 0))
    assert len(choose_recurrent(truth, op, features, SOME, 4, [CPU]).decomposition.blocks) == 1


def test_the_gain_is_the_worst_over_sequences_and_machines():
    truth, features = planted("LSTM", [(64, 64)] * 8)
    each = [
        choose_recurrent(truth, "LSTM", features, [run], 4, [machine]).gain
        for run in SOME
        for machine in (CPU, CPU.threaded(4))
    ]
    assert choose_recurrent(truth, "LSTM", features, SOME, 4, [CPU, CPU.threaded(4)]).gain <= min(each) + 1e-9


def test_an_rnn_without_a_state_to_begin_with_multiplies_nothing_at_first():
    fresh, given = (seconds("RNN", 8, 512, Run(1, 1, state), 4, CPU) for state in (False, True))
    assert fresh < given
    assert seconds("LSTM", 8, 512, Run(1, 1), 4, CPU) == seconds("LSTM", 8, 512, Run(1, 1, True), 4, CPU)
