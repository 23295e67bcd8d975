import csv
import io
import json
import subprocess
import sys

import onnx
import onnx_ir
import oracles
import pytest
from digraphs import TABLE_A2
from shell import FAST, FORCE, W, files, model_of

import scission
from scission import Plan
from scission.runtime.cli.common import given, terminal
from scission.runtime.pipeline import attempt
from scission.runtime.pipeline import plan as planning
from scission.runtime.weights import states

COMMANDS = (
    *("optimize", "plan", "apply", "check", "bench", "sweep", "inspect", "explain"),
    *("structure", "cover", "diff", "report", "partition", "serve", "top"),
)


FINE = [
    f"optimize in.onnx new.onnx {FORCE}",
    f"optimize in.onnx new.onnx {FAST}",
    f"optimize in.onnx new.onnx {FAST} --force --rows 2 --seconds 0.01 --size m=2",
    f"optimize in.onnx new.onnx {FAST} --force --no-check --no-bench",
    f"optimize in.onnx --dry-run {FAST}",
    f"plan in.onnx -o new.json {FAST} --rows 1 --rows 9",
    f"plan in.onnx {FAST} --rows 2 --tune --no-cache --all --seconds 0.1",
    f"optimize in.onnx --dry-run {FAST} --rows 2 --tune --no-cache --size m=2 --seconds 0.1",
    "apply in.onnx plan.json new.onnx",
    f"check in.onnx split.onnx {FAST} --seed 3 --rtol 1e-4 --atol 0",
    f"bench in.onnx split.onnx {FAST} --rows 2 --seconds 0.01",
    "inspect in.onnx --all",
    "inspect in.onnx --force --no-regions --threads 1 --parts 2",
    "inspect in.onnx --sort -covers --filter matmul --top 3 --provider cpu",
    "explain in.onnx MatMul[0] --provider cpu --all",
    "explain in.onnx MatMul[0] --provider cpu --force --lowering scatter",
    "diff in.onnx in.onnx --all --html new.html",
    "structure in.onnx --order paper --engine graph",
    "structure in.onnx:MatMul[0] --scope operator --all",
    "structure w.npy --threshold 0.5",
    "structure example.npy --paper --from-one --picture new.png --picture new.svg --dot new.dot",
    "cover in.onnx:MatMul[0] --rows 1 --rows 64 --threads 1 --all",
    "cover w.npy --transposed --picture new.png --picture new.svg",
    f"report in.onnx -o new.html {FAST}",
    f"report in.onnx split.onnx -o new.html --plan plan.json {FAST} --rows 2 --seconds 0.01",
]


@pytest.mark.parametrize("line", FINE)
def test_it_works_and_says_so(line, folder, scission_cli):
    before = files(folder)
    status, out, err = scission_cli(line)
    assert (status, err) == (0, "") and out.strip()
    new = files(folder).keys() - before.keys()
    assert new == {word for word in line.split() if word.startswith("new.")}
    assert {name: before[name] for name in before} == {name: files(folder)[name] for name in before}
    if "new.onnx" in new:
        assert scission.check("in.onnx", "new.onnx").equal
        assert ((folder / "new.onnx").read_bytes() == before["in.onnx"]) is (
            "force" not in line and "apply" not in line
        )


@pytest.mark.parametrize("line", FINE)
def test_quiet_says_nothing(line, folder, scission_cli):
    assert scission_cli(f"{line} --quiet") == (0, "", "")


@pytest.mark.parametrize("line", [line for line in FINE if not line.startswith("apply")])
def test_json_is_json_and_nothing_else(line, folder, scission_cli):
    status, out, err = scission_cli(f"{line} --json")
    data = json.loads(out, parse_constant=pytest.fail)  # no NaN, no Infinity
    assert (status, err) == (0, "") and data
    if line.startswith("inspect"):
        assert [row["node"] for row in data["linears"]] == ["MatMul[0]"] and data["skipped"] == []
    if line.startswith("plan") or "--dry-run" in line:
        assert Plan.loads(out).steps[0].node == "MatMul[0]"
    if line.startswith("optimize") and "--dry-run" not in line:
        assert data["written"] == ["new.onnx"] and data["outcome"] == ("split" if "force" in line else "unchanged")


