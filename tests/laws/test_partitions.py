"""The oracle of `tests/bench/cover.py` against an even simpler one."""

import itertools

import numpy as np
import pytest
from bench.partitions import cheapest

COSTS = [(1, 0, 0, 0), (1, 0, 0, 3), (1, 2, 1, 10), (0.5, 5, 0, 30)]


def price_of(mac, read, write, launch):
    return lambda inputs, outputs: mac * inputs * outputs + read * inputs + write * outputs + launch


def by_labels(edges, price):
    """Every way to give each output the number of a group."""
    used = edges[:, edges.any(0)]
    totals = []
    for labels in itertools.product(range(used.shape[1]), repeat=used.shape[1]):
        groups = [used[:, np.array(labels) == label] for label in set(labels)]
        totals.append(sum(price(int(group.any(1).sum()), group.shape[1]) for group in groups))
    return min(totals)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_it_finds_what_trying_every_label_finds(density, cost):
    rng = np.random.default_rng(0)
    for K, N in ((1, 1), (4, 3), (6, 5), (3, 5)):
        edges = rng.random((K, N)) < density
        assert cheapest(edges, price_of(*cost)) == pytest.approx(by_labels(edges, price_of(*cost)))


def test_no_edge_costs_nothing():
    assert cheapest(np.zeros((3, 4), bool), price_of(1, 2, 3, 4)) == cheapest(np.zeros((0, 0), bool), max) == 0


def test_two_blocks_stay_apart_until_a_launch_costs_too_much():
    edges = np.kron(np.eye(2, dtype=bool), np.ones((3, 4), bool))
    assert cheapest(edges, price_of(1, 0, 0, 23)) == 2 * (12 + 23)
    assert cheapest(edges, price_of(1, 0, 0, 25)) == 48 + 25


def test_twelve_outputs_take_seconds():
    edges = np.random.default_rng(0).random((12, 12)) < 0.25
    assert cheapest(edges, price_of(1, 2, 1, 10)) == 136
