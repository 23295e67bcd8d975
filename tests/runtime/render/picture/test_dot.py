import re

import numpy as np
import pytest
from digraphs import EXAMPLE, digraph
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.render.picture import dot as module
from scission.runtime.render.picture.dot import DotError, dot
from scission.runtime.weights.source import from_array
from scission.runtime.weights.states import find, states_of

STRING = r'"(?:[^"\\]|\\.)*"'
ID = rf"(?:{STRING}|[A-Za-z_]\w*|[\d.]+)"
ATTRIBUTES = rf"\[\w+={ID}(?:,\ \w+={ID})*\]"
STATEMENT = re.compile(
    rf"""\s*(?:
        (?P<open>digraph\ {STRING}\ \{{|subgraph\ \w+\ \{{)(?P<rest>.*) | (?P<close>\}})
        | (?P<edge>n\d+\ ->\ n\d+)(?:\ {ATTRIBUTES})?; | (?P<node>n\d+)\ {ATTRIBUTES};
        | (?:graph|node|edge)\ {ATTRIBUTES}; | (?:\w+={ID};\s*)+
        | \{{\ rank=same;(?P<rank>(?:\ n\d+;)+)\ \}})\s*""",
    re.VERBOSE,
)


def parsed(text):
    """(nodes, edges, ranks, clusters) of a graph in the part of the language that is used; fails on anything else."""
    nodes, edges, ranks, clusters, depth = [], [], [], 0, 0
    for line in text.splitlines():
        found = STATEMENT.fullmatch(line)
        assert found, line
        if found["open"]:
            assert not found["rest"] or STATEMENT.fullmatch(found["rest"]), line
            depth += 1
            clusters += found["open"].startswith("subgraph")
        depth -= bool(found["close"])
        nodes += [found["node"]] if found["node"] else []
        edges += [tuple(int(end[1:]) for end in found["edge"].split(" -> "))] if found["edge"] else []
        ranks += [[int(name.strip(" n;")) for name in found["rank"].split()]] if found["rank"] else []
    assert depth == 0 and text.endswith("}\n")
    return [int(node[1:]) for node in nodes], edges, ranks, clusters


def of(A, name="w", **options):
    states = states_of(from_array(np.asarray(A), name), paper=True, **options)
    return find(states), states


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_few_states_are_drawn_one_by_one(seed, n):
    A = digraph(np.random.default_rng(seed), n)
    found, states = of(A)
    nodes, edges, ranks, _ = parsed(dot(found, states))
    assert sorted(nodes) == list(range(n)) and len(ranks) == found.layers
    assert sorted(edges) == sorted((j, i) for i, j in np.argwhere(A).tolist())
    assert [sorted(rank) for rank in ranks] == [np.flatnonzero(found.layer == k).tolist() for k in range(found.layers)]


@given(st.integers(0, 2**32 - 1), st.integers(module.FEW + 1, module.FEW + 20))
def test_many_states_are_drawn_by_scc(seed, n):
    found, states = of(digraph(np.random.default_rng(seed), n))
    nodes, edges, ranks, clusters = parsed(dot(found, states))
    assert sorted(nodes) == list(range(found.sccs)) and len(ranks) == found.layers
    assert sorted(edges) == sorted((s, t) for t, s in found.couplings().tolist())
    assert clusters == len(set(found.component[~found.isolated])) + found.isolated.any()


def test_the_worked_example_counts_from_one():
    found, states = of(EXAMPLE)
    text = dot(found, states, 1)
    nodes, edges, ranks, clusters = parsed(text)
    assert (len(nodes), len(edges), len(ranks), clusters) == (18, EXAMPLE.sum(), 3, 4 + 8)
    for word in ('n17 [label="18"]', 'label="SCC 9"', 'label="component 2"', 'label="isolated"'):
        assert word in text
    assert text.count("constraint=false") == sum(found.scc[i] == found.scc[j] for i, j in np.argwhere(EXAMPLE))


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash\\", "two\nlines", "größe ∞", "-> {"])
def test_names_of_any_kind(name):
    parsed(dot(*of(np.eye(3), name)))
    parsed(dot(*of(np.ones((2, 3)), name, scope="operator")))


def test_long_labels_are_cut_short():
    text = dot(*of(np.ones((100, 100))))
    assert "0, 1, 2" in text and "… 88 more" in text


def test_what_is_too_much_to_draw_is_refused():
    with pytest.raises(DotError, match="300 SCCs and 44,850 couplings are too many"):
        dot(*of(np.tril(np.ones((300, 300)))))


def test_a_name_is_printed_by_no_terminal_but_as_letters():
    shown = dot(*of(EXAMPLE, name='a\x1b[2J\n"];\u202e\udcff\\'))
    parsed(shown)
    assert r"a\\x1b[2J\\n\"];\\u202e\\udcff\\" in shown and shown.encode()
