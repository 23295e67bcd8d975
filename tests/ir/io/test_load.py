import os
import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from reference import W, elsewhere, function, graph, model, node, product, reference_to, values, weights_of, write

from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.save import save
from scission.ir.io.tensors import constant_tensors, read

rich_value = values([("v", ([20, "n"], np.float32))])[0]


def test_loading_twice_gives_the_name_that_was_asked_for(tmp_path):
    path = write(tmp_path / "in.onnx", product(W))
    assert (load(path).name, load(path, "mine").name) == (str(path), "mine")
    assert load(product(W)).name == "g" and load(path.read_bytes()).name == "model"


# What must be refused, and what must not.


def test_nodes_without_an_operator_are_refused_before_any_becomes_an_object(monkeypatch):
    monkeypatch.setattr("scission.ir.io.load.ir.from_proto", lambda proto: pytest.fail("the graph was read"))
    strange = model([onnx.NodeProto() for _ in range(5)], ["x"])
    with pytest.raises(ModelError, match="node 'number 0' has no operator"):
        load(strange)


def parallel(**options):
    return model([node("Foo", "x w", "y", "n", "strange")], ["x"], ["y"], {"w": W}, **options)


def unsorted():
    return model([node("Relu", "a", "y", "late"), node("Neg", "x", "a", "early")], ["x"], ["y"])


def in_function(*nodes, **options):
    return model(
        [node("F", "x", "y", "call", "local")], ["x"], ["y"], functions=[function("F", "x", "y", nodes, **options)]
    )


def branch_in_function(domain):
    side = graph([node("Foo", "x", "z", "n", domain)], [], ["z"])
    return in_function(node("If", "x", "y", then_branch=side, else_branch=side), domains=["strange"])


MUST_LOAD = {
    "unsorted": unsorted(),
    "unsorted function": in_function(node("Relu", "a", "y"), node("Neg", "x", "a")),
    "unsorted inside a branch": model(
        [
            node(
                "If", "c", "y", then_branch=unsorted().graph, else_branch=graph([node("Identity", "x", "e")], [], ["e"])
            )
        ],
        {"c": ([], np.bool_), "x": None},
        ["y"],
    ),
    "contrib operator without import": model(
        [node("FusedMatMul", "x w", "y", "n", "com.microsoft")], ["x"], ["y"], {"w": W}
    ),
    "contrib operator in the default domain": model([node("FusedGemm", "x w", "y", "n")], ["x"], ["y"], {"w": W}),
    "unknown domain with import": parallel(domains=["strange"]),
    "unknown domain imported by the function": in_function(node("Foo", "x", "y", "", "strange"), domains=["strange"]),
    "unknown domain in a branch of the function": branch_in_function("strange"),
    "duplicate node names": model([node("Relu", "x", "a", "n"), node("Relu", "a", "y", "n")], ["x"], ["y"]),
    "input that is an output": model([], ["x"], ["x"]),
    "omitted input": model([helper.make_node("Clip", ["x", "", "w"], ["y"])], ["x"], ["y"], {"w": np.float32(1)}),
}


@pytest.mark.parametrize("name", MUST_LOAD)
def test_models_that_run_load(tmp_path, name):
    loaded = load(write(tmp_path / "m.onnx", MUST_LOAD[name]))
    for body in (loaded.graph.graph, *loaded.graph.functions.values()):
        seen = set(body.inputs) | set(getattr(body, "initializers", {}).values())
        for n in body:
            assert all(v is None or v in seen or v.graph is not body for v in n.inputs)
            seen.update(n.outputs)