@pytest.mark.parametrize(
    "line", ["optimize in.onnx --dry-run", "plan in.onnx", "inspect in.onnx", "structure in.onnx", "cover in.onnx"]
)
def test_names_with_brackets_are_no_markup(line, folder, scission_cli):
    assert "MatMul[0]" in scission_cli(line)[1]


@pytest.mark.parametrize("option", ["", " --quiet"])
def test_an_inspection_as_csv_is_csv_and_nothing_else(option, folder, scission_cli):
    status, out, err = scission_cli(f"inspect in.onnx --csv{option}")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (status, err, row["node"], row["components"]) == (0, "", "MatMul[0]", "4")


def test_a_plan_goes_through_json_to_the_same_model(folder, scission_cli):
    scission_cli(f"plan in.onnx -o new.json {FAST} --force --quiet")
    scission_cli("apply in.onnx new.json new.onnx --quiet")
    scission_cli(f"optimize in.onnx same.onnx {FORCE} --quiet")
    assert (folder / "new.onnx").read_bytes() == (folder / "same.onnx").read_bytes()


MISTAKES = [  # what is wrong, and a word of the message
    ("optimize in.onnx", "--dry-run"),
    ("optimize", "IN"),
    ("optimize in.onnx new.onnx --nonsense", "nonsense"),
    ("optimize in.onnx new.onnx --threads 0", "threads"),
    ("optimize in.onnx new.onnx --rows 0", "rows"),
    ("optimize in.onnx new.onnx --seed -1", "seed"),
    ("optimize in.onnx new.onnx --provider tpu", "tpu"),
    ("optimize in.onnx --dry-run --provider tpu", "tpu"),
    ("plan in.onnx --provider tpu", "tpu"),
    ("check in.onnx split.onnx --size m", "NAME=N"),
    ("check in.onnx split.onnx --size m=0", "NAME=N"),
    ("check in.onnx split.onnx --size m=x", "NAME=N"),
    ("check in.onnx split.onnx --rtol -1", "rtol"),
    ("bench in.onnx split.onnx --cuda-graph maybe", "--cuda-graph"),
    ("structure example.npy --json --dot -", "--dot"),
    ("structure example.npy --threshold -1", "threshold"),
    ("structure", "MODEL"),
    ("inspect in.onnx --json --csv", "--csv"),
    ("explain in.onnx", "NODE"),
    ("inspect in.onnx --all --top 3", "--top"),
    ("inspect in.onnx --top 0", "top"),
    ("inspect in.onnx --quiet --verbose", "choose one"),
    ("plan in.onnx -v -q", "choose one"),
    ("cover", "MODEL"),
    ("cover w.npy --rows 0", "rows"),
    ("report in.onnx", "--output"),
    ("report in.onnx -o new.html --provider tpu", "tpu"),
    ("check in.onnx", "B"),
    ("diff in.onnx", "B"),
    ("apply in.onnx plan.json", "OUT"),
    ("nonsense", "nonsense"),
]


@pytest.mark.parametrize(("line", "word"), MISTAKES)
def test_wrong_usage_is_status_2(line, word, folder, scission_cli):
    before = files(folder)
    status, out, err = scission_cli(line)
    assert (status, out) == (2, "") and word in err and files(folder) == before


