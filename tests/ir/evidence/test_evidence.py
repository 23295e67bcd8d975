import json

import pytest
from evidence_examples import evidences
from hypothesis import given, settings

from scission.ir.errors import ScissionError
from scission.ir.evidence.evidence import Evidence, EvidenceError


@settings(max_examples=40)
@given(evidences)
def test_evidence_survives_json(evidence):
    data = evidence.to_dict()
    assert Evidence.from_dict(json.loads(json.dumps(data, allow_nan=False))) == evidence
    assert Evidence.from_dict(data) == evidence


@given(evidences)
def test_what_was_not_found_out_is_not_written(evidence):
    data = evidence.to_dict()
    assert None not in data.values() and "" not in data.values()
    assert {"test", "level", "correction", "confirmed"} <= data.keys()


SIMPLE = {"test": "neyman", "level": 0.05, "correction": "none", "confirmed": 0.0}
FIT = {"ks": 0.1, "share": 1, "ratio": 1, "at": [0.5], "observed": [1.0], "expected": [1.0]}
CERTIFICATE = {
    **dict.fromkeys(("split", "level", "ratio", "largest", "homogeneity", "misplaced"), 0.5),
    "blocks": 2,
    "residual": 0,
    "accepted": True,
    "reason": "",
}


def test_whole_evidence_can_be_read():
    Evidence.from_dict({**SIMPLE, "fit": FIT, "certificate": CERTIFICATE, "classes": [1, 2, 3], "notes": ["a"]})


def test_a_certificate_of_an_older_plan_can_be_read():
    read = Evidence.from_dict({**SIMPLE, "certificate": CERTIFICATE}).certificate
    assert (read.mean, read.coherence, read.shape) == (1, 1, 0)


WRONG = [
    *({name: None} for name in SIMPLE),
    {"test": 5},
    {"level": "high"},
    {"confirmed": [0.5]},
    {"per_edge": "1"},
    {"smallest": {}},
    {"power": 3},
    {"notes": 5},
    {"notes": [1]},
    {"classes": [1, 2]},
    {"classes": ["a", "b", "c"]},
    {"classes": 3},
    {"null": {"family": "normal"}},
    {"null": {"family": "cauchy", "scale": 1, "source": ""}},
    {"null": {"family": "normal", "scale": -1, "source": ""}},
    {"null": 5},
    {"fit": {**FIT, "ks": None}},
    {"fit": {**FIT, "at": ["x"]}},
    {"fit": {"ks": 1}},
    {"fit": 1},
    {"certificate": {**CERTIFICATE, "residual": None}},
    {"certificate": {"blocks": 2}},
    {"certificate": []},
    {"surprise": 1},
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: json.dumps(change)[:40])
def test_damaged_evidence_is_refused(change):
    with pytest.raises(EvidenceError, match="the evidence cannot be read"):
        Evidence.from_dict({**SIMPLE, **change})


@pytest.mark.parametrize("name", SIMPLE)
def test_a_missing_field_is_named(name):
    with pytest.raises(EvidenceError, match=name):
        Evidence.from_dict({key: value for key, value in SIMPLE.items() if key != name})


@pytest.mark.parametrize("data", [None, 5, "text", [1], [["a", 1]]])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(EvidenceError):
        Evidence.from_dict(data)


def test_it_is_a_scission_error():
    assert issubclass(EvidenceError, ScissionError)
