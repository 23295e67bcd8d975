"""No name that a model or a file has commands a terminal, whichever command says it, nor hides in what is written."""

import json
import re
import sys

import numpy as np
import onnx
import pytest
from damage import EVIL
from onnx import TensorProto, helper, numpy_helper

from scission.models.matrix import weight
from scission.runtime.cli import app as cli

FAST = "--provider cpu --threads 1"
PATH = EVIL.replace("\0", "").replace("/", "") + "=1+[red]"  # as far as a file can be called so
NO_TEXT = f"{PATH}\udcff"  # which no encoding holds
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def named(name):
    return f"[bold]{name}[/bold]{EVIL}"


def evil_model():
    """A product with blocks and a call of a function, where everything that has a name has a hostile one."""
    W, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
    nodes = [
        helper.make_node("MatMul", [named("x"), named("W")], [named("t")], f"={named('node')}", doc_string=EVIL),
        helper.make_node(named("Call"), [named("t")], [named("y")], named("call"), domain=named("domain")),
    ]
    inner = helper.make_node("Relu", [named("u")], [named("v")], named("inner"))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(named("domain"), 1)]
    call = helper.make_function(named("domain"), named("Call"), [named("u")], [named("v")], [inner], opsets[:1])
    ports = [helper.make_tensor_value_info(named(name), TensorProto.FLOAT, [named("n"), 48]) for name in "xy"]
    graph = helper.make_graph(nodes, named("g"), ports[:1], ports[1:], [numpy_helper.from_array(W, named("W"))])
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=[call], producer_name=named("who"))
    made.metadata_props.add(key=named("key"), value=EVIL)
    made.doc_string = EVIL
    return made


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    folder = tmp_path / PATH
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SCISSION_CACHE", str(folder / PATH))
    onnx.save(evil_model(), str(folder / "in.onnx"))
    onnx.save(evil_model(), str(folder / f"{PATH}.onnx"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["scission", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        assert "defect" not in err and not RAW.search(out) and not RAW.search(err), (words, out, err)
        return end.value.code, out, err

    return run


NODE, MODEL = f"={named('node')}", f"{PATH}.onnx"
LINES = [
    ("plan", MODEL, "--all"),
    ("plan", MODEL, "--json"),
    ("inspect", MODEL, "--all"),
    ("inspect", MODEL, "--csv"),
    ("inspect", MODEL, "--json"),
    ("explain", MODEL, NODE, "--all"),
    ("structure", f"{MODEL}:{NODE}", "--all"),
    ("structure", f"{MODEL}:{NODE}", "--dot", "-"),
    ("cover", f"{MODEL}:{NODE}"),
    ("diff", MODEL, "in.onnx", "--all"),
    ("check", MODEL, "in.onnx", *FAST.split()),
    ("bench", MODEL, "in.onnx", *FAST.split(), "--seconds", "0.01"),
    ("cache", "list", "--all"),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join((line[0], *line[2:])).replace(NODE, "NODE"))
def test_what_a_command_prints_is_printable(call, line):
    status, out, _ = call(*line)
    assert status == 0 and out
    if "--json" in line:
        assert NODE in names_in(json.loads(out))


def names_in(data):
    """All texts of a JSON document, one after another."""
    if isinstance(data, dict | list):
        return "\n".join(names_in(one) for one in (data.values() if isinstance(data, dict) else data))
    return str(data)


def test_a_path_that_is_no_text_is_read_and_where_only_onnx_runtime_can_open_it_refused(call, tmp_path):
    path = f"{NO_TEXT}.onnx"
    (tmp_path / PATH / path).write_bytes(evil_model().SerializeToString())
    for line in (("plan", path, "--json"), ("inspect", path), ("diff", path, "in.onnx"), ("cover", f"{path}:{NODE}")):
        assert call(*line)[0] == 0
    status, _, err = call("check", path, "in.onnx", *FAST.split())
    assert status == 2 and "no text in UTF-8" in err and err.count("\n") == 1


ERRORS = [
    ("plan", f"{PATH}.none"),
    ("plan", MODEL, "--lowering", EVIL.replace("\0", "")),
    ("explain", MODEL, EVIL.replace("\0", "")),
    ("structure", f"{MODEL}:{EVIL}"),
    ("inspect", MODEL, "--sort", EVIL),
    ("check", MODEL, "in.onnx", "--size", f"{EVIL}=0"),
    ("check", MODEL, "in.onnx", "--value", f"{EVIL}=3"),
    ("sweep", MODEL, "--data", f"{PATH}.npz"),
    ("apply", MODEL, MODEL, "out.onnx"),
    ("partition", f"{PATH}.none", "-o", "parts"),
    (PATH,),
    ("plan", MODEL, f"--{PATH}"),
]


@pytest.mark.parametrize("line", ERRORS, ids=lambda line: " ".join(line)[:9].strip().encode("unicode_escape").decode())
def test_what_is_wrong_is_said_on_one_printable_line(call, line):
    status, out, err = call(*line)
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1


def test_what_is_written_is_as_printable(call, tmp_path):
    folder = tmp_path / PATH
    assert call("optimize", MODEL, f"{PATH}.out.onnx", *FAST.split(), "--force", "--no-bench")[0] == 0
    assert call("plan", MODEL, "-o", "plan.json", *FAST.split(), "--force")[0] == 0
    assert call("apply", MODEL, "plan.json", "again.onnx")[0] == 0
    assert call("report", MODEL, f"{PATH}.out.onnx", "-o", "page.html", *FAST.split(), "--no-bench")[0] == 0
    assert call("diff", MODEL, "again.onnx", "--html", "diff.html")[0] == 1
    assert call("structure", f"{MODEL}:{NODE}", "--dot", "w.dot")[0] == 0
    for name in ("plan.json", "page.html", "diff.html", "w.dot"):
        assert not RAW.search((folder / name).read_text(encoding="utf-8")), name
    assert (folder / "again.onnx").exists() and (folder / f"{PATH}.out.onnx").exists()
