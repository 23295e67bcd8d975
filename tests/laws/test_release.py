"""What is released: a wheel and an archive of sources that are built, complete, described, and run where they are."""

import configparser
import email
import functools
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from interpreters import SUPPORTED, interpreter
from modules import FILES, ROOT

import scission
from scission.models.planted import ffn

PARTS = ("src", "ir", "passes", "runtime", "models", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*words, **settings):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=600, **settings)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sources), the wheel built from the sources, as `python -m build` does."""
    for package in ("build", "setuptools", "twine"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("release")
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        hidden = {"ignore": shutil.ignore_patterns("__pycache__")} if (ROOT / name).is_dir() else {}
        copy(ROOT / name, folder / name, **hidden)
    run(sys.executable, "-m", "build", "--no-isolation", cwd=folder)
    (wheel,), (sources,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return wheel, sources


def test_the_version_stands_in_one_place():
    assert "version" not in PROJECT["project"] and PROJECT["project"]["dynamic"] == ["version"]
    (newest, *_) = re.findall(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest == scission.__version__


def test_the_description_is_one_that_an_index_takes(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built)


def test_the_wheel_has_every_module_and_what_they_read(built):
    wheel, _ = built
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        described = email.message_from_bytes(packed.read(f"{info}/METADATA"))
        entries = configparser.ConfigParser()
        entries.read_string(packed.read(f"{info}/entry_points.txt").decode())
    homes = {"src/scission": "scission", **{name: f"scission/{name}" for name in ("ir", "passes", "runtime", "models")}}
    files = {
        f"{home}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, home in homes.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(files) > len(FILES) and {name for name in names if not name.startswith(info)} == files
    assert described["Version"] == scission.__version__ and described["Requires-Python"] == ">=3.11"
    assert described["License-Expression"] == "Apache-2.0" and f"{info}/licenses/LICENSE" in names
    assert entries["console_scripts"]["scission"] == PROJECT["project"]["scripts"]["scission"]
    assert "polygraphy.run.plugins" in entries


def test_the_archive_has_the_sources(built):
    with tarfile.open(built[1]) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {path.relative_to(ROOT).as_posix() for path in FILES.values()} <= names
    assert not [name for name in names if name.startswith((".", "tests/bench/results"))]


OFFLINE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|name resolution|unreachable", re.IGNORECASE
)


@pytest.fixture(scope="module", params=SUPPORTED, ids=lambda minor: f"3.{minor}")
def installed(request, built, tmp_path_factory):
    """A new environment of each supported Python with the wheel in it, and what it needs: out of this environment for
    the version that runs, as an index has it for others."""
    python, minor = interpreter(request.param), request.param
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    folder = tmp_path_factory.mktemp("clean") / "venv"
    run(python, "-m", "venv", "--without-pip", folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q"]
    if sys.version_info[:2] != (3, minor):
        command = [*pip, "-c", ROOT / "constraints.txt", f"{built[0]}[cpu]"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, check=False)
        if done.returncode and OFFLINE.search(done.stderr):
            pytest.skip(f"what Python 3.{minor} needs cannot be had without an index")
        assert done.returncode == 0, done.stderr[-3000:]
        return folder / "bin"
    run(*pip, "--no-deps", "--no-index", built[0])
    (home,) = folder.glob("lib/python*/site-packages")
    others = {str(Path(one).resolve()) for one in sys.path if Path(one).name == "site-packages"}
    (home / "needed.pth").write_text("\n".join(sorted(others)), encoding="utf-8")  # of which no editable one is read
    return folder / "bin"


# What readers of README type in Python, with what Python and libraries warn of in our own code as an error.
SESSION = """
import warnings
warnings.filterwarnings("error", module=r"scission(\\.|$)")
import scission
result = scission.optimize("model.onnx", "again.onnx", force=True, bench=False)
print(result.outcome, result.reason)
verdict = scission.check("model.onnx", "again.onnx")
assert verdict.equal, verdict.reason
assert "<table" in result.plan._repr_html_()
"""


def test_what_is_installed_runs(installed, tmp_path):
    onnx.save(ffn.build(np.random.default_rng(0), d=64, hidden=256, blocks=4).model, tmp_path / "model.onnx")
    where = run(installed / "python", "-c", "import scission; print(scission.__file__)", cwd=tmp_path)
    package = Path(where.strip()).parent
    assert package.is_relative_to(installed.parent)
    assert run(installed / "scission", "--version", cwd=tmp_path).strip() == f"scission {scission.__version__}"
    command = [installed / "scission", "optimize", "model.onnx", "split.onnx", "--force", "--no-bench"]
    assert run(*command, cwd=tmp_path).rstrip().endswith("split: 2 of 2 operators split")
    run(installed / "scission", "report", "model.onnx", "split.onnx", "-o", "page.html", cwd=tmp_path)
    assert "--show-completion" in run(installed / "scission", "--help", cwd=tmp_path)
    assert "everything that is needed is there" in run(installed / "scission", "doctor", cwd=tmp_path)
    assert run(installed / "python", "-c", SESSION, cwd=tmp_path).startswith("split 2 of 2 operators split")
    run(installed / "python", "-W", "error", "-m", "compileall", "-q", "-f", package)


def test_help_says_the_same_under_every_version(installed, tmp_path):
    """Docstrings, which the help is made of, lose their indentation in some versions, and annotations are put off."""
    for words in ("--help", "optimize --help"):
        assert run(installed / "scission", *words.split(), cwd=tmp_path) == _help(words)


@functools.cache
def _help(words):
    return run(sys.executable, "-m", "scission", *words.split())


def test_whatever_is_supported_is_tried():
    said = {int(one) for one in re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["project"]["classifiers"]))}
    assert said == {*SUPPORTED}
