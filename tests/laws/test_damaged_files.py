"""A file that is damaged in any way is read, or is an error of scission in words: nothing else comes of it."""

import random

import pytest
from damage import damaged_bytes
from hostile_models import EDITS, hostile
from readers import READERS, attempt

import scission

SEEDS = {"model": 8, "plan": 30, "cache": 60}


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_read_or_refused(tmp_path, reader):
    found = {attempt(reader, seed, tmp_path) for seed in range(SEEDS.get(reader, 90))}
    assert len(found) > 1 or reader == "cache"  # some are read, or refused for different reasons


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_whole_is_read(tmp_path, reader, monkeypatch):
    monkeypatch.setattr("readers.damaged_bytes", lambda rng, data: data)
    monkeypatch.setattr("readers.damaged_json", lambda rng, text: text)
    monkeypatch.setattr("readers.damaged_model", lambda rng, model: model.SerializeToString())
    monkeypatch.setattr("readers._unzipped", lambda rng, data: data)
    for seed in range(len(READERS[reader].names)):
        assert attempt(reader, seed, tmp_path) == "read"


def test_damage_is_the_same_for_the_same_seed():
    one, other = (damaged_bytes(random.Random(3), b"0123456789" * 9) for _ in range(2))
    assert one == other != b"0123456789" * 9


@pytest.mark.parametrize("name", EDITS)
def test_a_model_that_nothing_makes_by_accident_is_read_or_refused(name, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(hostile(name).SerializeToString())
    try:
        READERS["model"].read(path)
    except scission.ScissionError as error:
        assert str(error).isprintable()
