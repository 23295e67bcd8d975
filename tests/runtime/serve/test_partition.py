import json
import shutil

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered_models import DENSE, SPLIT, Stack
from random_parts import random_feed, random_parts, run_model, without_node_names

import scission
from scission import ManifestError, PartitionError, Trials
from scission.models.planted import ffn
from scission.runtime.serve import partition as cutting

TRIALS = Trials(provider="cpu", threads=1)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_holds_the_parts_and_says_what_they_are(cut):
    _, folder = cut
    assert names(folder) == ["manifest.json", "part0.onnx", "part1.onnx", "part2.onnx"]
    told = json.loads((folder / "manifest.json").read_text())
    assert [part["name"] for part in told["parts"]] == ["part0", "part1", "part2"]
    assert told["model"] == "m.onnx" and told["inputs"][0]["shape"] == ["batch", 12]
    assert all(part["bytes"] == (folder / part["files"][0]["file"]).stat().st_size for part in told["parts"])


def test_external_weights_stay_external(tmp_path):
    model = ffn.build(np.random.default_rng(0), d=12, hidden=24, blocks=3).model
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    found = scission.partition(tmp_path / "m.onnx", tmp_path / "parts", trials=TRIALS)
    assert "part0.onnx.data" in names(tmp_path / "parts") and found.verdict.equal
    assert scission.check_parts(tmp_path / "parts", tmp_path / "m.onnx", trials=TRIALS).equal
    (tmp_path / "parts" / "part0.onnx.data").write_bytes(b"\0" * 4000)
    with pytest.raises(ManifestError, match=r"part0\.onnx\.data: is not the file"):
        scission.load_parts(tmp_path / "parts")


def test_a_model_in_memory_is_cut_as_well(tmp_path):
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=2).model
    found = scission.partition(model, tmp_path / "parts", trials=TRIALS)
    assert len(found.manifest.parts) == 2 and found.to_dict()["check"]["equal"]


def test_nothing_is_written_where_nothing_is_independent(tmp_path):
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=1).model
    with pytest.raises(PartitionError, match="nothing in it is independent"):
        scission.partition(model, tmp_path / "parts", trials=TRIALS)
    assert names(tmp_path) == []


def test_parts_that_compute_something_else_are_not_written(tmp_path, monkeypatch):
    """The gate is what runs, whatever was found."""
    right = cutting.narrowed

    def wrong(model, wanted, name):
        made = right(model, wanted, name)
        for value in made.graph.initializers.values():
            value.const_value = onnx_ir.Tensor(value.const_value.numpy() + 1, name=value.name)
        return made

    monkeypatch.setattr(cutting, "narrowed", wrong)
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=2).model
    with pytest.raises(PartitionError, match="compute something else"):
        scission.partition(model, tmp_path / "parts", trials=TRIALS)
    assert names(tmp_path) == []


def test_a_folder_is_replaced_when_that_is_asked_for_and_old_parts_go(cut, tmp_path):
    _, three = cut
    folder = tmp_path / "parts"
    shutil.copytree(three, folder)
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=2).model
    with pytest.raises(ManifestError, match="exists already"):
        scission.partition(model, folder, trials=TRIALS)
    scission.partition(model, folder, trials=TRIALS, overwrite=True)
    assert names(folder) == ["manifest.json", "part0.onnx", "part1.onnx"]
    assert scission.check_parts(folder, model, trials=TRIALS).equal


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "parts").mkdir()
    model = ffn.build(np.random.default_rng(0), d=8, hidden=8, blocks=2).model
    scission.partition(model, tmp_path / "parts", trials=TRIALS)
    assert len(names(tmp_path / "parts")) == 3


@pytest.mark.parametrize("place", ["other", "file", "link", "none/parts", "."])
def test_nothing_else_is_written_to(place, cut, tmp_path):
    model, folder = cut
    shutil.copy(model, tmp_path / "m.onnx")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to(folder)
    before = names(tmp_path)
    with pytest.raises(ManifestError):
        scission.partition(tmp_path / "m.onnx", tmp_path / place, trials=TRIALS, overwrite=True)
    assert names(tmp_path) == before and names(tmp_path / "other") == ["letter.txt"]


def test_a_model_inside_of_a_folder_of_parts_is_not_replaced(cut, tmp_path):
    model, folder = cut
    shutil.copytree(folder, tmp_path / "parts")
    shutil.copy(model, tmp_path / "parts" / "m.onnx")
    with pytest.raises(ManifestError, match="holds what is read"):
        scission.partition(tmp_path / "parts" / "m.onnx", tmp_path / "parts", trials=TRIALS, overwrite=True)
    assert "m.onnx" in names(tmp_path / "parts")


