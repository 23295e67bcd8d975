import math

from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.http.watch import calls as module
from scission.runtime.http.watch.calls import Calls


@given(
    st.floats(0, 1000),
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 2), st.floats(0, 1)), max_size=40),
    st.floats(0, 100),
)
def test_of_the_last_minute(began, told, later):
    """Held against the list itself, in whole seconds of the clock."""
    clock = [began]
    original, module.time.monotonic = module.time.monotonic, lambda: clock[0]
    try:
        calls = Calls(3)
        for at, index, took in sorted(told):
            clock[0] = began + at
            calls.add(index, took)
        now = clock[0] = clock[0] + later
        found = calls.told()
    finally:
        module.time.monotonic = original
    span = min(max(now - began, 1.0), 60.0)
    for index, one in enumerate(found):
        own = [(began + at, took) for at, of, took in told if of == index]
        recent = [took for at, took in own if int(at) > int(now) - 60]
        assert one.calls == len(own)
        assert math.isclose(one.seconds, sum(took for _, took in own), abs_tol=1e-9)
        assert math.isclose(one.per_second, len(recent) / span)
        assert math.isclose(one.busy, sum(recent) / span, abs_tol=1e-9)
