from digraphs import TABLE_A2, expected

from scission.models.matrices.appendix import adjacency
from scission.passes.connectivity.digraph.structure import structure


def test_row_counts_are_those_that_the_paper_prints():
    assert adjacency().sum(1).tolist() == [1, 1, 1, 1, 2, 1, 2, 1, 0, 3, 1, 1, 2, 1, 1, 1, 2, 1]


def test_the_labels_of_table_a2_are_those_of_an_independent_search():
    scc, component, layer, _ = expected(adjacency())
    assert {(node, s, c, layer_) for _, node, s, c, layer_, _ in TABLE_A2} == {
        (node + 1, scc[node] + 1, component[node] + 1, layer[node] + 1) for node in range(18)
    }
    assert [row[1] for row in TABLE_A2] == (structure(adjacency()).order + 1).tolist()
