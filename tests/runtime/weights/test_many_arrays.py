import gc
import os
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from scission.ir.files.reading import UnreadableError
from scission.runtime.weights.many_arrays import KeptOpen, packed_arrays, safetensors


@contextmanager
def counted(path, openings, endings):
    openings.append(path.read_text())
    yield openings[-1]
    endings.append(openings[-1])


@pytest.fixture
def kept(tmp_path):
    path, openings, endings = tmp_path / "file", [], []
    path.write_text("one")
    return path, KeptOpen(path, lambda given: counted(given, openings, endings)), openings, endings


def test_a_file_is_opened_once_for_all_that_is_read_of_it(kept):
    _, one, openings, endings = kept
    assert [one.get() for _ in range(5)] == ["one"] * 5
    assert openings == ["one"] and endings == []


def test_another_file_at_the_path_is_opened_and_the_first_is_left(kept):
    path, one, openings, endings = kept
    one.get()
    path.write_text("another")
    assert [one.get(), one.get()] == ["another"] * 2
    assert openings == ["one", "another"] and endings == ["one"]


def test_the_context_is_left_with_what_kept_it_open(tmp_path):
    openings, endings = [], []
    (tmp_path / "file").write_text("one")
    one = KeptOpen(tmp_path / "file", lambda given: counted(given, openings, endings))
    one.get()
    assert not endings
    del one
    gc.collect()
    assert endings == ["one"]


def test_a_fork_opens_a_file_of_its_own(kept, monkeypatch):
    _, one, openings, _ = kept
    one.get()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    one.get()
    assert openings == ["one", "one"]


def test_what_is_gone_is_said_and_what_comes_back_is_read(kept):
    path, one, _, _ = kept
    one.get()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        one.get()
    path.write_text("back")
    assert one.get() == "back"


def test_archives_and_safetensors_are_read_again_and_again_and_closed(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    arrays = {f"a{i}": np.full((2, 3), i, np.float32) for i in range(5)}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        packed, tensors = KeptOpen(tmp_path / "a.npz", packed_arrays), KeptOpen(tmp_path / "a.safetensors", safetensors)
        for name in [*arrays, *arrays]:
            assert (packed.get()[name] == arrays[name]).all() and packed.get().form(name) == ((2, 3), np.float32)
            assert (tensors.get().get_tensor(name) == arrays[name]).all()
        del packed, tensors
        gc.collect()


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match="a pipe"):
        KeptOpen(tmp_path / "pipe", packed_arrays).get()
