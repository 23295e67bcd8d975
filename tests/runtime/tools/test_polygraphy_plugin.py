import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from one_linear import saved

import scission

polygraphy = pytest.importorskip("polygraphy")
from scission.runtime.tools.polygraphy_plugin import SplitOnnx, arg_groups  # noqa: E402 - it imports polygraphy

MAIN = "import sys; from polygraphy.tools import main; sys.exit(main())"


def run(*arguments):
    command = [sys.executable, "-c", MAIN, "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_polygraphy_finds_the_plug_in():
    (entry,) = importlib.metadata.entry_points(group="polygraphy.run.plugins", name="scission")
    assert entry.load() is arg_groups


@pytest.mark.parametrize("extra", [(), ("--scission-force",)])
def test_polygraphy_runs_the_split_model_beside_the_original(tmp_path, extra):
    done = run(saved(tmp_path), "--scission", "--onnxrt", "--input-shapes", "x:[3,32]", *extra)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "scission" in done.stdout and "PASSED" in done.stdout
    done = run(tmp_path / "model.onnx", "--help")
    assert "--scission-force" in done.stdout


def test_a_script_is_made_that_splits(tmp_path):
    script = tmp_path / "run.py"
    done = run(saved(tmp_path), "--scission", "--scission-force", "--gen-script", script)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SplitOnnx(" in script.read_text() and "force=True" in script.read_text()


@pytest.mark.parametrize("form", ["path", "bytes", "loader"])
def test_the_loader_gives_what_onnx_runtime_opens(tmp_path, form):
    path = saved(tmp_path)
    given = {"path": path, "bytes": path.read_bytes(), "loader": path.read_bytes}[form]
    split = SplitOnnx(given, force=True)
    found = split()
    assert scission.check(path, found).equal
    assert not scission.diff(path, found).same


def test_a_folder_of_a_loader_goes_with_it(tmp_path):
    split = SplitOnnx(saved(tmp_path), force=True)
    folder = Path(split()).parent
    assert folder.is_dir()
    del split
    assert not folder.exists()