def test_parts_go_to_few_files_by_their_loads(tmp_path):
    model = ffn.build(np.random.default_rng(0), d=24, hidden=48, blocks=6).model
    found = scission.partition(model, tmp_path / "parts", parts=3, trials=TRIALS)
    assert names(tmp_path / "parts") == ["manifest.json", "part0.onnx", "part1.onnx", "part2.onnx"]
    assert found.verdict.equal and found.manifest.rows == {"x"}
    macs = [part.macs for part in found.manifest.parts]
    assert sum(macs) == 6 * 2 * 4 * 8 and max(macs) == min(macs)
    graph = onnx.load(tmp_path / "parts" / "part0.onnx").graph
    assert sum(node.op_type == "MatMul" for node in graph.node) == 4  # two parts side by side, none wider
    assert scission.check_parts(tmp_path / "parts", model, trials=TRIALS).equal


def test_data_tell_which_parts_go_together(tmp_path):
    model = ffn.build(np.random.default_rng(0), d=16, hidden=32, blocks=4).model
    single = scission.partition(model, tmp_path / "single", trials=TRIALS).manifest
    x = np.zeros((40, 16), np.float32)
    for row in range(40):
        for part in ((0, 3), (1, 2))[row % 2]:
            x[row, single.parts[part].reads[0].places[1]] = 1
    found = scission.partition(model, tmp_path / "pairs", parts=2, data={"x": x}, trials=TRIALS)
    places = [set(part.reads[0].places[1].tolist()) for part in found.manifest.parts]
    assert places[0] == {int(at) for part in (0, 3) for at in single.parts[part].reads[0].places[1]}
    counted = scission.Activation.loads((tmp_path / "pairs" / "activation.json").read_text())
    assert counted.frequency == (0.5, 0.5) and not counted.together
    with pytest.raises(scission.OptionError, match="give data=… as well"):
        scission.PartitionOptions(off={"x": 0.0})


def same(folder, model, feed):
    made = scission.load_parts(folder, threads=1).run(feed)
    wanted = run_model(model, feed)
    return made.keys() == wanted.keys() and all(
        np.allclose(made[name], value, atol=1e-4 * max(1, np.abs(value).max())) for name, value in wanted.items()
    )


@pytest.mark.parametrize("parts", [None, 1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_models_of_which_no_node_has_a_name_are_cut(tmp_path, seed, parts):
    model = without_node_names(random_parts(seed)[0])
    try:
        found = scission.partition(model, tmp_path / "parts", parts=parts, trials=TRIALS)
    except PartitionError as error:
        assert "nothing in it is independent" in str(error)
        return
    assert parts is None or len(found.manifest.parts) == parts
    assert same(tmp_path / "parts", model, random_feed(np.random.default_rng(seed), model))


@pytest.mark.parametrize("parts", [None, 1, 2])
@pytest.mark.parametrize("kinds", [[SPLIT, DENSE], [DENSE, DENSE, SPLIT, DENSE], [SPLIT, "norm", SPLIT]])
def test_the_end_of_a_layer_may_be_an_output(tmp_path, kinds, parts):
    model = without_node_names(Stack(1).model(kinds))
    between = scission.partition(model, tmp_path / "plain", trials=TRIALS).manifest.between
    model.graph.output.extend(onnx.helper.make_tensor_value_info(value.name, 1, ["n", 12]) for value in between)
    found = scission.partition(model, tmp_path / "parts", parts=parts, trials=TRIALS)
    assert between and not found.manifest.between and found.manifest.rows == {"x"}
    assert same(tmp_path / "parts", model, random_feed(np.random.default_rng(0), model))


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """Models in layers, and their parts."""
    found = []
    for seed, kinds in enumerate(
        ([SPLIT, DENSE], [SPLIT, SPLIT], [DENSE, DENSE, SPLIT, DENSE], [SPLIT, "norm", SPLIT])
    ):
        model = Stack(seed).model(list(kinds))
        folder = tmp_path_factory.mktemp("layers") / "parts"
        assert scission.partition(model, folder, trials=TRIALS).verdict.equal
        found.append((model, scission.load_parts(folder, threads=1)))
    return found


@settings(max_examples=40, deadline=None)
@given(
    which=st.integers(0, 3), seed=st.integers(0, 999), rows=st.integers(1, 5), share=st.sampled_from([0.0, 0.4, 1.0])
)
def test_layers_hand_on_what_they_make_row_by_row(layered, which, seed, rows, share):
    model, parts = layered[which]
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 12)).astype(np.float32)
    for part in parts.manifest.parts:
        for read in part.reads:
            if read.value == "x":
                x[np.ix_(rng.random(rows) >= share, read.places.get(1, np.arange(12)))] = 0
    assert parts.manifest.rows == {"x"} and parts.manifest.between
    made, expected = parts.run({"x": x}), run_model(model, {"x": x})
    for name, value in expected.items():
        assert np.allclose(made[name], value, atol=1e-4 * max(1, np.abs(value).max()))


def test_layers_go_to_few_files_each(tmp_path):
    model = Stack(0).model([SPLIT, DENSE, SPLIT])
    found = scission.partition(model, tmp_path / "parts", parts=2, trials=TRIALS)
    assert (
        found.verdict.equal
        and len(found.manifest.between) == len({s.value for p in found.manifest.parts for s in p.reads}) - 1
    )
    assert max(len(part.writes) for part in found.manifest.parts) == 1