BAD_INPUT = [
    *((f"{command} nope.onnx", "nope.onnx") for command in ("inspect", "plan", "optimize --dry-run")),
    ("optimize nope.onnx new.onnx", "nope.onnx"),
    ("apply nope.onnx plan.json new.onnx", "nope.onnx"),
    ("apply in.onnx nope.json new.onnx", "nope.json"),
    ("apply in.onnx in.onnx new.onnx", "in.onnx"),
    ("apply other.onnx plan.json new.onnx", "not the one the plan was made for"),
    ("check in.onnx nope.onnx", "nope.onnx"),
    ("diff in.onnx nope.onnx", "nope.onnx"),
    ("diff plan.json in.onnx", "plan.json"),
    ("diff in.onnx split.onnx --html plan.json", "plan.json: exists already"),
    ("diff in.onnx split.onnx --html in.onnx --overwrite", "in.onnx: is the input itself"),
    ("diff in.onnx split.onnx --html nowhere/new.html", "nowhere"),
    ("bench nope.onnx in.onnx", "nope.onnx"),
    ("inspect plan.json", "plan.json"),
    ("check in.onnx split.onnx --size nope=3", "nope"),
    ("bench in.onnx split.onnx --size nope=3", "nope"),
    (f"bench in.onnx split.onnx {FAST} --cuda-graph on", "CUDA only"),
    ("check in.onnx split.onnx --inputs nope.npz", "nope.npz"),
    ("check in.onnx split.onnx --rtol nan", "rtol"),
    ("check in.onnx split.onnx --atol inf", "atol"),
    ("check in.onnx split.onnx --custom-ops nope.so", "nope.so"),
    ("optimize in.onnx split.onnx --force", "split.onnx: exists already"),
    ("optimize in.onnx split.onnx", "split.onnx: exists already"),
    ("apply in.onnx plan.json split.onnx", "split.onnx: exists already"),
    ("plan in.onnx -o plan.json", "plan.json: exists already"),
    ("optimize in.onnx in.onnx --overwrite --force", "in.onnx: is the input itself"),
    ("optimize in.onnx in.onnx --overwrite", "in.onnx: is the input itself"),
    ("plan in.onnx -o in.onnx --overwrite", "in.onnx: is the input itself"),
    ("apply in.onnx plan.json plan.json --overwrite", "plan.json: is the input itself"),
    ("optimize in.onnx w.npy --custom-ops w.npy --overwrite", "w.npy: is the input itself"),
    ("plan in.onnx -o w.npy --custom-ops w.npy --overwrite", "w.npy: is the input itself"),
    ("apply in.onnx plan.json w.npy --custom-ops w.npy --overwrite", "w.npy: is the input itself"),
    ("report in.onnx -o w.npy --custom-ops w.npy --overwrite", "w.npy: is the input itself"),
    ("optimize in.onnx nowhere/new.onnx --force", "nowhere"),
    ("plan in.onnx -o nowhere/new.json", "nowhere"),
    ("plan in.onnx -o in.onnx/new.json", "in.onnx/new.json"),
    ("plan in.onnx -o . --overwrite", "."),
    ("structure nope.npy", "nope.npy"),
    ("structure nope.onnx:node", "nope.onnx:node"),
    ("structure .", "is a folder"),
    ("structure in.onnx:nope", "no linear 'nope'"),
    ("structure plan.json", "plan.json"),
    ("structure w.npy --scope state", "30x48 has no states"),
    ("structure w.npy --scope nonsense", "nonsense"),
    ("structure example.npy --engine nonsense", "nonsense"),
    ("structure example.npy --order nonsense", "nonsense"),
    ("structure example.npy --threshold nan", "threshold"),
    ("structure example.npy --picture new.pdf", "new.pdf: a picture is"),
    ("structure example.npy --dot new.png --picture ./new.png", "twice"),
    ("structure example.npy --picture nowhere/new.png", "nowhere"),
    ("structure example.npy --dot new.dot --picture nowhere/new.png", "nowhere"),
    ("structure example.npy --dot new.dot --picture ../x/../new.dot.png/../new.dot", "new.dot"),
    ("structure example.npy --device meta", "does not use"),
    ("cover nope.npy", "nope.npy"),
    ("cover in.onnx:nope", "in.onnx: there is no linear 'nope'"),
    ("cover in.onnx --transposed", "in.onnx:MatMul[0]: a model says"),
    ("cover w.npy --picture new.pdf", "new.pdf: a picture is"),
    ("cover w.npy --picture w.npy --overwrite", "w.npy: a picture is"),
    ("cover w.npy --picture nowhere/new.png", "nowhere"),
    ("report nope.onnx -o new.html", "nope.onnx"),
    ("report in.onnx -o nowhere/new.html", "nowhere"),
    ("report in.onnx -o plan.json", "plan.json: exists already"),
    ("report in.onnx split.onnx -o split.onnx --overwrite", "split.onnx: is the input itself"),
    ("report in.onnx --plan plan.json -o plan.json --overwrite", "plan.json: is the input itself"),
    ("report other.onnx --plan nope.json -o new.html", "nope.json"),
    ("plan in.onnx --device nonsense", "is no device"),
    ("inspect in.onnx --device xpu", "sees no XPU device"),
    ("explain in.onnx MatMul", "in.onnx: there is no node 'MatMul'; the nearest is MatMul[0]"),
    ("explain nope.onnx MatMul", "nope.onnx"),
    ("inspect in.onnx --sort -beauty", "no column 'beauty'"),
    ("structure example.npy --dot plan.json", "plan.json: exists already"),
    ("structure in.onnx --dot in.onnx --overwrite", "in.onnx: is the input itself"),
    ("structure example.npy --dot example.npy --overwrite", "example.npy: is the input itself"),
]


