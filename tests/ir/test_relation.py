import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from scission.ir.relation import CHUNK, Relation, columns_of

matrices = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=150))


@given(matrices, st.lists(st.integers(0, 150), max_size=4))
def test_packing_and_unpacking_is_the_identity(matrix, cuts):
    rows, columns = matrix.shape
    edges = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    relation = Relation.of_rows(matrix.shape, (matrix[a:b] for a, b in itertools.pairwise(edges)))
    assert relation.dense().tolist() == matrix.tolist() and relation.dense().shape == matrix.shape
    assert relation.count == sum(map(sum, matrix.tolist()))
    assert relation.density == (relation.count / matrix.size if matrix.size else 0)
    assert relation.words.shape == (rows, -(-columns // 64))


@given(matrices)
def test_bit_j_of_a_row_is_column_j_and_no_bit_lies_behind_the_last(matrix):
    words = Relation.of_rows(matrix.shape, [matrix]).words
    for row, packed in zip(matrix.tolist(), words.tolist(), strict=True):
        assert sum(word << 64 * n for n, word in enumerate(packed)) == sum(bit << j for j, bit in enumerate(row))


@given(matrices)
def test_columns_of_lists_the_set_bits(matrix):
    relation = Relation.of_rows(matrix.shape, [matrix])
    for row, packed in zip(matrix, relation.words, strict=True):
        assert columns_of(packed, matrix.shape[1]).tolist() == [j for j, bit in enumerate(row) if bit]


@pytest.mark.parametrize("shape", [(700, 1000), (3, CHUNK + 1), (0, 5), (5, 0), (1, 1)])
def test_chunks_are_consecutive_and_complete(shape):
    matrix = np.random.default_rng(0).random(shape) < 0.3
    chunks = list(Relation.of_rows(shape, [matrix]).chunks())
    assert [start for start, _ in chunks] == np.cumsum([0, *(len(c) for _, c in chunks)])[:-1].tolist()
    assert all(len(chunk) == 1 or chunk.size <= CHUNK for _, chunk in chunks)
    assert sum(len(chunk) for _, chunk in chunks) == shape[0]
    assert all((chunk == matrix[start : start + len(chunk)]).all() for start, chunk in chunks)
