import io
import json

import numpy as np
import pytest
from digraphs import EXAMPLE, TABLE_A2, digraph
from factored import hadamard
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scission.runtime.render.text import structure as report
from scission.runtime.weights.source import from_array
from scission.runtime.weights.stages import as_product
from scission.runtime.weights.states import find, states_of


def of(A, name="w", **options):
    states = states_of(from_array(np.asarray(A), name), paper=True, **options)
    return find(states), states


def text(view):
    stream = io.StringIO()
    Console(file=stream, width=200).print(view)
    return stream.getvalue()


def shown(A, *args, **options):
    return text(report.structure_view(*of(A, **options), *args))


def test_the_node_table_is_the_papers():
    lines = shown(EXAMPLE, 1).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("new"))
    assert lines[start].split() == ["new", "node", "SCC", "component", "layer", "isolated"]
    rows = [tuple(map(int, line.split())) for line in lines[start + 1 : start + 19]]
    assert rows == TABLE_A2


def test_the_worked_example_is_summed_up():
    lines = shown(EXAMPLE, 1, name="[red]w[/]").splitlines()
    assert lines[0] == "[red]w[/]: 18 states, 23 edges, 9 SCCs, 4 components, 3 layers, 1 isolated"
    assert "50.0% of the states" in lines[1] and "'graph'" in lines[1]
    words = [line.split() for line in lines]
    assert ["1", "4", "8", "1", "(3),", "4", "(2),", "5,", "9", "(2)"] in words  # layer 1
    assert ["2", "6", "3", "3", "6,", "7,", "12,", "13,", "14,", "15"] in words  # component 2
    assert ["isolated", "1", "1", "1", "9"] in words


def test_long_tables_are_cut_unless_everything_is_asked_for():
    A = np.kron(np.eye(30), np.ones((3, 3)))
    short, full = shown(A), shown(A, 0, True)
    assert "and 50 more (--all shows them)" in short and "and 18 more (--all shows them)" in short
    assert "--all" not in full and len(full.splitlines()) > 90 + 30
    assert "22 more" in shown(np.eye(30))  # SCCs of the one layer
    chain = np.eye(40, k=-1)
    assert "and 28 more" in shown(chain) and "--all" not in shown(chain, 0, True)


def test_inputs_and_outputs_are_told_apart():
    view = shown(np.eye(2, 3), scope="operator")
    for name in ("in 0", "in 2", "out 1"):
        assert name in view


@pytest.mark.parametrize("A", [np.zeros((1, 1)), np.ones((1, 1)), np.zeros((5, 5)), np.ones((5, 5))])
def test_graphs_without_anything_to_tell(A):
    for first in (0, 1):
        assert text(report.structure_view(*of(A), first))


@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.sampled_from([0, 1]))
def test_json_holds_everything(seed, n, first):
    A = digraph(np.random.default_rng(seed), n)
    found, states = of(A)
    data = json.loads(json.dumps(report.to_dict(found, states, first), allow_nan=False))
    order, new = np.array(data["order"]) - first, np.array(data["new"]) - first
    np.testing.assert_array_equal(order[new], np.arange(n))
    for name in ("scc", "component", "layer"):
        np.testing.assert_array_equal(np.array(data[name]) - first, getattr(found, name))
    assert data["isolated"] == found.isolated.tolist()
    edges = {(data["scc"][j], data["scc"][i]) for i, j in np.argwhere(A).tolist()}
    assert sorted(map(tuple, data["couplings"])) == sorted((s, t) for s, t in edges if s != t)
    assert data["summary"]["edges"] == A.sum() and data["summary"]["states"] == n
    assert data["summary"]["isolated"] == sum(data["isolated"])


def test_too_many_couplings_are_counted_only(monkeypatch):
    monkeypatch.setattr(report, "MOST_COUPLINGS", 2)
    assert report.to_dict(*of(np.tril(np.ones((3, 3)))))["couplings"] is None
    assert report.to_dict(*of(np.eye(3, k=-1)))["couplings"] == [[0, 1], [1, 2]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_the_summary_of_an_operator_needs_no_states(seed, threshold):
    rng = np.random.default_rng(seed)
    W = rng.random(rng.integers(1, 12, 2)) * (rng.random() < 0.9)
    W[rng.random(W.shape) < 0.8] = 0
    weight = from_array(W)
    states = states_of(weight, scope="operator", threshold=threshold)
    quick = report.summarize_operator(weight, threshold)
    slow = report.summarize(find(states), states)
    assert {**vars_of(quick), "engine": ""} == {**vars_of(slow), "engine": ""}
    assert str(quick.states) in text(report.oversized_view(quick, "w"))
    assert report.oversized_dict(quick, "w")["summary"]["components"] == quick.components


def vars_of(summary):
    return {name: getattr(summary, name) for name in summary.__slots__}


def test_the_factors_of_a_product_are_told():
    weight = hadamard(64)
    found, states = of(weight)
    factors = as_product(weight)
    told = text(report.structure_view(found, states, 0, False, factors))
    for one in factors.diagonals:
        assert f"{one.count} blocks {one.shape[0]}x{one.shape[1]}" in told
    listed = report.to_dict(found, states, 0, factors)["factors"]
    assert sum(one["blocks"] * one["inputs"] * one["outputs"] for one in listed) == factors.macs
    assert report.to_dict(found, states)["factors"] is None
