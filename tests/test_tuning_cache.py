import json
import threading

import pytest

from scission.runtime.tuning_cache import SCHEMA, TuningCache, cache_path, key_of

SPEEDS = {"split 4": (1.5, None), "scatter 4": (0.5, 2.0)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "tuning.json"


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "own"))
    assert cache_path() == tmp_path / "own" / "tuning.json"
    monkeypatch.delenv("SCISSION_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_path() == tmp_path / "xdg" / "scission" / "tuning.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_path() == tmp_path / ".cache" / "scission" / "tuning.json"


def test_what_is_put_is_there_for_the_next_run(path):
    TuningCache.open(path).put("key", {"rows": [1]}, SPEEDS)
    again = TuningCache.open(path)
    assert again.get("key") == SPEEDS and again.get("other") is None and again.warnings == []
    assert json.loads(path.read_text())["entries"]["key"]["what"] == {"rows": [1]}
    assert [file.name for file in path.parent.iterdir()] == ["tuning.json"]


def test_without_a_file_it_lasts_for_the_run():
    cache = TuningCache.open(None)
    cache.put("key", {}, SPEEDS)
    assert cache.get("key") == SPEEDS


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "[" * 100_000, '{"schema": 1}', '{"schema": 1, "entries": []}', b"\xff\xfe"],
)
def test_a_damaged_file_is_begun_anew_with_a_warning(text, path):
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    cache = TuningCache.open(path)
    assert cache.get("key") is None and len(cache.warnings) == 1 and "begun anew" in cache.warnings[0]
    assert "\n" not in cache.warnings[0]
    cache.put("key", {}, SPEEDS)
    assert TuningCache.open(path).get("key") == SPEEDS


def test_a_file_of_another_version_is_begun_anew(path):
    TuningCache.open(path).put("key", {}, SPEEDS)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": SCHEMA + 1}))
    cache = TuningCache.open(path)
    assert cache.get("key") is None and "another version" in cache.warnings[0]


@pytest.mark.parametrize(
    "entry",
    [
        *(None, 3, {}, {"speeds": 1}),
        *({"speeds": {"a": speeds}} for speeds in (1, ["x"], [True], [-1.0], [float("inf")], [float("nan")])),
    ],
)
def test_an_entry_that_is_no_table_is_none(entry, path):
    path.parent.mkdir()
    path.write_text(json.dumps({"schema": SCHEMA, "entries": {"key": entry}}))
    cache = TuningCache.open(path)
    assert cache.get("key") is None and cache.warnings == []


def test_what_another_run_wrote_in_the_meantime_stays(path):
    one, other = TuningCache.open(path), TuningCache.open(path)
    one.put("a", {}, SPEEDS)
    other.put("b", {}, SPEEDS)
    assert TuningCache.open(path).get("a") == TuningCache.open(path).get("b") == SPEEDS


def test_many_writers_never_leave_half_a_file(path):
    TuningCache.open(path).put("first", {}, SPEEDS)
    seen = []

    def work(number):
        cache = TuningCache.open(path)
        for turn in range(20):
            cache.put(f"{number}.{turn}", {}, SPEEDS)
            seen.append(TuningCache.open(path).warnings)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[]] * 80 and TuningCache.open(path).get("first") == SPEEDS
    assert [file.name for file in path.parent.iterdir()] == ["tuning.json"]


def test_a_folder_that_cannot_be_written_is_a_warning_once(tmp_path):
    (tmp_path / "file").write_text("")
    cache = TuningCache.open(tmp_path / "file" / "tuning.json")
    before = len(cache.warnings)
    for key in "ab":
        cache.put(key, {}, SPEEDS)
    assert len(cache.warnings) == before + 1 and "could not be kept" in cache.warnings[-1]
    assert cache.get("a") == cache.get("b") == SPEEDS


def test_a_key_depends_on_everything():
    what = {"rows": [1], "machine": {"cpu": "x"}}
    assert key_of(what) != key_of({**what, "rows": [2]}) != key_of({**what, "machine": {"cpu": "y"}})
    assert key_of(what) == key_of(dict(reversed(what.items())))


@pytest.mark.parametrize("speeds", [[], [None], [None, 2.0], [10**400], [1e308], [-1.0], [True], "2"])
def test_what_was_never_measured_is_no_table(tmp_path, speeds):
    path = tmp_path / "tuning.json"
    TuningCache.open(path).put("key", {}, SPEEDS)
    data = json.loads(path.read_text())
    data["entries"]["key"]["speeds"] = dict.fromkeys(SPEEDS, speeds)
    path.write_text(json.dumps(data))
    assert TuningCache.open(path).get("key") is None
