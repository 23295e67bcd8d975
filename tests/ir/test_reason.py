import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.reason import Cause, Reason

causes, texts = st.sampled_from(Cause), st.text(max_size=8)


@given(causes, texts, causes, texts)
def test_only_causes_are_compared(one, first, other, second):
    same = Reason(one, first) == Reason(other, second)
    assert same == (one is other) == (len({Reason(one, first), Reason(other, second)}) == 1)


@given(causes, texts, st.dictionaries(st.text(min_size=7), st.integers()))
def test_a_reason_survives_in_the_record_that_it_explains(cause, text, rest):
    record = rest | Reason(cause, text).to_dict()
    assert list(map(type, Reason(cause, text).to_dict().values())) == [str, str]
    found = Reason.from_dict(record)
    assert (found.cause, found.text, record) == (cause, text, rest)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "'cause' is missing"),
        ({"cause": "slower"}, "'reason' is missing"),
        ({"cause": "because", "reason": ""}, "'cause' is .because., which is none of .*slower"),
        ({"cause": ["slower"], "reason": ""}, "which is none of"),
        ({"cause": "slower", "reason": None}, "'reason' is null"),
    ],
)
def test_what_is_no_reason_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        Reason.from_dict(record)


def test_a_reason_reads_as_its_sentence_and_stays_the_same_in_other_words():
    why = Reason(Cause.SLOWER, "measured 0.5x")
    assert f"{why}" == "measured 0.5x" and why.told("slow").cause is Cause.SLOWER and f"{why.told('slow')}" == "slow"
    with pytest.raises(dataclasses.FrozenInstanceError):
        why.text = ""
