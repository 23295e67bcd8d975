"""No command writes over what it reads, or computes what it cannot write."""

import os

import numpy as np
import onnx
import pytest
from read_and_written import MODELS, OUTPUTS, READERS, fill, never_over, never_to, only_regular
from shell import W, model_of
from strange_files import FORMS

from scission.runtime.pipeline import plan as planning


def test_a_page_is_never_written_over_the_data_of_a_model(scission_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = model_of(W)
    onnx.save(model, "e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    onnx.save(model_of(W), "in.onnx")
    before = (tmp_path / "e.bin").read_bytes()
    (tmp_path / "seen").mkdir()
    for name in ("e.onnx", "e.bin"):  # as in a cache: links, of which the folder of the data knows nothing
        (tmp_path / "seen" / name).symlink_to(tmp_path / name)
    for line in (
        "plan seen/e.onnx -o e.bin",
        "diff in.onnx e.onnx --html e.bin",
        "report e.onnx -o e.bin",
        "report in.onnx e.onnx -o e.bin --no-check --no-bench",
    ):
        status, _, err = scission_cli(f"{line} --overwrite")
        assert status == 2 and ("e.bin: holds the weights of e.onnx" in err or "e.bin: is the input itself" in err)
        assert (tmp_path / "e.bin").read_bytes() == before


def test_nothing_is_written_over_data_that_only_links_lead_to(scission_cli, tmp_path, monkeypatch):
    """The folder of the data holds no model: only what was given tells that it is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "seen").mkdir()
    onnx.save(model_of(W), "in.onnx")
    onnx.save(model_of(W), "seen/e.onnx", save_as_external_data=True, location="e.bin", size_threshold=0)
    blob = tmp_path / "blobs" / "b.png"
    for name, real in (("e.bin", blob), ("e.onnx", tmp_path / "blobs" / "m")):
        (tmp_path / "seen" / name).rename(real)
        (tmp_path / "seen" / name).symlink_to(real)
    np.savez("calib.npz", x=np.zeros((2, len(W)), np.float32))
    before = blob.read_bytes()
    for line in (
        "plan seen/e.onnx -o blobs/b.png",
        "plan in.onnx --anneal update --initial seen/e.onnx -o blobs/b.png",
        "optimize in.onnx blobs/b.png --anneal update --initial seen/e.onnx --data calib.npz --max-drop cosine<=0.1",
        "sweep seen/e.onnx --data calib.npz -o blobs/b.png",
        "sweep seen/e.onnx --data calib.npz --plot blobs/b.png",
        "sweep in.onnx --data calib.npz --anneal update --initial seen/e.onnx -o blobs/b.png",
    ):
        status, _, err = scission_cli(f"{line} --overwrite")
        assert status == 2 and "blobs/b.png: is the input itself" in err, (line, err)
        assert blob.read_bytes() == before and not blob.is_symlink()


def test_a_plan_that_cannot_be_written_is_not_computed(folder, scission_cli, monkeypatch):
    monkeypatch.setattr(planning, "plan", lambda *_, **__: pytest.fail("it was computed"))
    for output, why in (("plan.json", "exists already"), ("nowhere/p.json", "its folder does not exist")):
        status, _, err = scission_cli(f"plan in.onnx -o {output}")
        assert status == 2 and why in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def filled(prepared, monkeypatch):
    """A folder with everything that commands read; each test leaves it as it was."""
    monkeypatch.chdir(prepared)
    monkeypatch.setenv("SCISSION_CACHE", str(prepared / "cache"))
    monkeypatch.syspath_prepend(prepared)
    return prepared


def test_nothing_but_a_regular_file_is_read(filled, scission_cli):
    """Each form somewhere, a pipe, which would be waited for without end, everywhere."""
    for place, what in enumerate(READERS):
        for form in ("pipe", FORMS[1 + place % (len(FORMS) - 1)]):
            assert only_regular(filled, scission_cli, form, what) == "", (form, what)


WAYS = ("itself", "link", "hard link", "data")


@pytest.mark.parametrize("line", OUTPUTS)
def test_no_output_is_what_the_command_reads(line, filled, scission_cli):
    """By its own name, by a link, by a hard link, or as the data beside a model: each of them one way, in turn."""
    for place, victim in enumerate(OUTPUTS[line][1].split()):
        way = WAYS[(len(line) + place) % (3 + (line in MODELS))]
        assert never_over(filled, scission_cli, line, victim, way) == "", (victim, way)


def test_no_output_is_anything_but_a_file(filled, scission_cli):
    forms = [*(form for form in FORMS if form != "sparse"), "a link"]
    for place, line in enumerate(OUTPUTS):
        if "--tune" not in line:
            assert never_to(filled, scission_cli, line, forms[place % len(forms)]) == "", line


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_what_is_replaced_keeps_its_mode(mode, filled, scission_cli):
    for name in ("p.json", "d.html", "o.onnx", "o.onnx.data"):
        (filled / name).write_bytes(b"")
        (filled / name).chmod(mode)
    for line in (
        "plan in.onnx -o p.json -q",
        "diff in.onnx in.onnx --html d.html -q",
        "apply ext.onnx ext.json o.onnx -q",
    ):
        assert scission_cli(f"{line} --overwrite -q") == (0, "", ""), line
    for name in ("p.json", "d.html", "o.onnx", "o.onnx.data"):
        assert (filled / name).stat().st_mode & 0o777 == mode and (filled / name).stat().st_size
        (filled / name).unlink()


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_what_is_new_has_the_mode_of_new_files(mask, filled, scission_cli):
    before = os.umask(mask)
    try:
        for line in ("plan in.onnx -o p.json -q", "apply ext.onnx ext.json o.onnx -q"):
            assert scission_cli(line) == (0, "", ""), line
    finally:
        os.umask(before)
    for name in ("p.json", "o.onnx", "o.onnx.data"):
        assert (filled / name).stat().st_mode & 0o777 == 0o666 & ~mask
        (filled / name).unlink()


def test_the_command_that_keeps_the_faster_model_is_told_of_cuda_graphs(scission_cli, folder):
    status, _, told = scission_cli("optimize in.onnx out.onnx --provider cpu --force --no-check --cuda-graph on")
    assert status == 2 and "CUDA graphs run on CUDA only" in told and not (folder / "out.onnx").exists()
