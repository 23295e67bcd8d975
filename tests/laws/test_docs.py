"""What docs/ and the README say of the code is so."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from modules import HOMES, MODULES, ROOT, tree

from scission.models.planted.products import build

sys.path.insert(0, str(ROOT / "tests" / "bench"))
import measured

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", ARCHITECTURE, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```", "", ARCHITECTURE, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
FOLDERS = {path.parent.relative_to(ROOT).as_posix() for name, path in MODULES.items() if name.split(".")[1:]}


def block(beginning):
    """The one fenced block of the page that begins so."""
    (found,) = (text for _, text in BLOCKS if text.startswith(beginning))
    return found


@pytest.mark.parametrize("path", sorted({code for code in CODE if re.fullmatch(r"[\w./]*/[\w./]*", code)}))
def test_a_path_that_the_page_names_exists(path):
    assert (ROOT / path).exists()


def test_names_that_the_page_uses_are_defined():
    defined = {n.name for module in MODULES for n in tree(module).body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    names = {code for code in CODE if re.fullmatch(r"[A-Za-z_]+", code)} - set(HOMES)
    assert len(names) > 1 and names - defined == set()


def test_the_tree_has_every_folder():
    path, found = [], set()
    for line in block("ir/ ").splitlines():
        entry = re.match(r"((?:  ){0,3})([\w/]+)/ ", line)
        if entry and (entry[1] or entry[2] in HOMES):
            path[len(entry[1]) // 2 :] = [entry[2]]
            found.add("/".join(path))
    assert found == {folder for folder in FOLDERS if folder.split("/")[0] in HOMES}


def test_no_arrow_between_the_rooms_of_passes_is_missing():
    drawn = {}
    for line in block("connectivity ->").splitlines():
        room, _, known = line.partition("->")
        drawn[room.strip()] = {each.strip() for each in known.split(",")} - {"nothing"}
    actual = {room: set() for room in drawn}
    for name, path in MODULES.items():
        room = name.split(".")[2:3]
        if name.startswith("scission.passes.") and path.parent != ROOT / "passes":
            actual[room[0]] |= set(re.findall(r"^ *from \.\.+(\w+)\.", path.read_text(encoding="utf-8"), re.M)) & set(
                drawn
            )
            actual[room[0]] -= set(room)
    assert set(drawn) == {path.name for path in (ROOT / "passes").iterdir() if (path / "__init__.py").exists()}
    assert {room: known - drawn[room] for room, known in actual.items() if known - drawn[room]} == {}


def test_the_flow_that_the_page_shows_runs(tmp_path, monkeypatch):
    onnx.save(build(np.random.default_rng(0), "matmul-right-2").model, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    seen = {}
    exec(next(text for language, text in BLOCKS if language == "python"), seen)
    assert seen["verdict"].equal and len(seen["plan"].steps) == 1


def test_the_pages_with_figures_are_those_that_the_results_make():
    found = measured.newest()
    assert measured.PAGE.read_text(encoding="utf-8") == measured.page(found)
    readme = measured.README.read_text(encoding="utf-8")
    assert readme == measured.readme(readme, found)


def test_every_headline_has_a_figure_and_every_result_a_place():
    found = measured.newest()
    page = measured.page(found)
    assert all(re.search(r"\| [\d. /]+ \| \d{4}-", line) for line in measured.headlines(found).splitlines()[2:])
    assert all(f"## {results.bench} ({results.provider})\n" in page for results in found)
    assert {results.bench for results in found} <= {path.stem for path in Path(measured.__file__).parent.glob("*.py")}


def test_the_newest_results_are_shown(tmp_path):
    for date, value in (("2026-01-01", 1.0), ("2026-02-01", 2.5)):
        row = f'{{"row": "r", "what": "w", "value": {value}, "target": ">= 2", "met": {str(value > 2).lower()}}}'
        (tmp_path / f"cover-cpu-{date}.json").write_text(
            f'{{"machine": {{"gpu": "X", "system": "s", "python": "3", "onnxruntime": "1"}}, "figures": [{row}]}}'
        )
    (results,) = measured.newest(tmp_path)
    assert results.date == "2026-02-01" and "| w | 2.5 | >= 2 | met |" in measured.page([results])
