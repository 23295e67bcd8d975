import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.render.scale import LEFT, RIGHT, TICKS, scale_of

BENCH = st.tuples(st.floats(0.01, 900), st.floats(1, 50)).map(
    lambda pair: SimpleNamespace(
        speedup=pair[0], comparison=SimpleNamespace(low=pair[0] / pair[1], high=pair[0] * pair[1])
    )
)


@given(st.lists(BENCH, min_size=1, max_size=6))
def test_medians_and_one_lie_on_the_axis(benches):
    scale = scale_of(benches)
    highest = max(one.speedup for one in benches)
    assert scale.ticks[0] == 0 and scale.ticks[-1] == scale.most >= max(1, highest) * (1 - 1e-9)
    assert 2 <= len(scale.ticks) <= TICKS + 1
    assert LEFT <= scale.place(highest) <= RIGHT and scale.place(0) == LEFT and scale.place(math.inf) == RIGHT
    assert scale.cut is (max(one.comparison.high for one in benches) > scale.most)


def test_an_interval_without_an_end_is_cut():
    scale = scale_of([SimpleNamespace(speedup=2.0, comparison=SimpleNamespace(low=0.0, high=math.inf))])
    assert (scale.cut and scale.most == 3.5 and scale.ticks[1] == 0.5) or scale.ticks[1] == 1
