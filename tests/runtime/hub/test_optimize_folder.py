"""Folders of hubs and of onnxruntime-genai go in and come out whole, read by the programs that they are for."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from exports import EXPORTS

import scission
from scission.ir.errors import ModelError
from scission.runtime.hub import optimize_folder as folders

SHORT = {"further": scission.OptimizeOptions(bench=False), "trials": scission.Trials(seconds=0.02)}
CONFIG = {"model_type": "bert"}


def hub(folder):
    """A folder as Optimum writes it: one model with its weights beside it, one without, a configuration."""
    (folder / "onnx").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    onnx.save_model(
        EXPORTS["encoder"](), folder / "onnx" / "model.onnx",
        save_as_external_data=True, location="model.onnx_data", size_threshold=100,
    )  # fmt: skip
    onnx.save(EXPORTS["decoder with past"](), folder / "onnx" / "decoder_model.onnx")
    return folder


def cached(folder):
    """The same in the cache of a hub: every file is a link to a blob."""
    plain = hub(folder / "plain")
    snapshot, blobs = folder / "models--a--b" / "snapshots" / "9c", folder / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(plain.rglob("*.*"))):
        if path.is_file() and ".cache" not in path.parts:
            target = snapshot / path.relative_to(plain)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, blobs / str(number))
            target.symlink_to(os.path.relpath(blobs / str(number), target.parent))
    return snapshot


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [hub, cached])
@pytest.mark.parametrize("force", [True, False])
def test_a_folder_of_a_hub_comes_out_whole(tmp_path, make, force):
    folder, out = make(tmp_path / "in"), tmp_path / "out"
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    found = scission.optimize_folder(folder, out, force=force, **SHORT)
    assert {name: result.outcome for name, result in found.results.items()} == dict.fromkeys(
        ("onnx/decoder_model.onnx", "onnx/model.onnx"), "split" if force else "unchanged"
    )
    assert files(out) == {one for one in before if not one.startswith(".cache")}
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert found.others == (out / "config.json",) and json.loads((out / "config.json").read_text()) == CONFIG
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before
    assert {path for result in found.results.values() for path in result.written} <= {out / name for name in files(out)}
    for name in found.results:
        assert scission.check(folder / name, out / name).equal
        assert force or (out / name).read_bytes() == before[name]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # nothing is left


def test_what_is_no_folder_of_models_is_refused(tmp_path):
    folder = hub(tmp_path / "in")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cache" / "snapshots").mkdir(parents=True)
    for source, target, why in (
        (folder / "config.json", tmp_path / "out", "is no folder"),
        (tmp_path / "none", tmp_path / "out", "is no folder"),
        (tmp_path / "empty", tmp_path / "out", r"no \.onnx file"),
        (tmp_path / "cache", tmp_path / "out", "cache of a hub"),
        (folder, folder, "holds what is read"),
        (folder, tmp_path, "holds what is read"),
        (folder, folder / "out", "lies inside"),
        (folder, tmp_path / "no" / "out", "does not exist"),
    ):
        with pytest.raises(ModelError, match=why):
            scission.optimize_folder(source, target, **SHORT)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_replaced_only_where_nothing_is_lost(tmp_path):
    """With overwrite the whole folder is another one; a file that the new one will not have, hidden or not, stays."""
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    scission.optimize_folder(folder, out, force=True, **SHORT)
    first = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(ModelError, match="out: exists already; choose another output or add overwrite=True"):
        scission.optimize_folder(folder, out, **SHORT)
    for name in (".git/config", "onnx/notes.txt", "tokenizer.json"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(ModelError, match=rf"out: holds {name}, which .*in has none of and would be lost; move it"):
            scission.optimize_folder(folder, out, overwrite=True, **SHORT)
        assert {one: (out / one).read_bytes() for one in files(out)} == {**first, name: b"mine"}
        (out / name).unlink()
    (out / "link").symlink_to(folder)
    with pytest.raises(ModelError, match="out: holds link"):
        scission.optimize_folder(folder, out, overwrite=True, **SHORT)
    (out / "link").unlink()
    (folder / "config.json").write_text("{}")
    (folder / "onnx" / "decoder_model.onnx").write_bytes((folder / "onnx" / "model.onnx").read_bytes())
    found = scission.optimize_folder(folder, out, overwrite=True, bench=False, trials=SHORT["trials"])
    assert found.ok and {one.outcome for one in found.results.values()} == {"unchanged"}
    assert (out / "config.json").read_text() == "{}" and files(out) <= {*first, "onnx/decoder_model.onnx.data"}
    assert {one.name for one in tmp_path.iterdir()} == {"in", "out"}


@pytest.mark.parametrize("place", [".", "..", "inner/..", "{out}", "../../out"])
def test_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch, place):
    """A shell in it would stay in the old one, which is gone."""
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    (out / "inner").mkdir(parents=True)
    monkeypatch.chdir(out / "inner" if place.startswith("..") else out)
    with pytest.raises(ModelError, match="out: is the folder that this runs in; run it elsewhere"):
        scission.optimize_folder(folder, place.format(out=out), overwrite=True, **SHORT)
    assert [*out.iterdir()] == [out / "inner"]


def test_a_folder_may_end_in_dots(tmp_path):
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    (out / "inner").mkdir(parents=True)
    assert scission.optimize_folder(
        folder, out / "inner" / "..", overwrite=True, **SHORT
    ).ok and "config.json" in files(out)


def test_no_link_is_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "empty")
    with pytest.raises(ModelError, match="out: is there and a link"):
        scission.optimize_folder(hub(tmp_path / "in"), tmp_path / "out", overwrite=True, **SHORT)


def test_where_a_check_fails_what_was_there_stays(tmp_path, monkeypatch):
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    scission.optimize_folder(folder, out, **SHORT)
    before = {name: (out / name).read_bytes() for name in files(out)}
    real = scission.optimize
    monkeypatch.setattr(
        folders, "optimize", lambda *args, **given: replace(real(*args, **given), outcome="failed", written=())
    )
    assert not scission.optimize_folder(folder, out, overwrite=True, force=True, **SHORT).ok
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    assert {one.name for one in tmp_path.iterdir()} == {"in", "out"}


def test_no_link_leads_out_of_a_folder(tmp_path):
    folder, secret = hub(tmp_path / "in"), tmp_path / "secret"
    secret.write_text("secret")
    (folder / "tokenizer.json").symlink_to(secret)
    with pytest.raises(ModelError, match=r"tokenizer\.json: is a link out of"):
        scission.optimize_folder(folder, tmp_path / "out", **SHORT)
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match="pipe: is not a regular file"):
        scission.optimize_folder(folder, tmp_path / "out", **SHORT)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_read_leaves_nothing(tmp_path):
    folder = hub(tmp_path / "in")
    (folder / "onnx" / "other.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"other\.onnx"):
        scission.optimize_folder(folder, tmp_path / "out", **SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_where_one_check_fails_nothing_is_written(tmp_path, monkeypatch):
    def failing(source, *args, **options):
        result = scission.optimize(source, *args, **options)
        return replace(result, outcome="failed", written=()) if source.name == "model.onnx" else result

    monkeypatch.setattr(folders, "optimize", failing)
    found = scission.optimize_folder(hub(tmp_path / "in"), tmp_path / "out", force=True, **SHORT)
    assert not found.ok and found.sentence == "check failed of onnx/model.onnx, nothing was written"
    assert not any(result.written for result in found.results.values()) and not found.others
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_command_takes_folders(tmp_path):
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    line = [sys.executable, "-m", "scission", "optimize", folder, out, "--force", "--no-bench"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"wrote {out}: 2 of 2 models split; 1 other file copied"
    failed = subprocess.run([*line, "--dry-run"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2 and "for one model" in failed.stderr


def genai(folder):
    """A folder of onnxruntime-genai: a decoder with a cache, named in its configuration."""
    folder.mkdir()
    onnx.save_model(
        EXPORTS["decoder with past"](), folder / "model.onnx",
        save_as_external_data=True, location="model.onnx.data", size_threshold=100,
    )  # fmt: skip
    names = {
        "inputs": {
            "input_ids": "input_ids", "attention_mask": "attention_mask", "position_ids": "position_ids",
            "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value",
        },
    }  # fmt: skip
    decoder = {
        "session_options": {"provider_options": []}, "filename": "model.onnx", "head_size": 16, "hidden_size": 32,
        "num_attention_heads": 2, "num_hidden_layers": 1, "num_key_value_heads": 2, **names,
    }  # fmt: skip
    model = {
        "bos_token_id": 0, "eos_token_id": 31, "pad_token_id": 31, "context_length": 24, "vocab_size": 32,
        "type": "llama", "decoder": decoder,
    }  # fmt: skip
    search = {"do_sample": False, "max_length": 16, "past_present_share_buffer": False, "num_beams": 1}
    (folder / "genai_config.json").write_text(json.dumps({"model": model, "search": search}))
    return folder


GENERATE = """
import sys, numpy as np, onnxruntime_genai as og
model = og.Model(sys.argv[1])
params = og.GeneratorParams(model)
params.set_search_options(max_length=12)
generator = og.Generator(model, params)
generator.append_tokens(np.array([[3, 7, 1, 9]], np.int32))
while not generator.is_done():
    generator.generate_next_token()
