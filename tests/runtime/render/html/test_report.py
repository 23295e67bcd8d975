import dataclasses
import hashlib
import json
import subprocess
import sys

import html5lib
import numpy as np
import onnx
import oracles
import pytest
from factored import hadamard, product_model
from framed import stft_model
from html5lib.constants import E

import scission
from scission.ir.reason import Cause, Reason
from scission.models.networks import autoregressive
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.decompose.blocks import group
from scission.runtime.ort.trials import Trials

TRIALS = Trials(provider="cpu", threads=1, seconds=0.01)
NASTY = "<script>alert('x')</script>&\"[0]"


def two_products(rng):
    """One weight of four hidden blocks with a name that is no HTML, one dense, and an operator that is no linear."""
    blocks = np.kron(np.eye(4), np.ones((12, 12))) * rng.standard_normal((48, 48))
    W = blocks[rng.permutation(48)][:, rng.permutation(48)].astype(np.float32)
    D = rng.standard_normal((48, 8)).astype(np.float32)
    nodes = [("MatMul", ["x", "W"], ["h"], {"name": NASTY}), ("Relu", ["h"], ["r"], {"name": "relu"})]
    nodes += [("MatMul", ["r", "D"], ["y"], {"name": "dense"})]
    return oracles.graph(nodes, {"x": ["m", 48]}, {"y": ["m", 8]}, {"W": W, "D": D})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def rewritten(folder):
    """(original, rewritten, plan, report, page) of the two products."""
    model, out, page = folder / "in.onnx", folder / "out.onnx", folder / "rewritten.html"
    onnx.save(two_products(np.random.default_rng(0)), model)
    plan = scission.plan(model, force=True, provider="cpu")
    scission.apply(model, plan, out)
    return model, out, plan, scission.report(model, out, page, plan=plan, trials=TRIALS, batch=[2]), page


@pytest.fixture(scope="module")
def planned(folder):
    """A page that says what would be done with a masked autoencoder and nothing more."""
    page = folder / "planned.html"
    model = autoregressive.build(np.random.default_rng(0), 40, 60, shuffle=True)[0]
    return scission.report(model, output=page, trials=TRIALS), page


@pytest.fixture(scope="module")
def recurrent(folder):
    page = folder / "recurrent.html"
    cell = build_cell(np.random.default_rng(0), Cell(sizes=((3, 8), (2, 6))))
    return scission.report(cell.model, output=page, trials=TRIALS), page


