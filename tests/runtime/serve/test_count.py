import json
import shutil

import numpy as np
import pytest

import scission
from scission import LabelledError, ManifestError


@pytest.fixture
def folder(cut, tmp_path):
    shutil.copytree(cut[1], tmp_path / "parts")
    return tmp_path / "parts"


def rows_that_activate(folder, on, off=0.0):
    """Rows of x in which exactly these parts read something else than what is off; and the manifest's parts."""
    manifest = scission.Manifest.loads((folder / "manifest.json").read_text())
    x = np.full((len(on), 12), off, np.float32)
    for row, parts in enumerate(on):
        for part in parts:
            x[row, manifest.parts[part].reads[0].places[1][0]] = off + 1
    return x


ON = [[0], [0, 1], [], [0], [2], [0, 1]]


@pytest.mark.parametrize("off", [0.0, -3.0])
def test_rows_are_counted_and_what_is_off_is_learned(folder, off):
    x = rows_that_activate(folder, ON, off)
    np.savez(folder.parent / "data.npz", x=x)
    found = scission.count_activation(folder, folder.parent / "data.npz")
    assert [one.rows for one in found.parts] == [4, 2, 1] and found.together == {(0, 1): 2}
    assert found.off == {"x": off} and found.rows == 6
    assert scission.Activation.loads((folder / "activation.json").read_text()) == found
    parts = scission.load_parts(folder, threads=1)
    assert parts.off == {"x": off} and parts.activated({"x": x[:1]}) == ("part0",)
    assert scission.load_parts(folder, threads=1, off={"x": 5.0}).off == {"x": 5.0}


def test_what_is_off_can_be_told(folder):
    x = rows_that_activate(folder, ON)
    found = scission.count_activation(folder, {"x": x}, off={"x": 7.0})
    assert [one.rows for one in found.parts] == [6, 6, 6] and found.off == {"x": 7.0}
    with pytest.raises(ManifestError, match="no input 'z'"):
        scission.count_activation(folder, {"x": x}, off={"z": 7.0})


def test_many_rows_are_counted_in_pieces(folder):
    on = [[index % 3] for index in range(3000)]
    found = scission.count_activation(folder, {"x": rows_that_activate(folder, on)})
    assert [one.rows for one in found.parts] == [1000] * 3 and not found.together


def test_numbers_of_which_none_is_usual_make_zero_off(folder):
    found = scission.count_activation(folder, {"x": np.random.default_rng(0).standard_normal((4, 12), np.float32)})
    assert found.off == {"x": 0.0} and found.frequency == (1.0, 1.0, 1.0)


def test_data_that_do_not_suit_are_refused(folder):
    with pytest.raises(LabelledError, match="names do not match"):
        scission.count_activation(folder, {"y": np.zeros((2, 12), np.float32)})


def test_what_was_counted_for_other_parts_is_refused(folder):
    scission.count_activation(folder, {"x": rows_that_activate(folder, ON)})
    told = json.loads((folder / "activation.json").read_text())
    (folder / "activation.json").write_text(json.dumps(told | {"plan": "0" * 64}))
    with pytest.raises(ManifestError, match=r"activation\.json: was counted for other parts"):
        scission.load_parts(folder, threads=1)
    (folder / "activation.json").write_text("nonsense")
    with pytest.raises(ManifestError, match=r"activation\.json: it is no JSON"):
        scission.load_parts(folder, threads=1)


def test_it_goes_with_the_parts_that_are_replaced(folder):
    from scission.models.planted import ffn

    scission.count_activation(folder, {"x": rows_that_activate(folder, ON)})
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=2).model
    trials = scission.Trials(provider="cpu", threads=1)
    scission.partition(model, folder, trials=trials, overwrite=True)
    assert not (folder / "activation.json").exists()


@pytest.mark.parametrize("data", [3, [np.zeros((2, 12), np.float32)], np.zeros((2, 12), np.float32)])
def test_data_of_another_kind_are_refused(folder, data):
    with pytest.raises(scission.InputError, match="arrays by the names of inputs"):
        scission.count_activation(folder, data)


@pytest.mark.parametrize("off", [3, {"x": "a"}, {"x": 10**400}, {"x": np.zeros(12)}, {"x": np.nan}, {"x": np.inf}])
def test_what_no_input_holds_is_not_off(folder, off):
    with pytest.raises(scission.InputError, match="is off"):
        scission.count_activation(folder, {"x": np.zeros((2, 12), np.float32)}, off=off)


def test_what_is_off_is_rounded_as_the_data_are(folder):
    x = np.full((3, 12), 0.1, np.float32)
    found = scission.count_activation(folder, {"x": x}, off={"x": 0.1})
    assert found.frequency == (0, 0, 0) and found.off == {"x": float(np.float32(0.1))}
