import dataclasses
import json

import pytest
import typer
from shell import FAST, FORCE, files

import scission
from scission.runtime.calibrate.annealer import Annealer
from scission.runtime.cli.common.annealing import annealer

PLAIN = {option.name: option.default for option in dataclasses.fields(Annealer)} | {"method": "blocks"}


def test_no_method_is_no_annealing():
    assert annealer(**{**PLAIN, "method": None}) is None


def test_options_become_one_value():
    made = annealer(**{**PLAIN, "method": "neyman", "alpha": 0.01, "init": "bert", "literal": True})
    assert (made.method, made.alpha, made.init, made.literal, made.correction) == (
        "neyman",
        0.01,
        "bert",
        True,
        "bonferroni",
    )


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"method": None, "init": "bert"}, "--init"),
        ({"method": None, "drop_residual": True}, "--drop-residual"),
        ({"method": "magic"}, "--anneal"),
        ({"correction": "holm"}, "--correction"),
        ({"alpha": 0.0}, "--alpha"),
        ({"alpha": 1.0}, "--alpha"),
    ],
)
def test_what_makes_no_sense_is_refused(change, hint):
    with pytest.raises(typer.BadParameter) as error:
        annealer(**{**PLAIN, **change})
    assert hint in (error.value.param_hint or error.value.message)


SIGMA = "--init normal:0.05"
ANNEALING = [
    f"sweep noisy.onnx --data calib.npz {SIGMA} --levels 0.1,1e-6 --plot new.png -o new.json",
    f"sweep noisy.onnx --data calib.npz --labels labels.npy --metric argmax {SIGMA} --anneal blocks --all",
    "sweep noisy.onnx --data calib.npz --anneal update --initial start.npz --max-drop cosine<=0.5",
    "sweep noisy.onnx --data calib.npz --levels 0.01 --literal --correction none --no-explain",
    f"plan noisy.onnx --anneal blocks {SIGMA} --force -o new.json",
    f"plan noisy.onnx --anneal neyman --literal {SIGMA}",
    f"plan noisy.onnx --anneal walk --axis outputs --accept-null {SIGMA}",
    f"optimize noisy.onnx --dry-run --anneal blocks {SIGMA}",
    f"optimize noisy.onnx new.onnx --anneal blocks {SIGMA} --data calib.npz --max-drop cosine<=0.5 {FORCE}",
    f"optimize noisy.onnx new.onnx --anneal blocks {SIGMA} --data calib.npz --max-drop cosine<=1e-9 {FAST}",
]


@pytest.mark.parametrize("line", ANNEALING)
def test_annealing_works_and_says_so(line, noisy, scission_cli):
    before = files(noisy)
    status, out, err = scission_cli(line)
    assert (status, err) == (0, "") and out.strip()
    new = files(noisy).keys() - before.keys()
    assert new == {word for word in line.split() if word.startswith("new.")}
    if "new.onnx" in new:
        same = (noisy / "new.onnx").read_bytes() == before["noisy.onnx"]
        assert same is ("nothing was annealed" in out) is ("1e-9" in line)


@pytest.mark.parametrize("line", ANNEALING)
def test_annealing_as_json(line, noisy, scission_cli):
    status, out, err = scission_cli(f"{line} --json")
    data = json.loads(out, parse_constant=pytest.fail)
    assert (status, err) == (0, "") and data
    if line.startswith("sweep") and "new.json" in line:
        assert json.loads((noisy / "new.json").read_text())["levels"] == data["levels"] and len(data["levels"]) == 2
    if line.startswith("plan") and "blocks" in line:
        assert [one["node"] for one in data["annealing"]] == ["l0", "l1"]


def test_an_annealing_plan_is_carried_out_and_rolled_back(noisy, scission_cli):
    scission_cli(f"plan noisy.onnx --anneal blocks {SIGMA} --force -o new.json --quiet")
    assert "2 annealed" in scission_cli("apply noisy.onnx new.json new.onnx")[1]
    assert not scission.check("noisy.onnx", "new.onnx").equal
    scission_cli("apply noisy.onnx new.json back.onnx --restore l0 --restore l1 --quiet")
    assert (noisy / "back.onnx").read_bytes() == (noisy / "noisy.onnx").read_bytes()
    status, _, err = scission_cli("apply noisy.onnx new.json other.onnx --restore nobody --overwrite")
    assert status == 2 and "nobody" in err


