import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from prunable import feeds, residual

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.rewrite.pruning.put_weights import put_weights
from scission.passes.rewrite.pruning.remove_unread import at_shapes
from scission.runtime.decompose.removal.entering_rows import EnteringRows, entering_rows
from scission.runtime.decompose.removal.stages import Stages
from scission.runtime.ort.trials import Trials

CPU = Trials(provider="cpu", threads=1)


def with_ones(rows):
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1).astype(np.float64)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**20),
    sizes=st.lists(st.integers(1, 13), min_size=1, max_size=7),
    beside=st.booleans(),
)
def test_moments_are_sums_over_rows_and_each_row_is_on_one_side(seed, sizes, beside):
    rng = np.random.default_rng(seed)

    def some(width):
        return [rng.standard_normal((size, width)).astype(np.float32) for size in sizes]

    nothing = [None] * len(sizes)
    before, after = (EnteringRows(some(3), some(2) if beside else nothing) for _ in range(2))
    weight = rng.standard_normal((4, 2))
    fitted, held = after.moments(before, weight)
    x = with_ones(np.concatenate(after.rows))
    y = with_ones(np.concatenate(before.rows)) @ weight
    if beside:
        y += np.concatenate(before.beside) - np.concatenate(after.beside)
    whole = fitted + held
    np.testing.assert_allclose(whole.gram, x.T @ x, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(whole.target, x.T @ y, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(after.gram(), x.T @ x / len(x), rtol=1e-5, atol=1e-5)
    starts = np.cumsum([0, *sizes])
    sides = np.concatenate(
        [
            np.full(size, place % 5 == 4) if size < 5 else np.arange(size) >= size - size // 5
            for place, size in enumerate(sizes)
        ]
    )
    assert held.count == sides.sum() and fitted.count == starts[-1] - sides.sum()
    np.testing.assert_allclose(held.gram, x[sides].T @ x[sides], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(held.target, x[sides].T @ y[sides], rtol=1e-5, atol=1e-4)


def test_what_the_stream_lacks_is_what_a_product_is_to_make_up_for():
    """Behind a first product that gives nothing, the result of the second is to be that of both of the original."""
    proto, given_ = residual(), feeds(4)
    model = load(proto)
    seen = view(at_shapes(model.graph, {"x": given_[0]["x"].shape}))
    linears = {linear.address: linear for linear in seen.found.linears}
    o, down = linears["o"], linears["down"]
    zeros = put_weights(model.graph, {"o": (np.zeros(o.shape), np.zeros(o.shape[1]))})
    before, after = (Stages(model, given_, CPU) for _ in range(2))
    (old,) = entering_rows(before, model.graph, [down], "m")
    (new,) = entering_rows(after, zeros, [down], "m")
    weight = down.canonical(seen.found.constants).astype(np.float64)
    fitted, held = new.moments(old, np.concatenate([weight, np.zeros((1, weight.shape[1]))]))
    whole = fitted + held
    y = np.concatenate([a @ weight + b - c for a, b, c in zip(old.rows, old.beside, new.beside, strict=True)])
    np.testing.assert_allclose(whole.target, with_ones(np.concatenate(new.rows)).T @ y, rtol=1e-4, atol=1e-3)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(old.beside, new.beside, strict=True))
