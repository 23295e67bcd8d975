import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from scission import RetrainError  # noqa: E402
from scission.runtime.calibrate.dataset import Labelled  # noqa: E402
from scission.runtime.retrain.samples import Samples, outputs_of  # noqa: E402


def samples(count, batch, exact=False):
    x = np.arange(count, dtype=np.float32)
    data = Labelled(
        samples=count, arrays={"x": x[:, None]}, shared={"s": np.ones(2)}, targets=-x, batch=batch, exact=exact
    )
    return Samples(data, (10 * x,))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3), st.booleans())
def test_an_epoch_has_whole_batches_of_different_samples_in_an_order_of_its_own(count, batch, epoch, exact):
    pieces = list(samples(count, batch, exact).batches(epoch, 7))
    seen = [int(one) for piece in pieces for one in piece.inputs["x"]]
    assert len(set(seen)) == len(seen) <= count
    if count >= batch:
        assert {piece.size for piece in pieces} == {batch} and len(pieces) == samples(count, batch).rounds
    again = [int(one) for piece in samples(count, batch, exact).batches(epoch, 7) for one in piece.inputs["x"]]
    assert seen == again
    for piece in pieces:
        x = piece.inputs["x"][:, 0]
        assert torch.equal(piece.labels, -x) and torch.equal(piece.told[0], 10 * x)
        assert torch.equal(piece.inputs["s"], torch.ones(2, dtype=torch.float64))


def test_orders_differ_from_epoch_to_epoch_and_what_is_judged_is_in_order():
    orders = [tuple(int(one) for piece in samples(30, 4).batches(e, 0) for one in piece.inputs["x"]) for e in (0, 1)]
    assert orders[0] != orders[1]
    judged = list(samples(10, 4).batches(None, 0))
    assert [int(one) for piece in judged for one in piece.inputs["x"]] == list(range(10))


def test_what_a_teacher_says_has_a_row_for_each_sample():
    data = samples(10, 4).data
    found = outputs_of(lambda feed: {"y": feed["x"] * 2}, data)
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"], data.arrays["x"] * 2)
    with pytest.raises(RetrainError, match="'y' has shape"):
        outputs_of(lambda feed: {"y": feed["x"].sum(0)}, data)
