import re

import numpy as np
import pytest
from served import listening

import scission
from scission.runtime.http.watch.asking import asked


def test_parts_answer_as_the_model_does(cut):
    x = np.random.default_rng(1).standard_normal((4, 12)).astype(np.float32)
    told = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [4, 12], "data": x.ravel().tolist()}]}
    answers = []
    for model in cut:
        with listening(model) as client:
            assert client.server.service.name == model.stem
            answers.append(client.infer(told).told["outputs"][0])
            parts = asked(client.host).parts
            metrics = client.ask("GET", "/metrics").body.decode()
            logged = [one.get("parts") for one in client.log if one["method"] == "POST"]
    assert answers[0]["shape"] == answers[1]["shape"]
    assert np.allclose(answers[0]["data"], answers[1]["data"], atol=1e-5)
    assert [(part.calls, part.share) for part in parts] == [(1, 1.0)] * 3
    assert all(part.seconds > 0 and part.per_second > 0 and part.busy > 0 for part in parts)
    assert logged == [[part.name for part in parts]]
    for part in parts:
        own = f'{{model="parts",part="{part.name}"}}'
        assert f"scission_part_activations_total{own} 1.0\n" in metrics
        assert f"scission_part_replicas{own} 1.0\n" in metrics
        told = float(re.search(rf"scission_part_seconds_total{re.escape(own)} (\S+)", metrics)[1])
        assert told == pytest.approx(part.seconds)


def test_what_parts_cannot_be_given_is_told(cut):
    with listening(cut[1]) as client:
        wrong = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 11], "data": [0] * 11}]}
        assert client.infer(wrong).status == 400


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(scission.ManifestError, match=r"manifest\.json"), listening(tmp_path):
        pass
