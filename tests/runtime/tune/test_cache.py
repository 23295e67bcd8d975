import json
import threading

import pytest
from races import told
from strange_files import FORMS, strange

from scission.runtime.tune.cache import SCHEMA, KeptRace, TuningCache, cache_path, key_of

KEPT = KeptRace(forms=((told(1.5), told(2.0)), (told(0.5), None)), winner=0)
WAYS = ("split 4", "scatter 4")


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
    TuningCache.open(path).put("key", {"rows": [1]}, KEPT, WAYS)
    again = TuningCache.open(path)
    assert again.get("key") == KEPT and again.get("other") is None and again.warnings == []
    assert json.loads(path.read_text())["entries"]["key"]["what"] == {"rows": [1]}
    assert [file.name for file in path.parent.iterdir()] == ["tuning.json"]


def test_without_a_file_it_lasts_for_the_run():
    cache = TuningCache.open(None)
    cache.put("key", {}, KEPT, WAYS)
    assert cache.get("key") == KEPT


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
    cache.put("key", {}, KEPT, WAYS)
    assert TuningCache.open(path).get("key") == KEPT


def test_a_file_of_another_version_is_begun_anew(path):
    TuningCache.open(path).put("key", {}, KEPT, WAYS)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": SCHEMA + 1}))
    cache = TuningCache.open(path)
    assert cache.get("key") is None and "another version" in cache.warnings[0]


GOOD = [1.5, 1.4, 1.6, 20]


@pytest.mark.parametrize(
    "entry",
    [
        *(None, 3, {}, {"forms": 1, "winner": 0}, {"forms": [[GOOD]]}, {"forms": [], "winner": None}),
        *({"forms": [[GOOD]], "winner": place} for place in (1, -1, True, "0", 0.0)),
        {"forms": [[GOOD], [GOOD, GOOD]], "winner": 0},
        {"speeds": {"split 4": [1.5]}},
    ],
)
def test_an_entry_that_is_no_race_is_none(entry, path):
    path.parent.mkdir()
    path.write_text(json.dumps({"schema": SCHEMA, "entries": {"key": entry}}))
    cache = TuningCache.open(path)
    assert cache.get("key") is None and cache.warnings == []


def test_what_another_run_wrote_in_the_meantime_stays(path):
    one, other = TuningCache.open(path), TuningCache.open(path)
    one.put("a", {}, KEPT, WAYS)
    other.put("b", {}, KEPT, WAYS)
    assert TuningCache.open(path).get("a") == TuningCache.open(path).get("b") == KEPT


def test_many_writers_never_leave_half_a_file(path):
    TuningCache.open(path).put("first", {}, KEPT, WAYS)
    seen = []

    def work(number):
        cache = TuningCache.open(path)
        for turn in range(20):
            cache.put(f"{number}.{turn}", {}, KEPT, WAYS)
            seen.append(TuningCache.open(path).warnings)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[]] * 80 and TuningCache.open(path).get("first") == KEPT
    assert [file.name for file in path.parent.iterdir()] == ["tuning.json"]


def test_a_folder_that_cannot_be_written_is_a_warning_once(tmp_path):
    (tmp_path / "file").write_text("")
    cache = TuningCache.open(tmp_path / "file" / "tuning.json")
    before = len(cache.warnings)
    for key in "ab":
        cache.put(key, {}, KEPT, WAYS)
    assert len(cache.warnings) == before + 1 and "could not be kept" in cache.warnings[-1]
    assert cache.get("a") == cache.get("b") == KEPT


def test_a_key_depends_on_everything():
    what = {"rows": [1], "machine": {"cpu": "x"}}
    assert key_of(what) != key_of({**what, "rows": [2]}) != key_of({**what, "machine": {"cpu": "y"}})
    assert key_of(what) == key_of(dict(reversed(what.items())))


@pytest.mark.parametrize(
    "form",
    [
        *([], [None], [None, GOOD], "2", [1.5], [[1.5, 1.4, 1.6]], [["1", 1, 1, 1]], [[True, True, True, True]]),
        *([[1.5, 0.0, 1.6, 20]], [[1.5, 1.6, 1.7, 20]], [[1.5, 1.4, 10**400, 20]], [[-1.0, -2.0, 1.0, 20]]),
        *([[1.5, float("nan"), 1.6, 20]], [[1e308, 1e308, 1e308, 20]]),
    ],
)
def test_what_was_never_measured_is_no_race(path, form):
    TuningCache.open(path).put("key", {}, KEPT, WAYS)
    data = json.loads(path.read_text())
    data["entries"]["key"]["forms"][0] = form
    path.write_text(json.dumps(data))
    assert TuningCache.open(path).get("key") is None


def test_what_is_dropped_is_gone_and_what_others_wrote_stays(path):
    one, other = TuningCache.open(path), TuningCache.open(path)
    for key in "ab":
        one.put(key, {}, KEPT, WAYS)
    other.put("c", {}, KEPT, WAYS)
    one.drop(["a"])
    again = TuningCache.open(path)
    assert again.get("a") is None and again.get("b") == again.get("c") == KEPT


@pytest.mark.parametrize("form", FORMS)
def test_nothing_but_a_regular_file_is_read(form, path):
    path.parent.mkdir()
    strange(form, path)
    cache = TuningCache.open(path)
    assert cache.entries == {} and len(cache.warnings) == (form != "dangling")
