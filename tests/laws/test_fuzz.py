import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_oracle import problems, round_trip_problems


@given(st.integers(0, 1 << 30))
@settings(max_examples=25)
def test_a_model_stored_in_any_form_is_written_right_and_whole_beside_another_output(tmp_path_factory, seed):
    assert not list(problems(seed, tmp_path_factory.mktemp("fuzz")))


@pytest.mark.parametrize("seed", range(10))
def test_a_model_with_every_field_in_any_spelling_is_written_whole(tmp_path, seed):
    assert not list(round_trip_problems(seed, tmp_path))