REFUSED = {
    "cycle": (model([node("Add", "x b", "a", "n"), node("Neg", "a", "b")], ["x"], ["a"]), "cycle"),
    "cycle in a function": (in_function(node("Add", "x b", "y"), node("Neg", "y", "b")), "cycle"),
    "undefined input": (
        model([node("Add", "x ghost", "y", "n")], ["x"], ["y"]),
        "node 'n' .*'ghost' is made by nothing",
    ),
    "undefined in a function": (in_function(node("Add", "x ghost", "y", "n")), "node 'n' .*'ghost'"),
    "unknown domain": (parallel(), "node 'n' .*'strange' has no version"),
    "unknown domain in a branch of a function": (branch_in_function("stranger"), "'stranger' has no version"),
    "no operator set": (onnx.ModelProto(ir_version=8, graph=product(W).graph), "no operator set"),
    "no graph": (onnx.ModelProto(ir_version=8), "no graph"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("as_file", [True, False])
def test_models_that_cannot_run_are_refused_with_the_reason(tmp_path, name, as_file):
    proto, message = REFUSED[name]
    with pytest.raises(ModelError, match=message) as caught:
        load(write(tmp_path / "m.onnx", proto) if as_file else proto)
    if as_file:
        assert str(caught.value).startswith(f"{tmp_path / 'm.onnx'}: ")


FILES = {
    "empty": (b"", "is empty"),
    "text": (b"this is not a model, but a letter\n" * 20, "not an ONNX model|no graph"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not an ONNX model|no graph"),
    "zip": (b"PK\x03\x04" + bytes(100), "ZIP archive"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "git lfs pull"),
    "zeros": (bytes(3000), "not an ONNX model"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_models_are_refused(tmp_path, name):
    (tmp_path / "m.onnx").write_bytes(FILES[name][0])
    with pytest.raises(ModelError, match=FILES[name][1]) as caught:
        load(tmp_path / "m.onnx")
    assert "m.onnx" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_bytes_that_are_no_model_are_refused(content):
    with pytest.raises(ModelError, match=r"not an ONNX model|no graph"):
        load(content)


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a regular file"):
        load(tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        load(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("size", [3, 30])
def test_a_model_cut_anywhere_is_refused(tmp_path, size):
    whole = product(np.ones((size, size), np.float32)).SerializeToString()
    path = tmp_path / "cut.onnx"
    ends = {*range(150), *range(len(whole) - 150, len(whole)), *range(0, len(whole), 11)}  # much of it is one tensor
    for length in ends & {*range(len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=re.escape(str(path))):
            load(path)


@given(st.data())
def test_wrong_bytes_are_refused_or_loaded_and_never_anything_else(tmp_path_factory, data):
    whole = bytearray(product(np.ones((2, 3), np.float32)).SerializeToString())
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)):
        whole[at] = byte
    path = tmp_path_factory.getbasetemp() / "wrong.onnx"
    path.write_bytes(bytes(whole))
    try:
        load(path)
    except ModelError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("dims", [[7], [-1, -2], [2, 4]])
def test_data_that_does_not_fit_its_shape_is_a_model_error(dims):
    proto = product(np.ones((2, 3), np.float32))
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError, match="'W'"):
        read(load(proto).graph.graph.initializers["W"].const_value)


# External data.


@pytest.mark.parametrize(
    "places",
    [
        [("w.bin",)],
        [("w.bin", 0, 2400)],
        [("w.bin", 2400, 2400), ("w.bin", 0, 2400), ("w.bin", 2400)],
        [("a.bin", 0, 2400), ("b.bin", 0, 2400)],
        [("./w.bin",), ("sub/w.bin",), ("sub/../w.bin",)],
    ],
)
def test_external_data_is_found_wherever_it_may_lie(tmp_path, places):
    for location in {place[0] for place in places}:
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / location).write_bytes(W.tobytes() * 2)
    loaded = load(elsewhere(tmp_path / "m.onnx", *places))
    assert all((array == W).all() for array in weights_of(loaded))
    assert loaded.external and set(loaded.data_files()) == {tmp_path / place[0] for place in places}


def test_external_data_in_branches_and_in_attributes_is_found(tmp_path):
    side = graph([node("Identity", "inner", "z")], [], ["z"])
    side.initializer.append(reference_to("inner", "w.bin"))
    proto = model(
        [
            node("If", "c", "y", then_branch=side, else_branch=side),
            node("Constant", "", "k", value=reference_to("", "w.bin")),
        ],
        {"c": ([], np.bool_)},
        ["y", "k"],
    )
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    loaded = load(write(tmp_path / "m.onnx", proto))
    assert len(weights_of(loaded)) == 3 and all((array == W).all() for array in weights_of(loaded))
    (tmp_path / "out").mkdir()
    save(loaded, loaded.graph, tmp_path / "out" / "o.onnx")
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    (tmp_path / "w.bin").unlink()
    assert all((array == W).all() for array in weights_of(load(moved / "o.onnx")))


BAD_PLACES = {
    "missing": ([("none.bin",)], "'none.bin' cannot be read: No such file"),
    "too short": ([("w.bin", 4)], "needs bytes up to 2404 of w.bin, which has 2400"),
    "length too short": ([("w.bin", 0, 8)], "'w0'"),
    "offset far away": ([("w.bin", 1 << 70)], "'w0'"),
    "negative offset": ([("w.bin", -8)], "negative"),
    "negative length": ([("w.bin", 0, -8)], "negative"),
    "offset no number": ([("w.bin", "first")], "'first'"),
    "traversal": ([("../outside.bin",)], "outside the model's folder"),
    "traversal in the middle": ([("sub/../../outside.bin",)], "outside the model's folder"),
    "absolute": ([("/etc/hostname",)], "outside the model's folder"),
    "link out": ([("link_out.bin",)], "outside the model's folder"),
    "linked folder": ([("away/outside.bin",)], "outside the model's folder"),
    "loop": ([("loop.bin",)], "loop"),
    "folder": ([("sub",)], "is not a regular file"),
    "no name": ([("",)], "is not a regular file"),
    "pipe": ([("pipe",)], "is not a regular file"),
    "drive": ([("C:\\\\w.bin",)], "outside the model's folder"),
    "NUL in the name": ([("a\0b",)], "null"),
    "name too long": ([("x" * 5000,)], "too long"),
    "second of two": ([("w.bin",), ("none.bin",)], "none.bin"),
}


@pytest.fixture
def data_folder(tmp_path):
    folder = tmp_path / "home"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside.bin").write_bytes(W.tobytes())
    (folder / "w.bin").write_bytes(W.tobytes())
    (folder / "link_out.bin").symlink_to(tmp_path / "outside.bin")
    os.mkfifo(folder / "pipe")
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    (folder / "away").symlink_to(tmp_path)
    return folder


@pytest.mark.parametrize("name", BAD_PLACES)
def test_external_data_that_is_not_there_or_not_allowed_is_refused(data_folder, name):
    places, message = BAD_PLACES[name]
    path = elsewhere(data_folder / "m.onnx", *places)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_external_data_without_a_folder_is_refused(tmp_path):
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    content = elsewhere(tmp_path / "m.onnx", ("w.bin",)).read_bytes()
    for source in (content, onnx.ModelProto.FromString(content)):
        with pytest.raises(ModelError, match="give the model's path"):
            load(source)


def test_loading_does_not_read_the_data(tmp_path):
    rows = 1 << 20
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(rows * (1 << 20) * 4)  # 4 TiB of nothing: whoever reads it, or reserves memory for it, fails
    loaded = load(elsewhere(tmp_path / "m.onnx", ("w.bin",), shape=(rows, 1 << 20)))
    (tensor,) = constant_tensors(loaded.graph)
    assert tensor.nbytes == rows * (1 << 20) * 4 and loaded.external


def test_a_file_that_goes_away_or_shrinks_after_loading_is_a_model_error(tmp_path):
    data = tmp_path / "w.bin"
    data.write_bytes(W.tobytes())
    loaded = load(elsewhere(tmp_path / "m.onnx", ("w.bin",)))
    data.write_bytes(W.tobytes()[:100])
    with pytest.raises(ModelError, match=r"w\.bin.*'w0'.*shorter"):
        weights_of(loaded)
    data.unlink()
    with pytest.raises(ModelError, match=r"w\.bin.*'w0'.*No such file"):
        weights_of(loaded)


def test_names_that_are_no_text_are_refused_with_the_file(tmp_path):
    data = product(np.eye(2, dtype=np.float32)).SerializeToString().replace(b"linear", b"li\xffear")
    (tmp_path / "bad.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"bad.onnx: a node or value has a name that is no text in UTF-8"):
        load(tmp_path / "bad.onnx")