def complaints(text):
    """What a strict parser says against a page; html5lib knows no error of its own for a child of SVG."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=True)
    parser.parse(text)
    return [E[code] % values for _, code, values in parser.errors]


@pytest.mark.parametrize("name", ["rewritten", "planned", "recurrent"])
def test_a_page_is_valid_and_needs_nothing_else(name, request):
    text = request.getfixturevalue(name)[-1].read_text()
    assert complaints(text) == []
    tree = html5lib.parse(text, namespaceHTMLElements=False)
    elements = list(tree.iter())
    ids = [one.get("id") for one in elements if one.get("id")]
    assert len(ids) == len(set(ids)) and tree.get("lang") == "en"
    for one in elements:
        for link in filter(None, (one.get(key) for key in ("href", "src", "aria-labelledby", "for"))):
            target = link[1:] if link.startswith("#") else link
            assert link.startswith("data:") or target in ids
    pictures = [one for one in elements if one.get("role") == "img"]
    assert pictures and all(one.find("{http://www.w3.org/2000/svg}title").text.strip() for one in pictures)
    assert "http://" not in text and "https://" not in text and "@media print" in text


def test_a_report_tells_of_the_plan_the_check_the_bench_and_the_difference(rewritten):
    model, _, plan, report, page = rewritten
    assert {step.node for step in report.plan.rewrites} == {step.node for step in plan.rewrites} and not report.strange
    assert report.ok and report.verdict.equal and len(report.benches) == 1 and not report.difference.same
    assert report.sentence.startswith(f"{len(plan.rewrites)} of 2 operators")
    text = page.read_text()
    assert NASTY not in text and "<script>alert" not in text and text == report.html()
    assert all(file.sha256 in text for file in report.files) and len(report.files) == 2
    assert report.files[0].sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert "scission report" in report.command and report.machine["cpu"] in text


def test_without_a_rewritten_model_it_says_what_would_be_done(planned):
    report, page = planned
    assert report.verdict is None and not report.benches and report.difference is None and not report.files
    assert 'id="check"' not in page.read_text() and report.portraits[0].stored is not None


def test_a_check_without_a_rewritten_model_carries_the_plan_out(rewritten):
    model, _, plan, *_ = rewritten
    report = scission.report(model, plan=plan, check=True, trials=TRIALS)
    assert report.verdict.equal and not report.benches and report.difference is not None and not report.changed
    assert "would be split" in report.sentence


def test_another_plan_than_the_one_carried_out_is_said(rewritten):
    model, out, plan, *_ = rewritten
    other = plan.kept_dense([step.node for step in plan.steps], Reason(Cause.AS_ASKED, "by hand"))
    report = scission.report(model, out, plan=other, check=False, bench=False, trials=TRIALS)
    assert report.strange and "another plan" in report.sentence and "give the plan" in report.note


def test_a_plan_for_another_model_is_refused(rewritten):
    plan = rewritten[2]
    with pytest.raises(scission.PlanError, match="another model"):
        scission.report(autoregressive.build(np.random.default_rng(0), 8, 8)[0], plan=plan, trials=TRIALS)


def test_a_plan_for_other_weights_is_refused(rewritten):
    with pytest.raises(scission.PlanError, match="another weight"):
        scission.report(two_products(np.random.default_rng(1)), plan=rewritten[2], trials=TRIALS)


def test_states_of_a_recurrent_operator_are_drawn(recurrent):
    report, page = recurrent
    (portrait,) = report.portraits
    assert portrait.states.structure.components == 2 and portrait.states.drawing is not None
    assert "condensation: layers from top to bottom" in page.read_text()


def test_models_that_differ_are_not_called_equal(rewritten, folder):
    model = rewritten[0]
    other = folder / "other.onnx"
    onnx.save(two_products(np.random.default_rng(1)), other)
    report = scission.report(model, other, bench=False, trials=TRIALS)
    assert not report.ok and "must not" in report.sentence and "verdict bad" in report.html()
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_page_is_not_written_over_anything(rewritten, folder):
    model, out, _, _, page = rewritten
    before = page.read_bytes()
    with pytest.raises(scission.ModelError, match="exists already"):
        scission.report(model, output=page, trials=TRIALS)
    with pytest.raises(scission.ModelError, match="is the input itself"):
        scission.report(model, out, out, overwrite=True, trials=TRIALS)
    assert page.read_bytes() == before


@pytest.fixture
def opened(browser):
    """Open a page; a word on its console, an error in its script or a request for another file fails the test."""
    said = []
    tabs = []

    def call(path, **settings):
        context = browser.new_context(**settings)
        tabs.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda asked: said.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None)
        tab.goto(path.as_uri())
        return tab

    yield call
    for context in tabs:
        context.close()
    assert said == []


def nodes(tab):
    return tab.locator("#table tbody tr:visible td:first-child").all_inner_texts()


def test_a_page_can_be_searched_sorted_and_opened(rewritten, opened):
    tab = opened(rewritten[-1])
    assert nodes(tab) == [NASTY, "dense"]
    tab.get_by_label("Search").fill("no such thing")
    assert nodes(tab) == [] and tab.locator("#found").inner_text() == "0 of 2"
    tab.get_by_label("Search").fill("DENSE matmul")
    assert "dense" in nodes(tab)
    tab.get_by_label("Search").fill("")
    heading = tab.locator("#table th", has_text="weight")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending" and nodes(tab) == [NASTY, "dense"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending" and nodes(tab) == ["dense", NASTY]
    tab.locator("#table th", has_text="node").get_by_role("button").press("Enter")
    assert nodes(tab) == [NASTY, "dense"] and heading.get_attribute("aria-sort") == "none"
    detail = tab.locator("details", has=tab.locator("summary strong", has_text="dense")).first
    assert detail.get_attribute("open") is None
    tab.get_by_role("link", name="dense", exact=True).click()
    assert detail.get_attribute("open") is not None and detail.locator("svg").is_visible()
    detail.locator("summary").click()
    assert detail.get_attribute("open") is None


def test_a_page_fits_a_phone(rewritten, recurrent, opened):
    for page in (rewritten[-1], recurrent[-1]):
        tab = opened(page, viewport={"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_page_is_dark_where_that_is_wanted_and_whole_on_paper(rewritten, opened):
    colours = set()
    for scheme in ("light", "dark"):
        tab = opened(rewritten[-1], color_scheme=scheme)
        colours.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
    closed = tab.locator("details:not([open]) svg").first
    assert not closed.is_visible()
    tab.emulate_media(media="print")
    assert closed.is_visible() and not tab.get_by_label("Search").is_visible()


def test_the_command(rewritten, tmp_path):
    model, out, *_ = rewritten
    page = tmp_path / "page.html"
    line = [sys.executable, "-m", "scission", "report", model, out, "-o", page, "--no-bench", "--provider", "cpu"]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith(f"wrote {page}: ")
    assert page.read_text().startswith("<!DOCTYPE html>") and [*tmp_path.iterdir()] == [page]


def test_the_same_linears_in_other_blocks_are_another_plan(rewritten, tmp_path):
    model = rewritten[0]
    alone = scission.plan(model, force=True, regions=False, batch=[256])
    fewer = [
        dataclasses.replace(step, lowering="scatter", decomposition=group(step.decomposition, 2))
        for step in alone.steps
        if len(step.decomposition.blocks) > 2
    ]
    assert fewer
    kept = [step for step in alone.steps if step.node not in {one.node for one in fewer}]
    other = dataclasses.replace(alone, steps=(*fewer, *kept))
    scission.apply(model, other, tmp_path / "other.onnx")
    report = scission.report(model, tmp_path / "other.onnx", plan=alone, check=False, bench=False, trials=TRIALS)
    assert report.strange and "another plan" in report.note and "give the plan" in report.note


def test_a_file_of_a_plan_is_no_plan(tmp_path):
    with pytest.raises(scission.PlanError, match=r"a plan is wanted, not a str; read a file of one with .*Plan.loads"):
        scission.report(b"", plan=str(tmp_path / "plan.json"))  # the plan is looked at first


def test_a_plan_made_again_by_the_same_options_is_the_same_plan(rewritten, tmp_path):
    """Whatever model and time it was made for; the rewritten model says by its SHA-256 which one it was made by."""
    model = rewritten[0]
    made = scission.apply(model, scission.plan(model, force=True, regions=False, threads=1), tmp_path / "alone.onnx")
    quiet = {"check": False, "bench": False, "threads": 1, "regions": False}
    assert not scission.report(model, made, force=True, **quiet).strange
    other = scission.report(model, made, **quiet)
    assert other.strange and other.carried_out[:12] in other.note and not other.plan.rewrites
    unknown = scission.report(model, model, force=True, **quiet)
    assert unknown.strange and "by nothing that it names" in unknown.note
    assert not scission.report(model, model, **quiet).strange


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (product_model(hadamard(512)), {"batch": [3000]}),
        (stft_model(np.hanning(401)[:-1], 160), {"batch": [1], "sizes": {"n": 48000}}),
    ],
)
def test_operators_that_were_made_before_anything_is_split_are_told_of(model, options, tmp_path):
    """The stages of a weight, and of frames, are in no model that a user has."""
    plan, out = scission.plan(model, **options), tmp_path / "out.onnx"
    assert plan.preparations and plan.steps
    scission.apply(model, plan, out)
    found = scission.report(model, out, plan=plan, check=True, bench=False)
    assert found.verdict.equal and found.portraits
    assert {one.row.node for one in found.portraits} <= {step.node for step in plan.steps}
    words = "".join(html5lib.parse(found.html(), namespaceHTMLElements=False).itertext())
    assert all(one.node in words for one in plan.steps)
    assert all(one.reason.text in words for one in (*plan.preparations, *plan.refused))