print([*map(int, generator.get_sequence(0))])
"""


def generated(folder):
    python = os.environ.get("GENAI_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", GENERATE, folder], capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        pytest.skip("onnxruntime-genai is not installed")
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def test_a_folder_of_genai_stays_valid_and_says_the_same(tmp_path):
    folder, out = genai(tmp_path / "in"), tmp_path / "out"
    found = scission.optimize_folder(folder, out, force=True, **SHORT)
    assert [result.outcome for result in found.results.values()] == ["split"]
    assert files(out) == files(folder) and found.others == (out / "genai_config.json",)
    named = json.loads((out / "genai_config.json").read_text())["model"]["decoder"]["filename"]
    assert (out / named).is_file() and scission.check(folder / named, out / named).equal
    said = generated(folder)
    assert len(said) > 5 and generated(out) == said and len({*said[4:]}) > 1


@pytest.mark.filterwarnings("ignore::scission.runtime.notes.InputsWarning")
def test_inputs_beside_a_model_go_with_it(tmp_path):
    folder, out = hub(tmp_path / "in"), tmp_path / "out"
    (folder / "onnx" / "inputs.toml").write_text("[sizes]\nbatch_size = 3\n")
    found = scission.optimize_folder(folder, out, force=True, trials=SHORT["trials"])
    assert (out / "onnx" / "inputs.toml").is_file()
    assert {one.rows for result in found.results.values() for one in result.benches} == {3}


TRIALS = scission.Trials(seconds=0.02, threads=1)
NO_BENCH = scission.OptimizeOptions(bench=False)
HIDDEN, HEADS, BLOCKS = 32, 4, 4


def in_blocks(model):
    """The same model with four independent blocks in every square or wide weight of its layers."""
    import torch

    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "encoder" in name:
            out, into = weight.shape
            mask = torch.kron(torch.eye(BLOCKS), torch.ones(out // BLOCKS, into // BLOCKS))
            weight.data *= mask
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small BERT of random weights in a folder as Optimum writes it."""
    pytest.importorskip("optimum.onnxruntime")
    import torch
    from optimum.exporters.onnx import onnx_export_from_model
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=HEADS, intermediate_size=64, vocab_size=50,
        max_position_embeddings=40,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("optimum") / "bert"
    onnx_export_from_model(in_blocks(BertModel(config).eval()), folder, task="feature-extraction", do_validation=False)
    return folder


