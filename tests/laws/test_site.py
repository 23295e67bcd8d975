"""The site: it is built without a warning, asks nobody for anything, and all code on its pages runs."""

import html.parser
import importlib.util
import os
import re
from urllib.parse import urldefrag, urljoin

import pytest
import typer
import yaml
from modules import ROOT
from pages import DOCS, Reader, blocks, called, lines, looked_at

import scission
from scission.runtime.cli.app import app

README = ROOT / "README.md"
PAGES = sorted(path for path in DOCS.rglob("*.md") if blocks(path.read_text(encoding="utf-8")))
ELSEWHERE = {"architecture.md", "adding_an_operator.md", "writing_a_lowering.md"}  # which tests of their own carry out
NEEDS = {"guides/training.md": "torch", "start/export.md": "torch"}
LOADS = {"img", "script", "link", "iframe", "source", "video", "audio", "object", "embed"}
HOOKS = importlib.util.spec_from_file_location("hooks", DOCS / "made" / "hooks.py")
hooks = importlib.util.module_from_spec(HOOKS)
HOOKS.loader.exec_module(hooks)


@pytest.mark.parametrize(
    "page",
    [README, *(path for path in PAGES if path.name not in ELSEWHERE)],
    ids=lambda path: os.path.relpath(path, DOCS),
)
def test_what_a_page_says_runs(page, tmp_path, monkeypatch):
    needed = NEEDS.get(os.path.relpath(page, DOCS))
    if needed:
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCISSION_CACHE", str(tmp_path / "cache"))
    Reader(tmp_path, d=256 if page == README else 64).read(page.read_text(encoding="utf-8"))  # this one splits


NOT_NEEDED = re.compile(
    r"^ *(?:from|import) (?:scission\.models|onnx_graphsurgeon)\b", re.MULTILINE
)  # by scission itself


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda path: os.path.relpath(path, DOCS))
def test_a_page_tells_how_to_install_what_it_imports(page):
    """What tests import is there, and is not where somebody begins who installs what a page says."""
    text = page.read_text(encoding="utf-8")
    if page.name not in ELSEWHERE and any(NOT_NEEDED.search(code) for kind, code in blocks(text) if kind == "python"):
        assert re.search(r"pip install\s+'scission\[[\w,]*\bmodels\b", text)


def test_the_readme_is_short_and_every_link_in_it_leads_somewhere():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 20 and "https://" not in text
    for target in targets:
        path, place = urldefrag(target)
        headings = re.findall(r"^#+ (.*)", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert not place or place in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_readme_leads_to_every_guide_and_idea():
    text = README.read_text(encoding="utf-8")
    pages = [path for folder in ("start", "guides", "ideas") for path in (DOCS / folder).glob("*.md")]
    assert [path.name for path in pages if f"({path.relative_to(ROOT).as_posix()})" not in text] == []


@pytest.mark.parametrize(
    "block",
    [
        "```sh\nscission inspect model.onnx --no-such-option\n```\n",
        "```sh\nscission check model.onnx none.onnx\n```\n",
        "```sh\nscission diff model.onnx model.onnx  # exit status 1\n```\n",
        "```sh\nscission optimize model.onnx out.onnx --provider cuda --no-such-option\n```\n",
        "```sh\npip install 'scission[nothing]'\n```\n",
        "```sh\nmake nothing\n```\n",
        "```bash\nscission check model.onnx none.onnx\n```\n",
        "```python\nassert False\n```\n",
        "```console\nls\n```\n",
    ],
)
def test_a_page_that_is_wrong_is_found(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, typer.BadParameter.__base__)):
        Reader(tmp_path).read(block)


def test_the_workflow_that_a_page_shows_is_one_whose_commands_exist():
    (code,) = (code for kind, code in blocks((DOCS / "guides" / "gate.md").read_text("utf-8")) if kind == "yaml")
    run = [step["run"].split()[1:] for step in yaml.safe_load(code) if step.get("run", "").startswith("scission")]
    assert [words[0] for words in run] == ["check", "report"]
    looked_at([word for word in run[0] if word not in ("--timeout", "60")])
    looked_at(run[1])


class Links(html.parser.HTMLParser):
    """What a page links to, what it loads, and the places in it that may be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.places = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[key] for key in ("id", "name") if values.get(key)}
        target = values.get("href") or values.get("src") or values.get("data")
        if target:
            (self.loaded if tag in LOADS else self.links).add(target)


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    pages = {name: Links(path.read_text("utf-8")) for name, path in site.items() if name.endswith(".html")}
    assert len(pages) > 30
    for name, page in pages.items():
        for target in page.links | page.loaded:
            there, place = urldefrag(urljoin(f"http://site/{name}", target))
            if not there.startswith("http://site/"):
                assert target in page.links and re.match(r"(https|mailto):", there), f"{name}: {target}"
                continue
            path = there.removeprefix("http://site/") or "index.html"
            path = path + "index.html" if path.endswith("/") else path
            assert path in site or name == "404.html", f"{name}: {target}"
            assert not place or name == "404.html" or place in pages[path].places, f"{name}: {target}"


def test_no_style_or_script_fetches_from_elsewhere(site):
    for name, path in site.items():
        if name.endswith((".css", ".svg")):
            text = path.read_text("utf-8")
            assert not re.search(r"url\(['\"]?(https?:)?//|@import|href=['\"]https?:", text), name


def test_the_reference_names_every_command_every_option_and_every_name(site):
    text = "\n".join(hooks.commands())

    def leaves(group, above):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, f"{above} {name}")
            else:
                yield f"{above} {name}", command

    told = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    found = dict(leaves(typer.main.get_command(app), "scission"))
    assert set(told) == set(found)
    for name, command in found.items():
        assert all(f"`{flag}`" in told[name] for one in command.params for flag in one.opts if flag.startswith("-")), (
            name
        )
    python = Links(site["reference/python.html"].read_text("utf-8")).places
    options = Links(site["reference/options.html"].read_text("utf-8")).places
    for name in set(scission.__all__) - {"__version__"}:
        assert f"scission.{name}" in python or f"scission{name}".lower() in options, name


def test_options_are_on_one_page_and_all_of_them():
    assert {name for name in scission.__all__ if name.endswith("Options")} <= set(hooks.OPTIONS)
    assert {name for names in hooks.FUNCTIONS.values() for name in names} <= set(scission.__all__)
    text = "\n".join(hooks.options())
    for name in hooks.OPTIONS:
        part = text.split(f"## scission.{name}\n")[1].split("\n## ")[0]
        assert all(f"| `{field}` |" in part for field in getattr(scission, name).__dataclass_fields__), name


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("scission check a b  # exit status 1", [("scission check a b", {1})]),
        ("scission decompose a  # exit status 0 or 1", [("scission decompose a", {0, 1})]),
        ("scission check a \\\n  b", [("scission check a    b", {0})]),
        ("# only a comment\n\nmake test    # all", [("make test", {0})]),
    ],
)
def test_commands_of_a_block(code, found):
    assert list(lines(code)) == found


def test_what_is_called_answers_with_its_status(capsys):
    assert called(["doctor", "--no-such"]) == 2
    assert "no-such" in capsys.readouterr().err.lower()
