import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.placement import Lines, locate


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([np.float32, np.float16, np.float64]), st.booleans(), st.booleans())
def test_any_part_of_a_dense_matrix_is_found(seed, kind, transposed, ordered):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((rng.integers(2, 20), rng.integers(2, 20))).astype(kind)
    rows, columns = (rng.permutation(extent)[: rng.integers(1, extent + 1)] for extent in W.shape)
    if ordered:
        rows, columns = np.sort(rows), np.sort(columns)
    part = W[np.ix_(rows, columns)]
    found = locate(Lines(part.T.copy() if transposed else part), Lines(W))
    if found is None:  # in half precision entries may be there twice
        assert np.unique(W).size < W.size or part.size == 1
        return
    content = W[np.ix_(found.rows, found.columns)]
    assert np.array_equal(content.T if found.transposed else content, part.T if transposed else part)


def test_blocks_of_few_values_are_found_by_their_components():
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(6), np.ones((3, 4))) * rng.choice([-1, 1], (18, 24))
    W = W[np.ix_(rng.permutation(18), rng.permutation(24))].astype(np.float32)
    for rows, columns in Lines(W).components():
        found = locate(Lines(W[np.ix_(rows, columns)]), Lines(W))
        assert np.array_equal(W[np.ix_(found.rows, found.columns)], W[np.ix_(rows, columns)])


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (lambda W: W[2:5], "rows 2:5, columns all"),
        (lambda W: W[:, ::2], "rows all, columns 4 of 8"),
        (lambda W: W[::-1].T, "rows 6 of 6, permuted, columns all, transposed"),
        (lambda W: W[[1, 1, 3]], "rows 3 of 6, repeated, columns all"),
        (lambda W: np.pad(W[1:3], ((0, 2), (0, 0))), "rows 1:3 and 2 of zeros, columns all"),
    ],
)
def test_a_place_reads_well(part, text):
    W = np.arange(1, 49, dtype=np.float32).reshape(6, 8)
    text = text.replace(", repeated", ", permuted, repeated") if "repeated" in text else text
    assert str(locate(Lines(np.ascontiguousarray(part(W))), Lines(W))) == text


def test_what_is_not_there_is_not_found():
    W = np.arange(1, 49, dtype=np.float32).reshape(6, 8)
    for other in (W + 100, W[:2] * 2, np.zeros((2, 2), np.float32), W.astype(np.float64)):
        assert locate(Lines(other), Lines(W)) is None
    wrong = W[:3].copy()
    wrong[1, 1] = 99
    assert locate(Lines(wrong), Lines(W)) is None