WRONG_ANNEALING = [
    ("sweep noisy.onnx", "--data"),
    ("sweep noisy.onnx --data calib.npz --levels 0.1,2", "--levels"),
    ("sweep noisy.onnx --data calib.npz --anneal magic", "magic"),
    ("sweep noisy.onnx --data calib.npz --correction holm", "holm"),
    ("sweep noisy.onnx --data calib.npz --alpha 1", "--alpha"),
    ("sweep noisy.onnx --data nope.npz", "nope.npz"),
    ("sweep noisy.onnx --data noisy.onnx", "noisy.onnx"),
    ("sweep nope.onnx --data calib.npz", "nope.onnx"),
    ("sweep noisy.onnx --data start.npz", "start.npz"),
    ("sweep noisy.onnx --data calib.npz --metric argmax --labels calib.npz", "labels"),
    ("sweep noisy.onnx --data calib.npz --metric beauty", "beauty"),
    ("sweep noisy.onnx --data calib.npz --metric perplexity", "labels"),
    ("sweep noisy.onnx --data calib.npz --metric python:nope.fn", "nope"),
    ("sweep noisy.onnx --data calib.npz --max-drop argmax", "argmax"),
    ("sweep noisy.onnx --data calib.npz --init xavier", "xavier"),
    ("sweep noisy.onnx --data calib.npz --init like:nobody", "nobody"),
    ("sweep noisy.onnx --data calib.npz --init bert --initial start.npz", "one of them"),
    ("sweep noisy.onnx --data calib.npz --initial nope.pt", "nope.pt"),
    ("sweep noisy.onnx --data calib.npz --anneal update", "--initial"),
    ("sweep noisy.onnx --data calib.npz --anneal support --init bert", "bounded"),
    ("sweep noisy.onnx --data calib.npz --plot new.pdf", "new.pdf"),
    ("sweep noisy.onnx --data calib.npz -o calib.npz --overwrite", "is the input itself"),
    ("sweep noisy.onnx --data calib.npz -o start.npz --custom-ops start.npz --overwrite", "is the input itself"),
    ("sweep noisy.onnx --data calib.npz -o plan.json", "exists already"),
    ("optimize noisy.onnx new.onnx --anneal blocks", "annealing is lossy"),
    ("optimize noisy.onnx new.onnx --anneal blocks --data calib.npz", "annealing is lossy"),
    ("optimize noisy.onnx new.onnx --data calib.npz", "--anneal"),
    ("optimize noisy.onnx new.onnx --init bert", "--anneal"),
    (
        "optimize noisy.onnx new.onnx --anneal neyman --refit --literal",
        "choose one",
    ),
    ("optimize noisy.onnx calib.npz --anneal blocks --data calib.npz --max-drop cosine<=1 --overwrite", "input itself"),
    ("optimize noisy.onnx new.onnx --anneal blocks --data calib.npz --max-drop cosine", "cosine"),
    ("plan noisy.onnx --literal", "--anneal"),
    ("plan noisy.onnx --anneal blocks --literal", "means nothing to the method"),
    ("plan noisy.onnx --anneal blocks --accept-null", "means nothing to the method"),
    ("sweep noisy.onnx --data calib.npz --anneal neyman --axis outputs", "means nothing to the method"),
    ("plan noisy.onnx --anneal walk --axis rows", "--axis"),
    ("plan noisy.onnx --accept-null", "--anneal"),
    ("plan noisy.onnx --anneal update --alpha 0.1 --initial start.npz", "means nothing to the method"),
    ("plan noisy.onnx --anneal neyman --drop-residual", "means nothing to the method"),
    ("sweep noisy.onnx --data calib.npz --metric argmax --max-drop cosine<=0.1", "--max-drop"),
    ("plan noisy.onnx --anneal support", "--init"),
]


@pytest.mark.parametrize(("line", "word"), WRONG_ANNEALING)
def test_wrong_annealing_is_status_2(line, word, noisy, scission_cli):
    before = files(noisy)
    status, out, err = scission_cli(line)
    assert (status, out) == (2, "") and word in err and files(noisy) == before
