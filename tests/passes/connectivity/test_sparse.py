import numpy as np
import oracles
import pytest
from hypothesis import given

from scission.ir import relation
from scission.passes.connectivity.edges import relate
from scission.passes.connectivity.sparse import sparse


@given(oracles.relations())
def test_it_is_the_same_matrix(A):
    found = sparse(relate(A))
    assert found.shape == A.shape and found.nnz == A.sum()
    np.testing.assert_array_equal(found.toarray() != 0, A)


@pytest.mark.parametrize("columns", [1, 63, 64, 65, 200])
def test_chunks_are_put_together(columns, monkeypatch):
    monkeypatch.setattr(relation, "CHUNK", 128)
    A = np.random.default_rng(columns).random((50, columns)) < 0.2
    np.testing.assert_array_equal(sparse(relate(A)).toarray() != 0, A)
