from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.http.watch import status as module
from scission.runtime.http.watch.shown import service_view
from scission.runtime.http.watch.status import PartStatus, Recent
from scission.runtime.render.console import console


def test_nothing_yet(monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", lambda: 7.0)
    status = Recent().status("m", 2, 0, 0)
    assert (status.up, status.per_second, status.p50, status.p99, status.statuses) == (0, 0, None, None, {})


@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from([200, 400]), st.floats(0, 1)), max_size=30))
def test_of_the_last_minute(requests):
    """Held against the list itself."""
    clock = [0.0]
    original, module.time.monotonic = module.time.monotonic, lambda: clock[0]
    try:
        recent = Recent()
        for at, status, took in sorted(requests):
            clock[0] = at
            recent.add(status, took)
        clock[0] = 200.0
        found = recent.status("m", 1, 0, 0)
    finally:
        module.time.monotonic = original
    now = sorted(took for at, _, took in requests if at >= 140)
    assert found.per_second == len(now) / 60
    assert sum(found.statuses.values()) == len(requests)
    assert found.p99 is None if not now else now[0] <= found.p50 <= found.p99 <= now[-1]


def test_a_terminal_shows_what_it_says(capsys):
    part = PartStatus(name="domain\x1b 3", calls=1234, share=0.5, seconds=0.002, replicas=2)
    recent = Recent()
    recent.add(200, 0.25)
    recent.add(503, 0.25)
    console().print(service_view(recent.status("m", 2, 1, 3, (part,))))
    shown = capsys.readouterr().out
    assert "\x1b 3" not in shown
    for told in ("domain", "1,234", "0.50", "2.00", "2 requests", "1 of them refused", "p50 250.00 ms", "3 waiting"):
        assert told in shown


def test_what_has_no_row_is_summed_up(capsys):
    parts = tuple(PartStatus(name=f"part{n}", calls=n, share=n / 10, seconds=0.001, replicas=2) for n in range(10))
    console().print(service_view(Recent().status("m", 2, 1, 3, parts), rows=4))
    rows = capsys.readouterr().out.splitlines()[4:]
    assert [row.split()[0] for row in rows] == ["part9", "part8", "part7", "7"]
    assert rows[-1].split() == ["7", "more", "21", "2.10", "0.0", "1.00", "0.00", "14"]
    console().print(service_view(Recent().status("m", 2, 1, 3, parts)))
    assert len(capsys.readouterr().out.splitlines()) == 4 + 10
