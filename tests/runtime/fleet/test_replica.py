import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.runtime.serve.folder import read_manifest

pytest.importorskip("ray")

from scission.runtime.fleet.replica import Replica, joined_runs

TRIALS = scission.Trials(provider="cpu", threads=1)


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([2, 3]), st.booleans()), max_size=8), st.integers(1, 6))
def test_calls_are_run_as_one_where_only_rows_differ(told, most):
    calls = [
        {"x": np.zeros((rows, width), np.float32), "k": np.zeros(rows if fits else rows + 1, np.int64)}
        for rows, width, fits in told
    ]
    found = joined_runs(calls, most)
    assert sorted(place for own in found for place in own) == list(range(len(calls)))
    for own in found:
        assert len({told[place][1] for place in own}) == 1
        assert len(own) == 1 or (sum(told[place][0] for place in own) <= most and all(told[place][2] for place in own))


def test_a_replica_answers_as_the_part_does(cut):
    manifest = read_manifest(cut[1])
    part, rng = manifest.parts[1], np.random.default_rng(0)
    (share,) = part.reads
    calls = [{"x": rng.standard_normal((rows, share.places[1].size)).astype(np.float32)} for rows in (1, 3, 2, 9)]
    alone = scission.load_parts(cut[1], threads=1).runs[1].session
    expected = [alone.run(fed)["y"] for fed in calls]

    async def asked(replica):
        return await asyncio.gather(*map(replica, calls))

    one_by_one = asyncio.run(asked(Replica(str(cut[1]), manifest.plan, part.name, TRIALS, 0, 0.0)))
    as_one = Replica(str(cut[1]), manifest.plan, part.name, TRIALS, 8, 0.05).as_one(calls)  # Ray alone gathers them
    for found in (one_by_one, as_one):
        for (made, seconds), own in zip(found, expected, strict=True):
            assert np.allclose(made["y"], own, atol=1e-5) and made["y"].shape == own.shape and seconds > 0


def test_a_folder_of_other_parts_is_refused(cut):
    with pytest.raises(scission.ManifestError, match="holds other parts"):
        Replica(str(cut[1]), "0" * 64, "part0", TRIALS, 0, 0.0)
