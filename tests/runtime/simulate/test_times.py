import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.runtime.serve.folder import read_manifest
from scission.runtime.simulate.times import ServiceTimes, read_times

SECONDS = st.lists(st.floats(0, 10), min_size=1, max_size=4).map(tuple)


@given(
    st.builds(
        ServiceTimes,
        plan=st.text(max_size=5),
        front=st.floats(0, 1),
        client=st.floats(0, 1),
        wait=SECONDS,
        parts=st.lists(SECONDS, max_size=3).map(tuple),
        whole=SECONDS,
    )
)
def test_json_is_the_identity(times):
    assert ServiceTimes.from_dict(json.loads(json.dumps(times.to_dict())), "t") == times


def test_times_of_other_parts_are_refused(cut, tmp_path):
    manifest, path = read_manifest(cut[1]), tmp_path / "t.json"
    times = ServiceTimes(plan=manifest.plan, front=1, client=0, wait=(0,), parts=((1,),) * 3, whole=(3,))
    for told in (times.to_dict(), {"times": times.to_dict(), "machines": 3}):
        path.write_text(json.dumps(told))
        assert read_times(path, manifest) == times
    for wrong, says in (
        ({"plan": "x"}, "other parts"),
        ({"parts": [[1]]}, "other parts"),
        ({"parts": [[1], [], [1]]}, "'parts[1]' is no list of seconds"),
        ({"front": -1}, "'front' is no list of seconds"),
        ({"whole": ["x"]}, "'whole' is no list of seconds"),
        ({"wait": [True]}, "'wait' is no list of seconds"),
        ({"front": 10**400}, "'front' is 1000"),
        ({"parts": [[1], [10**400], [1]]}, "'parts[1]' is no list of seconds"),
        ({"parts": [[1], [1e308], [1]]}, "'parts[1]' is no list of seconds from 0 to 1,000,000"),
        ({"surprise": 1}, "no field 'surprise'"),
    ):
        path.write_text(json.dumps({**times.to_dict(), **wrong}))
        with pytest.raises(scission.TraceError) as caught:
            read_times(path, manifest)
        assert says in str(caught.value)
    path.write_text("{")
    with pytest.raises(scission.TraceError, match="it is no JSON"):
        read_times(path, manifest)