@pytest.mark.parametrize(("line", "word"), BAD_INPUT)
def test_bad_input_is_status_2_and_one_line(line, word, folder, scission_cli):
    before = files(folder)
    status, out, err = scission_cli(line)
    assert (status, out) == (2, "") and files(folder) == before
    assert err.startswith("error: ") and word in err and err.count("\n") == 1


def test_overwrite_replaces(folder, scission_cli):
    (folder / "old.png").write_bytes(b"")
    for line in (
        *("optimize in.onnx split.onnx", "apply in.onnx plan.json other.onnx", "plan in.onnx -o plan.json"),
        *("structure example.npy --dot plan.json", "structure example.npy --picture old.png"),
        "cover w.npy --picture old.png",
    ):
        before = files(folder)
        assert scission_cli(f"{line} --overwrite --quiet")[0] == 0
        changed = {name for name, data in files(folder).items() if data != before[name]}
        assert changed == {next(word for word in reversed(line.split()) if "." in word)}


def test_the_worked_example_of_the_paper(folder, scission_cli):
    lines = scission_cli("structure example.npy --paper --from-one")[1].splitlines()
    assert lines[0] == "example.npy: 18 states, 23 edges, 9 SCCs, 4 components, 3 layers, 1 isolated"
    assert [tuple(map(int, line.split())) for line in lines[5:23]] == TABLE_A2
    data = json.loads(scission_cli("structure example.npy --paper --from-one --json")[1])
    assert data["order"] == [row[1] for row in TABLE_A2] and data["numbered_from"] == 1


def test_a_graph_goes_to_the_terminal_instead_of_tables(folder, scission_cli):
    status, out, err = scission_cli("structure example.npy --dot -")
    assert (status, err) == (0, "") and out.startswith('digraph "example.npy" {') and out.endswith("}\n")


@pytest.mark.parametrize("option", ["", "--all"])
def test_weights_are_listed_when_none_is_named(option, folder, scission_cli):
    names = [f"w{i:03}" for i in range(given.CHOICES + 2)]
    nodes = [("MatMul", ["x", "W"], [name], {"name": name}) for name in names]
    onnx.save(oracles.graph(nodes, {"x": ["m", 48]}, {name: ["m", 48] for name in names}, {"W": W}), "many.onnx")
    status, out, err = scission_cli(f"structure many.onnx {option}")
    lines = err.splitlines()
    assert (status, out) == (2, "") and lines[0].startswith("error: many.onnx: there are 42 square matrices; name one")
    assert lines[1] == "  many.onnx:w000  48x48" and len(lines) == (43 if option else 42)
    assert scission_cli("structure many.onnx:w041 --quiet") == (0, "", "")


