import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from scission.runtime.decompose.training.feeds import Feeds, parted  # noqa: E402
from scission.runtime.retrain.teacher import Teacher  # noqa: E402


class Doubling:
    """A session whose outputs are its input twice over, and its size."""

    def __init__(self):
        self.calls = 0

    def run(self, feed, names):
        self.calls += 1
        return {"y": 2 * feed["x"], "n": np.full((1,), feed["x"].size, np.float32)}


def feeds(sizes):
    return [{"x": np.full((size, 3), place, np.float32)} for place, size in enumerate(sizes)]


def lessons(sizes, most=1 << 20):
    return Feeds(feeds(sizes), Teacher(Doubling(), ("y",), ("n",)), most)


SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=12)


@given(SIZES, st.integers(0, 3))
def test_an_epoch_has_every_feed_once_with_what_the_teacher_says_of_it(sizes, epoch):
    made = lessons(sizes)
    pieces = list(made.batches(epoch, 5))
    assert sorted(int(piece.inputs["x"][0, 0]) for piece in pieces) == list(range(len(sizes)))
    for piece in pieces:
        assert torch.equal(piece.told[0], 2 * piece.inputs["x"]) and piece.told[1].item() == piece.inputs["x"].numel()
        assert piece.size == len(piece.inputs["x"]) and piece.labels is None
    order = [int(piece.inputs["x"][0, 0]) for piece in lessons(sizes).batches(epoch, 5)]
    assert order == [int(piece.inputs["x"][0, 0]) for piece in pieces]
    assert [int(piece.inputs["x"][0, 0]) for piece in made.batches(None, 5)] == list(range(len(sizes)))


@given(SIZES, st.integers(0, 200))
def test_what_fits_is_kept_and_the_rest_is_asked_for_again(sizes, most):
    made = lessons(sizes, most)
    for _ in range(2):
        assert [float(piece.told[1]) for piece in made.batches(None, 0)] == [3 * size for size in sizes]
    kept = 0
    for size in sizes:
        own = 12 * size + 4
        kept += own if kept + own <= most else 0
    assert sum(one.nbytes for told in made._kept.values() for one in told) == kept
    assert made.teacher.session.calls == 2 * len(sizes) - len(made._kept)


@given(SIZES)
def test_sizes_are_mean_squares_of_all_numbers(sizes):
    values = np.concatenate([2 * feed["x"].ravel() for feed in feeds(sizes)])
    wanted = (values.astype(float) ** 2).mean(), np.mean([(3 * size) ** 2 for size in sizes])
    assert lessons(sizes).sizes() == pytest.approx(wanted)


@given(st.integers(2, 60), st.floats(0.001, 0.9), st.integers(0, 3))
def test_each_feed_is_trained_on_or_held_back(count, share, seed):
    made = feeds([1] * count)
    parts = parted(made, share, seed)
    assert sorted(int(one["x"][0, 0]) for part in parts for one in part) == list(range(count))
    assert all(parts) and abs(len(parts[1]) - share * count) <= max(1, 0.5)