def answers(folder, name="model.onnx"):
    """What Optimum's model of this folder says to two sentences of which one is shorter."""
    import torch
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    model = ORTModelForFeatureExtraction.from_pretrained(folder, file_name=name)
    ids = torch.arange(14).reshape(2, 7) + 3
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).last_hidden_state.numpy()


def test_a_folder_of_optimum_is_read_again_and_says_the_same(exported, tmp_path):
    found = scission.optimize_folder(exported, tmp_path / "out", force=True, further=NO_BENCH, trials=TRIALS)
    assert [result.outcome for result in found.results.values()] == ["split"]
    before, after = answers(exported), answers(tmp_path / "out")
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


def operators(path):
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def fused(path, out):
    """The model after `optimize_model` of ONNX Runtime, as its recipe for BERT has it."""
    from onnxruntime.transformers.optimizer import optimize_model

    done = optimize_model(str(path), model_type="bert", num_heads=HEADS, hidden_size=HIDDEN, opt_level=0)
    done.save_model_to_file(str(out))
    return out


def test_models_that_onnx_runtime_fused_are_split_and_proved(exported, tmp_path):
    one = fused(exported / "model.onnx", tmp_path / "fused.onnx")
    assert "Attention" in operators(one) or "MultiHeadAttention" in operators(one)
    result = scission.optimize(one, tmp_path / "split.onnx", force=True, further=NO_BENCH, trials=TRIALS)
    assert result.outcome == "split" and result.verdict.equal


def test_what_was_split_is_fused_all_the_same(exported, tmp_path):
    split = tmp_path / "split.onnx"
    result = scission.optimize(exported / "model.onnx", split, force=True, further=NO_BENCH, trials=TRIALS)
    assert result.outcome == "split"
    one = fused(split, tmp_path / "fused.onnx")
    assert {"SkipLayerNormalization", "Gelu"} <= {*operators(one)}
    assert scission.check(exported / "model.onnx", one, trials=TRIALS).equal
