import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.runtime.simulate.trace import read_trace

NAMES = ["a", "b", "c"]


def written(tmp_path, *lines):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_the_log_of_a_server_is_a_trace(tmp_path):
    logged = {"method": "POST", "path": "/v2/models/m/infer", "status": 200, "bytes_in": 3, "bytes_out": 3}
    path = written(
        tmp_path,
        "serving m at http://127.0.0.1:8000",
        {"time": "2026-01-31T12:00:01.500000+00:00", **logged, "seconds": 1.0, "parts": ["c", "a"]},
        {"time": "2026-01-31T12:00:01.750000+00:00", **logged, "seconds": 1.5, "parts": ["b"]},
        {"time": "2026-01-31T12:00:09+00:00", "method": "GET", "status": 200, "seconds": 0.1},
    )
    found = read_trace(path, NAMES)
    assert found.parts == ((1,), (0, 2))  # when they came, not when they were answered
    assert found.at.tolist() == [0, 0.25]
    assert found.counts(3).tolist() == [1, 1, 1]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.sets(st.sampled_from(NAMES))), min_size=1))
def test_requests_come_in_order_of_time(tmp_path_factory, told):
    path = written(tmp_path_factory.mktemp("t"), *({"at": at, "parts": sorted(own)} for at, own in told))
    found = read_trace(path, NAMES)
    first = min(at for at, _ in told)
    assert found.at.tolist() == sorted(at - first for at, _ in told)
    assert sorted(found.parts) == sorted(tuple(map(NAMES.index, sorted(own))) for _, own in told)


@pytest.mark.parametrize(
    "line, says",
    [
        ({"at": 0, "parts": ["d"]}, "line 2: there is no part 'd'"),
        ({"at": "x", "parts": ["a"]}, "line 2: 'at' is"),
        ({"parts": ["a"]}, "'time' is missing"),
        ({"time": "noon", "parts": ["a"]}, "no time of ISO 8601"),
        ({"at": 1e999, "parts": ["a"]}, "not finite"),
        ({"at": 10**400, "parts": ["a"]}, "line 2: 'at' is 1000"),
        ({"at": True, "parts": ["a"]}, "line 2: 'at' is true"),
        ({"time": "2026-01-31T12:00:00", "seconds": 10**400, "parts": ["a"]}, "line 2: 'seconds' is 1000"),
        ({"at": 0, "parts": "a"}, "'parts' is"),
    ],
)
def test_what_is_no_request(tmp_path, line, says):
    with pytest.raises(scission.TraceError, match=r"t\.jsonl: ") as caught:
        read_trace(written(tmp_path, {"at": 0, "parts": ["a"]}, line), NAMES)
    assert says in str(caught.value)


@pytest.mark.parametrize("first, last", [(-1e308, 1e308), (0, 1e308), (-1e9, 1e9), (0, 1.1e9)])
def test_times_too_far_apart(tmp_path, first, last):
    with pytest.raises(scission.TraceError, match=r"t\.jsonl: from .* are more than 1e\+09 seconds"):
        read_trace(written(tmp_path, {"at": first, "parts": ["a"]}, {"at": last, "parts": ["a"]}), NAMES)
    assert read_trace(written(tmp_path, {"at": last, "parts": ["a"]}), NAMES).at.tolist() == [0]


def test_nothing_in_it(tmp_path):
    with pytest.raises(scission.TraceError, match="none of its 2 lines"):
        read_trace(written(tmp_path, "[" * 100_000, "{"), NAMES)
    with pytest.raises(scission.TraceError, match="cannot be read"):
        read_trace(tmp_path / "other", NAMES)
