import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.evidence import Certificate, Evidence, EvidenceError, Fit
from scission.ir.null import Null

texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**12)
nulls = st.builds(
    Null,
    family=st.sampled_from(["normal", "uniform"]),
    scale=st.floats(1e-6, 1e6),
    source=texts,
    estimated=st.booleans(),
)
rows = st.lists(numbers, max_size=3).map(tuple)
fits = st.builds(Fit, ks=numbers, share=numbers, ratio=numbers, at=rows, observed=rows, expected=rows)
certificates = st.builds(
    Certificate,
    **dict.fromkeys(("split", "level", "ratio", "largest", "homogeneity", "misplaced", "mean", "shape"), numbers),
    coherence=numbers,
    blocks=counts,
    strays=counts,
    accepted=st.booleans(),
    reason=texts,
)
evidences = st.builds(
    Evidence,
    test=texts.filter(bool),
    level=numbers,
    correction=texts.filter(bool),
    confirmed=numbers,
    null=st.none() | nulls,
    **{name: st.none() | numbers for name in ("per_edge", "expected_false", "bandwidth", "smallest")},
    classes=st.none() | st.tuples(counts, counts, counts),
    power=texts,
    fit=st.none() | fits,
    certificate=st.none() | certificates,
    notes=st.lists(texts, max_size=3).map(tuple),
)


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
    "strays": 0,
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
    {"certificate": {**CERTIFICATE, "strays": None}},
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
