import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.graph.recurrent import GATES
from scission.models.planted.recurrent import recurrent_weights
from scission.passes.lowering.prices import prices_of
from scission.passes.lowering.recurrent.cost import Run, parallel_seconds, seconds

OPERATORS = sorted(GATES)
CPU, CUDA = (prices_of(provider).cells for provider in ("cpu", "cuda"))
SOME = [Run(1, 1), Run(16, 1), Run(16, 16)]


def planted(op, sizes, **options):
    W, _, truth = recurrent_weights(np.random.default_rng(0), op, sizes, **options)
    return truth, W.shape[1]


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


def test_an_rnn_without_a_state_to_begin_with_multiplies_nothing_at_first():
    fresh, given = (seconds("RNN", 8, 512, Run(1, 1, state), 4, CPU) for state in (False, True))
    assert fresh < given
    assert seconds("LSTM", 8, 512, Run(1, 1), 4, CPU) == seconds("LSTM", 8, 512, Run(1, 1, True), 4, CPU)