def test_a_weight_with_too_many_features_is_summed_up(folder, scission_cli, monkeypatch):
    monkeypatch.setattr(states, "MOST_STATES", 70)
    status, out, err = scission_cli("structure w.npy")
    assert (status, err) == (0, "") and "w.npy: 78 states" in out and "no table" in out
    assert json.loads(scission_cli("structure w.npy --json")[1])["summary"]["states"] == 78
    status, out, err = scission_cli("structure w.npy --picture new.png")
    assert (status, out) == (2, "") and "78 states are more than" in err


@pytest.mark.parametrize("option", ["", "--quiet", "--json"])
def test_models_that_differ_are_status_1(option, folder, scission_cli):
    status, out, err = scission_cli(f"check in.onnx other.onnx {FAST} {option}")
    assert status == 1 and err.startswith("different: output 'y'")
    assert bool(out) is (option != "--quiet")
    if option == "--json":
        assert json.loads(out)["equal"] is False


def test_a_report_of_models_that_differ_is_written_with_status_1(folder, scission_cli):
    status, out, err = scission_cli(f"report in.onnx other.onnx -o new.html --no-bench {FAST}")
    assert status == 1 and err.startswith("different: output 'y'") and "must not" in out
    assert "must not" in (folder / "new.html").read_text()


@pytest.mark.parametrize("option", ["", "--quiet", "--json"])
def test_graphs_that_differ_are_status_1(option, folder, scission_cli):
    status, out, err = scission_cli(f"diff in.onnx split.onnx --html new.html {option}")
    assert (status, err) == (1, "") and "MatMul[0]" in (folder / "new.html").read_text()
    assert bool(out) is (option != "--quiet")
    if option == "--json":
        data = json.loads(out, parse_constant=pytest.fail)
        assert data["same"] is False and data["groups"][0]["before"] == [{"address": "MatMul[0]", "op": "MatMul"}]


@pytest.mark.parametrize("option", ["", "--quiet", "--json"])
def test_a_failed_check_is_status_1_and_writes_nothing(option, folder, scission_cli, monkeypatch):
    other = onnx_ir.from_proto(model_of(W + W))
    monkeypatch.setattr(attempt, "rewrite", lambda *_: other.clone())
    before = files(folder)
    status, out, err = scission_cli(f"optimize in.onnx new.onnx {FORCE} {option}")
    assert status == 1 and "check failed, nothing was written: output 'y'" in err and files(folder) == before
    if option == "--json":
        assert json.loads(out)["outcome"] == "failed"


def test_no_memory_is_no_defect(folder, scission_cli, monkeypatch):
    def full(*_, **__):
        raise MemoryError("Unable to allocate 9.31 GiB")

    monkeypatch.setattr(planning, "plan", full)
    status, _, err = scission_cli("plan in.onnx")
    assert status == 2 and err.startswith("error: there is not enough memory for this (Unable to allocate 9.31 GiB)")


def test_a_plan_names_no_more_features_than_its_model_can_have(folder, scission_cli, monkeypatch):
    monkeypatch.setattr(given, "LEAST", 1000)
    assert scission_cli("plan in.onnx --force -o p.json -q")[0] == 0
    data = json.loads((folder / "p.json").read_text())
    data["steps"][0] |= {"shape": [10**6, 10**6], "blocks": [{"inputs": "0-999999", "outputs": "0-999999"}]}
    (folder / "p.json").write_text(json.dumps(data))
    status, _, err = scission_cli("apply in.onnx p.json o.onnx")
    assert status == 2 and "p.json: the plan names more than" in err and not (folder / "o.onnx").exists()


