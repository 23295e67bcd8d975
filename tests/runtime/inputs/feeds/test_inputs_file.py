"""What inputs.toml says is what is meant, options go before it, and a damaged one is one clear error."""

import re
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pytest
from exports import EXPORTS
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.ir.io.load import load
from scission.runtime.fields import LARGEST, shell_name
from scission.runtime.inputs.feeds.inputs_file import SaidOfInputs, read_inputs, with_file, write_inputs
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.likes import LIKES
from scission.runtime.inputs.wishes import Wishes, wishes_of
from scission.runtime.notes import InputsWarning
from scission.runtime.ort.trials import Trials, TrialsError

ROOT = Path(__file__).parents[4]
pytestmark = pytest.mark.filterwarnings("ignore::scission.runtime.notes.InputsWarning")

W = np.kron(np.eye(4), np.ones((4, 4))).astype(np.float32)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
PLAIN = st.one_of(
    st.integers(-(2**62), 2**62), FLOATS, st.booleans(), st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.one_of(PLAIN, st.lists(PLAIN, min_size=1, max_size=4))
SAID = st.one_of(
    st.tuples(st.just("values"), st.lists(VALUES, min_size=1, max_size=3).map(tuple)),
    st.tuples(st.just("ranges"), st.tuples(FLOATS, FLOATS)),
    st.tuples(st.just("likes"), st.sampled_from(LIKES)),
)


def model(path):
    """y = x W, x of (n, 16), and what `lens` and `ids` hold is of no account."""
    inputs = [
        h.make_tensor_value_info("x", T.FLOAT, ["n", 16]),
        h.make_tensor_value_info("lens", T.INT64, ["n"]),
        h.make_tensor_value_info("ids", T.INT64, ["m"]),
    ]
    nodes = [h.make_node("MatMul", ["x", "W"], ["y"])]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, None)], [nh.from_array(W, "W")])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return path


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, SAID, max_size=5), st.dictionaries(NAMES, st.integers(1, LARGEST), max_size=4))
def test_what_is_written_is_what_is_read(tmp_path_factory, said, sizes):
    parts = {kind: {name: one for name, (word, one) in said.items() if word == kind} for kind in Wishes.__slots__}
    path = tmp_path_factory.mktemp("said") / "inputs.toml"
    write_inputs(path, SaidOfInputs(wishes=Wishes(**parts), sizes=sizes), of="model.onnx")
    found = read_inputs(path)
    assert found.sizes == sizes
    assert {name: [*one] for name, one in found.wishes.values.items()} == {
        name: [*one] for name, one in parts["values"].items()
    }
    assert found.wishes.ranges == parts["ranges"] and found.wishes.likes == parts["likes"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[sizes\n", "line 1"),
        ("\n\n[inputs.x]\nlike = mask\n", "line 4"),
        ("[size]\nn = 3\n", "'size'"),
        ("[sizes]\nn = 0\n", "'n'"),
        ("[sizes]\nn = true\n", "'n'"),
        ("[sizes]\nn = 2.5\n", "'n'"),
        ("sizes = 3\n", "'sizes'"),
        ("inputs = 3\n", "'inputs'"),
        ("[inputs]\nx = 3\n", "'x'"),
        ("[inputs.x]\n", "'x'"),
        ("[inputs.x]\nlikes = 'ones'\n", "'x'"),
        ("[inputs.x]\nlike = 'ones'\nvalue = 3\n", "'x'"),
        ("[inputs.x]\nlike = 3\n", "'x'"),
        ("[inputs.x]\nlike = 'one'\n", "'x'"),
        ("[inputs.x]\nrange = 3\n", "'x'"),
        ("[inputs.x]\nrange = [3]\n", "'x'"),
        ("[inputs.x]\nrange = [3, 'a']\n", "'x'"),
        ("[inputs.x]\nrange = [3, 1]\n", "'x'"),
        ("[inputs.x]\nrange = [nan, 1]\n", "'x'"),
        ("[inputs.x]\nrange = [0, inf]\n", "'x'"),
        ("[inputs.x]\nvalues = []\n", "'x'"),
        ("[inputs.x]\nvalues = 3\n", "'x'"),
        ("[inputs.x]\nvalue = []\n", "'x'"),
        ("[inputs.x]\nvalue = [[1], [2]]\n", "'x'"),
        ("[inputs.x]\nvalue = 2020-01-01\n", "'x'"),
        ("[sizes]\nn = 99999999999999999999\n", "'n'"),
        ("[inputs.x]\nvalue = {a = 1}\n", "'x'"),
        ("[inputs.x]\nvalue = 'text'\n", "'x'"),
        ("[inputs.lens]\nvalue = 2.5\n", "'lens'"),
        ("[inputs.lens]\nvalue = 99999999999999999999999\n", "'lens'"),
        ("[inputs.lens]\nrange = [0.2, 0.8]\n", "'lens'"),
    ],
)
def test_a_damaged_file_is_one_error_that_names_it(tmp_path, text, named):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text(text)
    with pytest.raises(InputError) as raised:
        scission.check(path, path)
    assert "inputs.toml" in str(raised.value) and named in str(raised.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", None])
def test_what_is_no_text_is_one_error(tmp_path, content):
    path, other = model(tmp_path / "m.onnx"), tmp_path / "other.toml"
    if content is not None:
        other.write_bytes(content)
    with pytest.raises(InputError, match=r"other\.toml"):
        scission.check(path, path, trials=Trials(inputs_file=other))


def test_a_named_file_says_nothing_of_what_the_model_lacks(tmp_path):
    path, other = model(tmp_path / "m.onnx"), tmp_path / "other.toml"
    other.write_text("[inputs.len]\nlike = 'ones'\n")
    with pytest.raises(InputError, match=r"other\.toml: no input is called 'len'.*'lens'"):
        scission.check(path, path, trials=Trials(inputs_file=other))
    other.write_text("[sizes]\nk = 3\n")
    with pytest.raises(InputError, match=r"other\.toml: .*'k'"):
        scission.check(path, path, trials=Trials(inputs_file=other))


def test_the_file_beside_may_be_for_several_models(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text("[sizes]\nk = 3\nn = 2\n[inputs.len]\nlike = 'ones'\n")
    with pytest.warns(InputsWarning, match="'k', 'len' passed over"):
        found = with_file(load(path), Trials())
    assert found.sizes == {"n": 2} and found.likes is None


def test_a_file_of_other_models_alone_is_not_said_to_count(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text("[sizes]\nk = 3\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with_file(load(path), Trials())
    assert [str(one.message).partition(": ")[2] for one in told] == [f"'k' passed over, which {path} does not have"]


def test_options_go_before_the_file(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text(
        "[sizes]\nn = 2\nm = 3\n[inputs.lens]\nrange = [1, 2]\n[inputs.x]\nlike = 'ones'\n"
    )
    loaded = load(path)
    found = with_file(loaded, Trials(sizes={"n": 5}, likes={"lens": "zeros"}))
    assert found.sizes == {"n": 5, "m": 3}
    assert found.likes == {"lens": "zeros", "x": "ones"} and found.ranges is None
    assert with_file(loaded, Trials(inputs_beside=False)) == Trials(inputs_beside=False)
    assert with_file(loaded, Trials(), batch=[7]).sizes == {"m": 3}  # the batch says how large n is
    assert with_file(loaded, Trials(), fixed=["m"]).sizes == {"n": 2}
    other = tmp_path / "other.toml"
    other.write_text("[sizes]\nn = 9\n")
    assert with_file(loaded, Trials(inputs_file=other)).sizes == {"n": 9}


def test_a_list_in_the_file_gives_way_to_another_size(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text("[inputs.ids]\nvalue = [4, 5, 6]\n")
    assert with_file(load(path), Trials()).values == {"ids": ([4, 5, 6],)}
    assert with_file(load(path), Trials(sizes={"m": 2})).values is None
    assert scission.check(path, path, trials=Trials(sizes={"m": 2})).equal


def test_real_inputs_leave_nothing_to_say(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text("[sizes]\nn = 2\n")
    real = tmp_path / "real.npz"
    np.savez(real, x=np.ones((5, 16), np.float32), lens=np.ones(5, np.int64), ids=np.ones(1, np.int64))
    assert scission.check(path, path, trials=Trials(inputs=real)).equal
    with pytest.raises(TrialsError, match="inputs"):
        Trials(inputs=real, inputs_file=tmp_path / "inputs.toml")
    with pytest.raises(TrialsError, match="save"):
        Trials(inputs=real, save_inputs=True)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_saved_says_the_same_again(tmp_path, name):
    path = tmp_path / "m.onnx"
    onnx.save(EXPORTS[name](), path)
    said = Trials(sizes={"batch_size": 2} if "batch_size" in str(load(path).graph.graph.inputs) else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = with_file(load(path), Trials(sizes=said.sizes, save_inputs=True))
        found = with_file(load(path), Trials())
    assert (tmp_path / "inputs.toml").is_file() and found.sizes == first.sizes
    assert wishes_of(first).named <= wishes_of(found).named
    assert scission.check(path, path).equal


def test_nothing_is_saved_over_a_file_or_of_what_cannot_be(tmp_path):
    path, beside = model(tmp_path / "m.onnx"), tmp_path / "inputs.toml"
    with pytest.raises(InputError, match="'len'"):
        scission.check(path, path, trials=Trials(likes={"len": "ones"}, save_inputs=True))
    assert not beside.exists()
    beside.write_text("[sizes]\nn = 2\n")
    with pytest.raises(InputError, match=r"inputs\.toml: is there already"):
        scission.check(path, path, trials=Trials(sizes={"n": 3}, save_inputs=True))
    assert beside.read_text() == "[sizes]\nn = 2\n"
    with pytest.raises(InputError, match="no file"):
        scission.check(onnx.load(path), path, trials=Trials(save_inputs=True))


def test_every_way_to_run_a_model_reads_it(tmp_path):
    path = model(tmp_path / "m.onnx")
    (tmp_path / "inputs.toml").write_text("[sizes]\nn = 6\nm = 2\n")
    assert "(rows 6)" in scission.plan(path).steps[0].reason.text
    (row,) = scission.inspect(path)
    assert row.rows == (6,) and scission.inspect(path, batch=3)[0].rows == (3,)
    assert scission.explain(path, row.node).inspection.rows == (6,)
    elsewhere = Trials(inputs_beside=False)
    assert len(scission.inspect(path, trials=elsewhere)[0].rows) == 3
    assert len(scission.explain(path, row.node, trials=elsewhere).inspection.rows) == 3
    result = scission.optimize(path, tmp_path / "o.onnx", force=True, trials=Trials(seconds=0.05))
    assert [one.rows for one in result.benches] == [6]
    assert [one.rows for one in scission.bench(path, path, trials=Trials(seconds=0.05))] == [6]
    assert [one.rows for one in scission.bench(path, path, trials=Trials(seconds=0.05), batch=3)] == [3]


def test_the_page_about_inputs_is_true(tmp_path):
    """Its file is read, its words are all that there are, and its options and fields exist."""
    page = (ROOT / "docs" / "guides" / "inputs.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "inputs.toml").write_text(text)
    found = read_inputs(tmp_path / "inputs.toml")
    assert found.sizes == {"batch": 4} and found.wishes == Wishes(
        values={"sr": (16000, 8000)}, ranges={"lens": (1.0, 128.0)}, likes={"attention_mask": "mask"}
    )
    words = page[page.index("| word |") : page.index("## Once for all")]
    assert {*re.findall(r"`(\w+)`", words)} == {*LIKES}
    flags = {shell_name(field, off=off) for field in fields(Trials) for off in (False, True)}
    assert {*re.findall(r"`(--[\w-]+)", page)} - {"--batch", "--fix"} <= flags
