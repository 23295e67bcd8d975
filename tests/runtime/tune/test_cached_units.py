import functools
import json

import numpy as np
import pytest
from races import FakeRacer, told
from shell import typed
from tune_examples import ROWS, TRIALS, twins

import scission
from scission.ir.io.load import load
from scission.models.planted import ffn as planted_ffn
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.render.console import console
from scission.runtime.render.text.cache import cache_view
from scission.runtime.tune import unit_races
from scission.runtime.tune.cache import SCHEMA, KeptRace, TuningCache, cache_path
from scission.runtime.tune.cached_units import CachedUnitError, cached_units, picked
from scission.runtime.tune.tune import tune
from scission.runtime.tune.unit_races import MACHINE


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "cache"))
    return tmp_path


def here():
    return {name: unit_races.machine("auto")[name] for name in MACHINE}


@functools.cache
def content():
    """The file after two models were tuned, the second on another machine."""
    own = unit_races.machine("cpu")
    ffn = planted_ffn.build(np.random.default_rng(0), d=32, hidden=64).model
    for model, machine in ((twins(1), own), (ffn, {**own, "cpu": "Another CPU", "onnxruntime": "0.1"})):
        loaded = load(model)
        plan = make_plan(loaded, PlanSettings(force=True, batch=ROWS))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(unit_races, "machine", lambda provider, machine=machine: machine)
            tune(loaded, plan, TRIALS, ROWS, racer=FakeRacer(lambda way, rows: 2.0 if rows == 1 else 3.0))
    return cache_path().read_text()


def filled():
    text = content()
    cache_path().parent.mkdir(exist_ok=True)
    cache_path().write_text(text)
    return TuningCache.open(cache_path())


@pytest.fixture
def run(monkeypatch, capfd):
    """Run one command line; returns (exit status, stdout, stderr)."""
    return typed(monkeypatch, capfd)


def units():
    cache = filled()
    return cached_units(cache, here(), scission.__version__)


def test_what_was_tuned_is_listed_with_what_it_was_and_where(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    one, other = units()
    assert one.operators == ("MatMul",) and one.shapes == ((32, 32),) and one.rows == ROWS and one.threads == 1
    assert one.speed == 2.0 and one.winner != "dense" and one.stale == "" and "onnxruntime" in one.place
    assert (32, 64) in other.shapes and "Another CPU" in other.place and other.stale == "other cpu, onnxruntime"
    json.dumps([unit.to_dict() for unit in (one, other)], allow_nan=False)
    made = console()
    with made.capture() as captured:
        made.print(cache_view([one, other], "file", ["begun anew"]))
    shown = captured.get()
    assert all(word in shown for word in (one.key[:8], "32x32", "2.00x", one.winner, "stale: other cpu", "begun anew"))


def test_entries_are_picked_by_key_shape_machine_and_age():
    both = one, other = units()
    assert picked(both) == both and picked(both, keys=[one.key[:6]]) == (one,)
    assert picked(both, shape=(32, 64)) == (other,) and picked(both, shape=(1, 1)) == ()
    assert picked(both, machine="another") == picked(both, stale=True) == (other,)
    assert picked(both, keys=[one.key], machine="another") == ()
    for key in ("", "zz", one.key + "0"):
        with pytest.raises(CachedUnitError, match="begins"):
            picked(both, keys=[key])
    with pytest.raises(CachedUnitError, match="begins 2 keys"):
        picked((one, one), keys=[one.key[:3]])


def test_another_version_is_stale_and_another_provider_is_not():
    cache = filled()
    assert {unit.stale for unit in cached_units(cache, here(), "0.0")} == {
        f"scission {scission.__version__}",
        "other cpu, onnxruntime",
    }
    assert cached_units(cache, {**here(), "provider": "cuda"}, scission.__version__)[0].stale == ""


@pytest.mark.parametrize(
    "what",
    [
        None,
        3,
        [],
        {},
        {"unit": 3},
        {"unit": {"nodes": 1, "blocks": [1, {"shape": [1]}]}, "extents": "x", "machine": []},
        {"extents": [[["a"], 3]]},
    ],
)
def test_whatever_stands_in_a_damaged_entry_is_listed_and_not_an_error(what):
    cache = TuningCache(None)
    cache.put("a", {}, KeptRace(forms=((told(2.0),),), winner=0), ["split 2"])
    cache.entries["a"]["what"] = what
    cache.entries["b"] = what
    found = cached_units(cache, here(), scission.__version__)
    assert [unit.key for unit in found] == ["a", "b"] and found[1].stale == "damaged" and all(u.stale for u in found)
    with console().capture():
        console().print(cache_view(found, "file"))


def test_no_entry_holds_names_or_sentences():
    """Keys are made of numbers and of names of operators, types and lowerings."""
    filled()
    for entry in json.loads(cache_path().read_text())["entries"].values():
        what = {name: value for name, value in entry["what"].items() if name != "machine"}
        assert not [text for text in texts(what) if " " in text and text != "in order"]


def texts(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def test_the_command(run, folder):
    assert run("cache list")[0] == 0 and "0 entries" in run("cache list")[1]
    one, other = units()
    listed = json.loads(run("cache list --json")[1])
    assert [entry["key"] for entry in listed["entries"]] == [one.key, other.key]
    assert "2.00x" in run("cache list --shape 32x32 --all")[1]
    assert run("cache list --quiet") == (0, "", "")
    for line, text in (
        ("cache drop", "name keys"),
        ("cache drop zz", "begins no key"),
        ("cache drop --shape 3", "KxN"),
    ):
        status, out, err = run(line)
        assert status == 2 and not out and text in err
    assert "dropped 1 of 2 entries" in run("cache drop --stale")[1]
    assert [unit.key for unit in cached_units(TuningCache.open(cache_path()), here(), "")] == [one.key]
    assert json.loads(run(f"cache drop {one.key[:9]} --json")[1])["dropped"] == [one.key]
    assert json.loads(cache_path().read_text())["entries"] == {}


@pytest.mark.parametrize("text", ["{", json.dumps({"schema": SCHEMA + 1, "entries": {}})])
def test_a_damaged_file_is_a_note_and_begun_anew(text, run):
    cache_path().parent.mkdir()
    cache_path().write_text(text)
    status, out, _ = run("cache list")
    assert status == 0 and "begun anew" in out and cache_path().read_text() == text
    status, out, err = run("cache drop --all")
    assert status == 0 and "begun anew" in err and "dropped 0 of 0" in out
    assert run("cache list --json")[0] == 0
    assert json.loads(cache_path().read_text()) == {"schema": SCHEMA, "entries": {}}