def test_a_defect_is_status_3_and_asks_for_a_report(folder, scission_cli, monkeypatch):
    monkeypatch.setattr(planning, "plan", lambda *_, **__: 1 / 0)
    status, out, err = scission_cli("plan in.onnx")
    assert (status, out) == (3, "") and "ZeroDivisionError" in err and "report" in err


def test_tuning_is_shown_and_kept_for_the_next_time(folder, scission_cli, monkeypatch):
    monkeypatch.setenv("SCISSION_CACHE", str(folder / "cache"))
    line = f"plan in.onnx {FAST} --rows 2 --tune"
    status, out, err = scission_cli(line)
    assert (status, err) == (0, "") and "tuned" in out and "measured" in out
    assert (folder / "cache" / "tuning.json").exists() and "cache" in scission_cli(line)[1]
    line = f"optimize in.onnx new.onnx {FAST} --rows 2 --seconds 0.01 --tune --force --json"
    data = json.loads(scission_cli(line)[1])
    assert data["tuning"]["units"] and data["fallbacks"] == [] and data["outcome"] == "split"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, scission_cli):
    for option in ("--help", "-h"):
        status, out, err = scission_cli(f"{command} {option}")
        assert (status, err) == (0, "") and "Usage" in out
        assert command or all(name in out for name in COMMANDS)


def test_without_arguments_it_shows_its_help(scission_cli):
    status, out, err = scission_cli("")
    assert status == 2 and "Usage" in out + err


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(scission_cli, flag):
    assert scission_cli(flag) == (0, f"scission {scission.__version__}\n", "")


@pytest.mark.parametrize(("typed", "offered"), [("scission op", "optimize"), ("scission diff --ov", "--overwrite")])
def test_a_shell_completes_commands_and_options(scission_cli, monkeypatch, typed, offered):
    monkeypatch.setenv("_SCISSION_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert scission_cli("")[:2] == (0, f"{offered}\n")


def test_python_dash_m(folder):
    def call(*words):
        return subprocess.run([sys.executable, "-m", "scission", *words], capture_output=True, text=True)

    fine = call("plan", "in.onnx", "--json", "--force")
    assert (fine.returncode, fine.stderr) == (0, "") and Plan.loads(fine.stdout).rewrites
    wrong = call("inspect", "nope.onnx")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    with terminal.progress_bar(quiet=False) as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with terminal.progress_bar(quiet=True) as progress:
        assert progress is None
    with terminal.progress_bar(quiet=False) as progress:
        progress(1, 2, "node")


@pytest.mark.parametrize("command", ["structure", "cover"])
def test_weights_of_a_broken_model_are_shown_with_a_warning(folder, scission_cli, command):
    model = model_of(W)
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("transB", 1))
    onnx.save(model, "broken.onnx")
    status, out, err = scission_cli(f"{command} broken.onnx:W")
    assert status == 0 and out and err.startswith("warning: broken.onnx: ") and "transB" in err
    assert scission_cli(f"{command} in.onnx:W")[2] == ""


def test_the_rows_of_a_cover_are_its_batch(folder, scission_cli):
    found = [scission_cli(f"cover in.onnx:W {name} 4 --json --threads 1")[:2] for name in ("--batch", "--rows")]
    assert found[0] == found[1] and found[0][0] == 0


def test_a_model_is_cut_checked_and_replaced_only_when_asked(folder, scission_cli):
    status, out, err = scission_cli(f"partition in.onnx -o parts {FAST}")
    assert (status, err) == (0, "") and "wrote parts" in out and (folder / "parts" / "manifest.json").exists()
    for line in (f"check parts in.onnx {FAST}", f"check in.onnx parts --json {FAST}"):
        assert scission_cli(line)[0] == 0
    status, out, err = scission_cli(f"partition in.onnx -o parts {FAST}")
    assert (status, out) == (2, "") and "--overwrite" in err and err.count("\n") == 1
    assert scission_cli(f"partition in.onnx -o parts --overwrite -q {FAST}") == (0, "", "")
    status, out, err = scission_cli("check parts other.onnx")
    assert status == 2 and "another model" in err
