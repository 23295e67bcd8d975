import ml_dtypes
import numpy as np
import onnx
import oracles
import pytest
from digraphs import EXAMPLE, TABLE_A2
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.errors import ScissionError
from scission.runtime.weights import states as module
from scission.runtime.weights.source import from_array
from scission.runtime.weights.states import StatesError, find, is_oversized, states_of, structure

RELATIONS = oracles.relations().filter(lambda A: A.size)


@given(RELATIONS, st.booleans(), st.booleans())
def test_edges_lead_from_rows_to_columns_unless_it_is_the_papers_matrix(A, paper, fortran):
    W = np.asfortranarray(A) if fortran else A
    into = A if paper else A.T
    if A.shape[0] == A.shape[1]:
        np.testing.assert_array_equal(states_of(from_array(W), paper=paper).adjacency.dense(), into)
    states = states_of(from_array(W), scope="operator", paper=paper)
    outputs, inputs = into.shape
    whole = np.block([[np.zeros((inputs, inputs + outputs))], [into, np.zeros((outputs, outputs))]])
    np.testing.assert_array_equal(states.adjacency.dense(), whole)
    assert states.inputs == inputs and states.size == inputs + outputs and states.adjacency.count == A.sum()
    assert [states.label(s) for s in range(states.size)] == [
        *(f"in {k}" for k in range(inputs)),
        *(f"out {n}" for n in range(outputs)),
    ]


@pytest.mark.parametrize("columns", [1, 3, 63, 64, 65, 300, 1000])
def test_wide_and_tall_matrices_are_put_together_from_parts(columns, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1 << 10)
    A = np.random.default_rng(columns).random((130, columns)) < 0.1
    for W in (A, A.T, np.asfortranarray(A), A[::2]):
        states = states_of(from_array(W), scope="operator")
        np.testing.assert_array_equal(states.adjacency.dense()[W.shape[0] :, : W.shape[0]], W.T)


@given(RELATIONS)
def test_the_components_of_the_operator_are_those_of_its_bipartite_graph(A):
    found = find(states_of(from_array(A), scope="operator"))
    inputs, outputs, count = oracles.components(A)
    labels = np.array([*inputs, *outputs])
    assert found.components == count + (labels < 0).sum() and found.sccs == found.size
    np.testing.assert_array_equal(found.isolated, labels < 0)
    linked = labels >= 0
    pairs = {(int(ours), int(theirs)) for ours, theirs in zip(found.component[linked], labels[linked], strict=True)}
    assert len(pairs) == count


def test_the_worked_example():
    found = structure(EXAMPLE, paper=True)
    rows = [(r.new + 1, r.node + 1, r.scc + 1, r.component + 1, r.layer + 1, int(r.isolated)) for r in found.rows()]
    assert rows == TABLE_A2
    assert structure(EXAMPLE.T).order.tolist() == found.order.tolist()


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "int8", "uint8", "int64", "float16", "float32", "float64", "complex64"),
        *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4),
    ],
)
def test_every_type_of_number(dtype):
    W = np.array([[0, 1], [1, 0]]).astype(dtype)
    for threshold in (0, 0.5):
        assert states_of(from_array(W), threshold=threshold).adjacency.dense().tolist() == [[0, 1], [1, 0]]
    assert states_of(from_array(W), threshold=1).adjacency.count == 0


def test_thresholds_nan_infinities_and_signs():
    W = np.array([[-0.0, np.nan, np.inf], [-np.inf, 1e-30, -0.5], [0.5, -128, 0.25]])
    assert states_of(from_array(W), paper=True).adjacency.dense().tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1]]
    found = states_of(from_array(W), paper=True, threshold=0.5).adjacency
    assert found.dense().tolist() == [[0, 1, 1], [1, 0, 0], [0, 1, 0]]
    small = from_array(np.array([[-128, 127], [0, 0]], np.int8))  # the absolute value of -128 is no int8
    assert states_of(small, paper=True, threshold=127).adjacency.dense().tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf")])
def test_thresholds_that_are_none(threshold):
    with pytest.raises(StatesError, match="threshold"):
        structure(np.eye(2), threshold=threshold)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scope": "state"}, "2x3 has no states"),
        ({"scope": "nonsense"}, "none of auto, state, operator"),
        ({"engine": "nonsense"}, "unknown engine"),
        ({"order": "nonsense"}, "unknown order"),
        ({"engine": "matrix", "device": "nonsense"}, "nonsense"),
    ],
)
def test_options_that_there_are_not(options, word):
    with pytest.raises(ScissionError, match=word):
        structure(np.ones((2, 3)), **options)


def test_too_many_states(monkeypatch):
    monkeypatch.setattr(module, "MOST_STATES", 9)
    assert structure(np.eye(9)).size == 9
    for matrix in (np.eye(10), np.ones((5, 6))):
        with pytest.raises(StatesError, match=r"1[01] states are more than the 9"):
            structure(matrix)
    assert is_oversized(from_array(np.ones((5, 6))), "auto") and not is_oversized(from_array(np.eye(10)), "auto")


def test_every_source_gives_the_same(tmp_path):
    W = np.triu(np.ones((5, 5), np.float32))
    proto = oracles.graph([("MatMul", ["x", "W"], ["y"])], {"x": ["m", 5]}, {"y": ["m", 5]}, {"W": W})
    onnx.save(proto, tmp_path / "m.onnx")
    np.save(tmp_path / "w.npy", W)
    expected = scission.structure(W)
    assert isinstance(expected, scission.Structure) and expected.layers == 5
    for source in (proto, proto.SerializeToString(), tmp_path / "m.onnx", f"{tmp_path}/m.onnx:n0", tmp_path / "w.npy"):
        assert scission.structure(source).order.tolist() == expected.order.tolist()
    assert scission.structure(proto, "n0", order="paper", engine="graph").layers == 5
