import fcntl
import json
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.staging import folder as staging
from scission.ir.staging.folder import KERNEL, MACHINE, PREFIX, remove, sweep, temporary_folder
from scission.ir.staging.place import JOURNAL


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(staging, "_swept", set())
    monkeypatch.setattr(staging.tempfile, "tempdir", str(tmp_path))


ANOTHER = "00000000"  # neither this machine nor the kernel that runs


def stale(place, name="scission", machine=MACHINE, kernel=KERNEL):
    """A folder as a process leaves it that is killed."""
    made = place / f"{name}-{machine}-{kernel}-0123456789ab"
    made.mkdir(0o700, parents=True)
    (made / "inside").mkdir()
    (made / "inside" / "w.bin").write_bytes(b"1")
    return made


def test_a_folder_is_there_for_as_long_as_its_context_lasts(tmp_path):
    with pytest.raises(ZeroDivisionError), temporary_folder() as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        (folder / "x").write_bytes(b"1")
        raise ZeroDivisionError
    with temporary_folder(beside=tmp_path / "out.onnx") as folder:
        assert folder.parent == tmp_path and folder.name.startswith(".")
    assert not any(tmp_path.iterdir())


def test_what_dead_processes_left_is_removed_and_nothing_else(tmp_path):
    left = [stale(tmp_path), stale(tmp_path, ".scission")]
    left += [stale(tmp_path, machine=ANOTHER), stale(tmp_path, kernel=ANOTHER)]  # a container, before a restart
    kept = [stale(tmp_path, machine=ANOTHER, kernel=ANOTHER), stale(tmp_path, "other"), tmp_path / f"{PREFIX}short"]
    kept[2].mkdir()
    target = stale(tmp_path / "elsewhere")
    link = tmp_path / f"{PREFIX}aaaaaaaaaaaa"
    link.symlink_to(target)
    with temporary_folder(), temporary_folder() as own:
        sweep(str(tmp_path))
        assert own.exists()  # its process lives
    assert not any(folder.exists() for folder in left)
    assert all(folder.exists() for folder in (*kept, target)) and link.is_symlink()


@pytest.mark.parametrize("kernel", [KERNEL, ANOTHER])
def test_a_folder_that_another_process_holds_stays(tmp_path, kernel):
    held = stale(tmp_path, kernel=kernel)
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove(str(held))
    assert held.exists()
    os.close(lock)
    remove(str(held))
    assert not held.exists()


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "9p", ""])
def test_what_seems_left_before_a_restart_stays_on_a_disk_that_others_may_use(tmp_path, monkeypatch, kind):
    left, before = stale(tmp_path), stale(tmp_path, kernel=ANOTHER)
    monkeypatch.setattr(staging, "_file_system", lambda _: kind)
    sweep(str(tmp_path))
    assert not left.exists() and before.exists()


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="nothing tells what file system it is")
def test_the_file_system_is_the_one_that_mounts_tell():
    told = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        told[line.split()[4]] = line.split(" - ")[1].split()[0]  # a later mount hides an earlier one
    for place in ("/", "/proc"):
        handle = os.open(place, os.O_RDONLY)
        assert staging._file_system(handle) == told[place]
        os.close(handle)


identities = st.one_of(
    st.from_regex(rb"[0-9a-f]{32}", fullmatch=True), st.sampled_from([b"", b"uninitialized", b"0" * 32])
)


@given(identities, st.text(), st.binary(min_size=1), st.binary(min_size=1))
def test_a_machine_keeps_its_number_after_a_restart_where_it_has_an_identity(identity, name, booted, later):
    number = staging._machine(identity, name, booted)
    assert re.fullmatch("[0-9a-f]{8}", number)
    lasting = len(identity) == 32 and identity != b"0" * 32
    assert (number == staging._machine(identity, name, later)) == (lasting or booted == later)
    assert number != staging._machine(identity, name + "'", booted)


def test_where_the_file_system_has_no_locks_nothing_is_stale(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "not supported")

    left = stale(tmp_path)
    monkeypatch.setattr(staging.fcntl, "flock", refuse)
    with temporary_folder() as folder:
        assert folder.exists() and left.exists()
    assert [*tmp_path.iterdir()] == [left]


def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    real, seen = staging._locked, []

    def swept_first(folder):
        seen.append(folder)
        if len(seen) == 1:
            Path(folder).rmdir()
        return real(folder)

    monkeypatch.setattr(staging, "_locked", swept_first)
    with temporary_folder() as folder:
        assert folder.exists() and len(seen) == 2


def test_many_that_make_and_sweep_at_once_lose_nothing(tmp_path):
    lost = []

    def work():
        for _ in range(40):
            with temporary_folder() as folder:
                sweep(str(tmp_path))
                lost.append(not folder.exists())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(lost) == 160 and not any(lost) and not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path):
    with pytest.raises(OSError), temporary_folder(beside=tmp_path / "nowhere" / "x"):
        pass


def test_what_a_killed_process_had_begun_to_place_goes_with_its_folder(tmp_path):
    left = stale(tmp_path, ".scission")
    for name in ("o.data", "o"):
        (left / name).write_text("new")
    noted = [[name, str(tmp_path / name)] for name in ("o.data", "o")]
    (left / JOURNAL).write_text(json.dumps(noted))
    (tmp_path / "o.data").hardlink_to(left / "o.data")
    (tmp_path / "o").write_text("of somebody else")
    sweep(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_a_journal_is_followed_only_where_nobody_can_guess_what_its_folder_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "BOOTED", b"")
    left, other = stale(tmp_path, ".scission"), tmp_path / "other"
    other.write_text("of somebody else")
    (left / "z").write_text("new")
    (left / JOURNAL).write_text(json.dumps([[str(other), str(other)], ["z", str(tmp_path / "z")]]))
    sweep(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_folder_stays_with_the_journal_of_a_stranger(tmp_path):
    left = stale(tmp_path, ".scission")
    (tmp_path / "precious").write_text("1")
    (left / JOURNAL).write_text(json.dumps([[str(tmp_path / "precious")] * 2, ["z", str(tmp_path / "z")]]))
    sweep(str(tmp_path))
    assert left.exists() and (tmp_path / "precious").exists()
