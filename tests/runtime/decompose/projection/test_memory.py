import pytest
from projectable import correlated, planted
from projections import task

from scission import NoMemoryError
from scission.ir.graph.view import view
from scission.runtime.decompose.projection.memory import projection_bytes, require_memory
from scission.runtime.ort.trials import Trials


def test_larger_weights_need_more():
    small, large = (view(task(planted(size, 2 * size)).model.graph).found.linears for size in (64, 128))
    assert 0 == projection_bytes([], 5) < projection_bytes(small, 5) < projection_bytes(large, 5)


def test_rows_count_as_far_as_they_are_held():
    linears = view(task(planted(64, 128)).model.graph).found.linears
    most = projection_bytes(linears, 1)
    assert all(0.9 * most < projection_bytes(linears, feeds) <= 1.1 * most for feeds in (10, 100))  # open in the model


def test_what_does_not_fit_is_refused_before_anything_is_run():
    asked = task(planted(64, 128), correlated(64), trials=Trials(provider="cpu", threads=1, memory=1 << 20))
    with pytest.raises(NoMemoryError, match=r"projecting weights needs .* give fewer samples"):
        require_memory(asked, view(asked.model.graph).found.linears)
