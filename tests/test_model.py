import errno
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from reference import function, graph, model, node, normal, product, tensors_of, values

import scission.ir.model as models
from scission.ir.model import ModelError, constant_tensors, load, read, save, save_copy, stage, stage_copy, to_proto
from scission.ir.onnx_ir import onnx_ir as ir

W = np.arange(600, dtype=np.float32).reshape(20, 30)
BIG = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
rich_value = values([("v", ([20, "n"], np.float32))])[0]


def write(path, proto) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return path


def rich() -> onnx.ModelProto:
    """One of everything that a model can carry."""
    branch = graph([node("MatMul", "x inner", "z", "in_branch")], [], ["z"], {"inner": W})
    nodes = [
        node("Mask", "x w", "a", "call", "local", scale=2.0),
        node("If", "c", "d", "if", then_branch=branch, else_branch=graph([node("Neg", "x", "n")], [], ["n"])),
        node("Constant", "", "k", "constant", value=numpy_helper.from_array(W.astype(np.int8))),
        node("Constant", "", "l", "longs", value_ints=[1, 2, 3]),
        node("MatMul", "x s", "e", "sparse"),
        node("Add", "a small", "y", "add"),
    ]
    body = [
        node("MatMul", "x w", "t"),
        node("Constant", "", "two", value=numpy_helper.from_array(BIG)),
        node("Mul", "t two", "y"),
    ]
    inner = function("Mask", "x w", "y", body, attributes=["scale"])
    inner.doc_string, inner.node[0].doc_string = "what it does", "why"
    inner.node[2].attribute.append(onnx.AttributeProto(name="unused", ref_attr_name="scale", type=1))
    other = function("Mask", "x", "y", [node("Relu", "x", "y")])
    other.overload = "second"
    proto = model(
        nodes,
        {"x": ["batch", 20], "c": ([], np.bool_)},
        {"y": None, "d": None, "e": None, "k": None},
        {"w": W},
        functions=[inner, other],
        ir_version=10,
    )
    proto.graph.initializer.extend(
        [helper.make_tensor("small", 1, [2], [1, 2]), helper.make_tensor("text", 8, [2], ["a", "b"])]
    )
    proto.graph.initializer[0].doc_string = "the weight"
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("s", 1, [2], [1, 2]), helper.make_tensor("i", 7, [2], [0, 5]), [20, 4]
        )
    )
    proto.graph.value_info.extend(values([("a", ([None, "n"], np.float32))]))
    proto.producer_name, proto.producer_version, proto.domain, proto.model_version = "maker", "1.2", "org.example", 7
    proto.doc_string, proto.graph.doc_string, proto.graph.node[0].doc_string = "model", "graph", "node"
    proto.graph.input[0].doc_string = "the input"
    for owner in (
        proto,
        proto.graph,
        proto.graph.node[0],
        proto.graph.input[0],
        proto.graph.initializer[0],
        proto.functions[0],
    ):
        owner.metadata_props.add(key="key", value="value")
    annotation = proto.graph.quantization_annotation.add(tensor_name="a")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="small")
    training = proto.training_info.add(algorithm=graph([node("Neg", "x", "q")], ["x"], ["q"], {"rate": W}))
    training.update_binding.add(key="w", value="q")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def same(first, second):
    assert str(normal(first)) == str(normal(second))


# What goes in comes out.


@pytest.mark.parametrize("source", ["path", "text", "bytes", "proto", "ir"])
def test_saving_what_was_loaded_loses_nothing(tmp_path, source):
    proto = rich()
    if source == "ir":
        del proto.training_info[:], proto.graph.sparse_initializer[:], proto.graph.node[4], proto.graph.output[2]
    path = write(tmp_path / "in.onnx", proto)
    sources = {"path": path, "text": str(path), "bytes": path.read_bytes(), "proto": proto, "ir": ir.from_proto(proto)}
    loaded = load(sources[source])
    assert save(loaded, loaded.graph, tmp_path / "out.onnx") == [tmp_path / "out.onnx"]
    same(onnx.load(tmp_path / "out.onnx"), proto)
    assert path.read_bytes() == proto.SerializeToString()


def test_saving_a_clone_loses_nothing_either(tmp_path):
    loaded = load(write(tmp_path / "in.onnx", rich()))
    save(loaded, loaded.graph.clone(), tmp_path / "out.onnx")
    same(onnx.load(tmp_path / "out.onnx"), rich())


def test_a_proto_is_not_changed_by_loading_and_serialises_back():
    proto = rich()
    loaded = load(proto)
    same(to_proto(loaded, loaded.graph), rich())
    assert proto == rich()


shapes = st.lists(st.integers(0, 40), max_size=3)
dtypes = st.sampled_from(["float32", "float64", "float16", "int64", "int8", "uint8", "bool"])


@given(st.lists(st.tuples(shapes, dtypes), max_size=4), st.integers(0, 2**32))
def test_every_tensor_comes_back_bit_for_bit(tmp_path_factory, specs, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("bits")
    weights = {f"w{n}": rng.integers(0, 2, shape).astype(dtype) for n, (shape, dtype) in enumerate(specs)}
    proto = model([node("Relu", "x", "y")], ["x"], ["y"], weights)
    loaded = load(write(folder / "in.onnx", proto))
    save(loaded, loaded.graph, folder / "out.onnx")
    same(onnx.load(folder / "out.onnx"), proto)
    for name, array in weights.items():
        back = read(loaded.graph.graph.initializers[name].const_value)
        assert back.dtype == array.dtype and back.shape == array.shape and (back == array).all()


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN])
@pytest.mark.parametrize("elements", [5, 9001])
def test_types_that_numpy_lacks_are_kept_and_read(tmp_path, kind, elements):
    proto = model([node("Relu", "x", "y")], ["x"], ["y"], ir_version=10, opset=21)
    proto.graph.initializer.append(helper.make_tensor("w", kind, [elements], np.arange(elements) % 7))
    packed = numpy_helper.from_array(numpy_helper.to_array(proto.graph.initializer[0]), "w")
    proto.graph.initializer[0].CopyFrom(packed)
    loaded = load(write(tmp_path / "in.onnx", proto))
    save(loaded, loaded.graph, tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx").graph.initializer[0] == packed
    array = read(loaded.graph.graph.initializers["w"].const_value)
    assert array.astype(np.float32).tolist() == (np.arange(elements) % 7).tolist()


def test_a_second_save_is_the_same_as_the_first(tmp_path):
    loaded = load(write(tmp_path / "in.onnx", rich()))
    save(loaded, loaded.graph, tmp_path / "a.onnx")
    save(loaded, loaded.graph, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_loading_twice_gives_the_name_that_was_asked_for(tmp_path):
    path = write(tmp_path / "in.onnx", product(W))
    assert (load(path).name, load(path, "mine").name) == (str(path), "mine")
    assert load(product(W)).name == "g" and load(path.read_bytes()).name == "model"


# What must be refused, and what must not.


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
        [node("If", "c", "y", then_branch=unsorted().graph, else_branch=graph([], [], ["x"]))],
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
    "sparse attribute": (
        model([node("Constant", "", "y", "n", sparse_value=rich().graph.sparse_initializer[0])], [], ["y"]),
        "[Ss]parse",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("as_file", [True, False])
def test_models_that_cannot_run_are_refused_with_the_reason(tmp_path, name, as_file):
    proto, message = REFUSED[name]
    with pytest.raises(ModelError, match=message) as caught:
        load(write(tmp_path / "m.onnx", proto) if as_file else proto)
    if as_file:
        assert str(caught.value).startswith(f"{tmp_path / 'm.onnx'}: ")


def test_sparse_initializers_in_a_branch_are_refused_not_lost():
    side = graph([], [], ["s"])
    side.sparse_initializer.extend(rich().graph.sparse_initializer)
    proto = model([node("If", "c", "y", then_branch=side, else_branch=side)], {"c": ([], np.bool_)}, ["y"])
    with pytest.raises(ModelError, match="subgraph has sparse initializers"):
        load(proto)


FILES = {
    "empty": (b"", "is empty"),
    "text": (b"this is not a model, but a letter\n" * 20, "not an ONNX model|no graph"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not an ONNX model|no graph"),
    "zip": (b"PK\x03\x04" + bytes(100), "not an ONNX model|no graph"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "not an ONNX model|no graph"),
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
    with pytest.raises(ModelError, match="Is a directory"):
        load(tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        load(tmp_path / "nothing.onnx")


@pytest.mark.parametrize("size", [3, 30])
def test_a_model_cut_anywhere_is_refused(tmp_path, size):
    whole = product(np.ones((size, size), np.float32)).SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(len(whole)):
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


def elsewhere(path, *places, shape=(20, 30)) -> Path:
    """A model whose weights are W at (location, offset, length), two of the three optional; first in the main graph."""
    proto = model(
        [node("MatMul", f"x w{n}", f"y{n}") for n in range(len(places))], ["x"], [f"y{n}" for n in range(len(places))]
    )
    for n, place in enumerate(places):
        proto.graph.initializer.append(reference_to(f"w{n}", *place, shape=shape))
    return write(path, proto)


def reference_to(name, location, offset=None, length=None, shape=(20, 30)):
    tensor = TensorProto(name=name, data_type=1, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def weights_of(loaded):
    return [read(tensor) for tensor in constant_tensors(loaded.graph)]


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
    "missing": ([("none.bin",)], "'none.bin': No such file"),
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
    "link within": ([("link_in.bin",)], "is a link"),
    "linked folder": ([("away/outside.bin",)], "outside the model's folder"),
    "loop": ([("loop.bin",)], "loop"),
    "folder": ([("sub",)], "Is a directory"),
    "no name": ([("",)], "Is a directory"),
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
    (folder / "link_in.bin").symlink_to(folder / "w.bin")
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


# Saving.


def snapshot(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def with_data(folder) -> Path:
    """A model with a large weight outside, and small ones inside and in a branch."""
    side = graph([node("Identity", "inner", "z")], [], ["z"], {"inner": W})
    proto = model(
        [
            node("MatMul", "x big", "y"),
            node("MatMul", "x w", "u"),
            node("If", "c", "v", then_branch=side, else_branch=side),
        ],
        {"x": None, "c": ([], np.bool_)},
        ["y", "u", "v"],
        {"w": W, "big": BIG},
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(proto, folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=10_000)
    return folder / "m.onnx"


def test_a_model_with_external_data_is_saved_with_external_data(tmp_path):
    path = with_data(tmp_path / "in")
    loaded = load(path)
    (tmp_path / "out").mkdir()
    files = save(loaded, loaded.graph, tmp_path / "out" / "o.onnx")
    assert sorted(files) == [tmp_path / "out" / "o.onnx", tmp_path / "out" / "o.onnx.data"]
    expected = onnx.load(path)
    for old in (tmp_path / "in").iterdir():
        old.unlink()
    same(onnx.load(tmp_path / "out" / "o.onnx"), expected)
    light = onnx.load(tmp_path / "out" / "o.onnx", load_external_data=False)
    locations = {e.value for t in tensors_of(light) for e in t.external_data if e.key == "location"}
    assert locations == {"o.onnx.data"}


def test_what_passes_the_limit_of_protobuf_goes_outside(tmp_path, monkeypatch):
    path = write(tmp_path / "in.onnx", model([node("MatMul", "x w", "y")], ["x"], ["y"], {"w": BIG, "s": W}))
    loaded = load(path)
    monkeypatch.setattr(models, "PROTOBUF_LIMIT", BIG.nbytes + W.nbytes)
    assert len(save(loaded, loaded.graph, tmp_path / "one.onnx")) == 1
    monkeypatch.setattr(models, "PROTOBUF_LIMIT", BIG.nbytes + W.nbytes - 1)
    assert sorted(save(loaded, loaded.graph, tmp_path / "two.onnx")) == [
        tmp_path / "two.onnx",
        tmp_path / "two.onnx.data",
    ]
    assert (tmp_path / "two.onnx.data").stat().st_size == BIG.nbytes
    same(onnx.load(tmp_path / "two.onnx"), onnx.load(path))
    same(onnx.load(tmp_path / "one.onnx"), onnx.load(path))
    assert (read(loaded.graph.graph.initializers["w"].const_value) == BIG).all()  # still the source's own


def test_a_copy_is_byte_identical_with_its_data(tmp_path):
    path = with_data(tmp_path / "in")
    (tmp_path / "out").mkdir()
    files = save_copy(load(path), tmp_path / "out" / "copy.onnx")
    assert sorted(files) == [tmp_path / "out" / "copy.onnx", tmp_path / "out" / "m.bin"]
    assert (tmp_path / "out" / "copy.onnx").read_bytes() == path.read_bytes()
    assert (tmp_path / "out" / "m.bin").read_bytes() == (tmp_path / "in" / "m.bin").read_bytes()
    same(onnx.load(tmp_path / "out" / "copy.onnx"), onnx.load(path))


def test_a_copy_takes_data_in_folders_along(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for location in ("a.bin", "sub/b.bin"):
        (tmp_path / "in" / location).write_bytes(W.tobytes())
    path = elsewhere(tmp_path / "in" / "m.onnx", ("a.bin",), ("sub/b.bin",), ("sub/../a.bin",))
    before = snapshot(tmp_path / "in")
    save_copy(load(path), tmp_path / "out" / "m.onnx")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "in") == before


def test_a_copy_into_the_same_folder_shares_the_data(tmp_path):
    path = with_data(tmp_path)
    assert save_copy(load(path), tmp_path / "copy.onnx") == [tmp_path / "copy.onnx"]
    assert set(snapshot(tmp_path)) == {"m.onnx", "m.bin", "copy.onnx"}


@pytest.mark.parametrize("writer", [stage, stage_copy])
def test_what_is_staged_can_be_opened_and_leaves_nothing_behind(tmp_path, writer):
    path = with_data(tmp_path / "in")
    loaded = load(path)
    (tmp_path / "out").mkdir()
    arguments = (
        (loaded, loaded.graph, tmp_path / "out" / "o.onnx")
        if writer is stage
        else (loaded, tmp_path / "out" / "o.onnx")
    )
    with writer(*arguments) as staged:
        same(onnx.load(staged.path), onnx.load(path))
    assert snapshot(tmp_path / "out") == {}


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


BREAKS = {  # where a disk can fill up: while the graph, the data, or the copy is written, and at the last move
    "graph": ("inline", "concatenate"),
    "move": ("inline", "os.replace"),
    "data": ("external", "ir.external_data.unload_from_model"),
    "graph beside data": ("external", "to_proto"),
    "copy": ("copy", "shutil.copyfile"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("where", BREAKS)
def test_a_failure_in_the_middle_leaves_everything_as_it_was(tmp_path, monkeypatch, where, overwrite):
    kind, target = BREAKS[where]
    path = write(tmp_path / "in" / "m.onnx", product(W)) if kind == "inline" else with_data(tmp_path / "in")
    loaded = load(path)
    out = tmp_path / "out" / "o.onnx"
    out.parent.mkdir()
    if overwrite:
        out.write_bytes(b"old")
        Path(f"{out}.data").write_bytes(b"old data")
    before = snapshot(tmp_path)
    monkeypatch.setattr(f"scission.ir.model.{target}", full)
    with pytest.raises(ModelError, match=r"o\.onnx: No space left on device; nothing was written"):
        save_copy(loaded, out, overwrite) if kind == "copy" else save(loaded, loaded.graph, out, overwrite)
    assert snapshot(tmp_path) == before
    monkeypatch.undo()
    assert weights_of(loaded)


def test_a_failure_of_any_other_kind_leaves_nothing_behind_either(tmp_path):
    loaded = load(write(tmp_path / "m.onnx", product(W)))
    with pytest.raises(KeyboardInterrupt), stage(loaded, loaded.graph, tmp_path / "o.onnx"):
        raise KeyboardInterrupt
    assert set(snapshot(tmp_path)) == {"m.onnx"}


def test_an_existing_output_is_replaced_only_when_asked(tmp_path):
    loaded = load(write(tmp_path / "m.onnx", product(W)))
    out = tmp_path / "o.onnx"
    out.write_bytes(b"old")
    for writer in (lambda **o: save(loaded, loaded.graph, out, **o), lambda **o: save_copy(loaded, out, **o)):
        with pytest.raises(ModelError, match="exists already"):
            writer()
        assert out.read_bytes() == b"old"
        writer(overwrite=True)
        same(onnx.load(out), product(W))
        out.write_bytes(b"old")


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize("victim", ["m.onnx", "m.bin"])
def test_an_input_is_never_written_to(tmp_path, link, victim):
    path = with_data(tmp_path / "in")
    target = path.with_name(victim)
    if link is not None:
        link(target, tmp_path / "alias")
        target = tmp_path / "alias"
    loaded, before = load(path), snapshot(tmp_path)
    for writer in (lambda: save(loaded, loaded.graph, target, True), lambda: save_copy(loaded, target, True)):
        with pytest.raises(ModelError, match="is the input itself"):
            writer()
    assert snapshot(tmp_path) == before


def test_the_data_file_of_the_output_may_not_be_the_input_either(tmp_path):
    (tmp_path / "o.onnx.data").write_bytes(W.tobytes())
    loaded = load(elsewhere(tmp_path / "m.onnx", ("o.onnx.data",)))
    with pytest.raises(ModelError, match=r"o\.onnx\.data: is the input itself"):
        save(loaded, loaded.graph, tmp_path / "o.onnx", overwrite=True)


def test_a_copy_does_not_replace_another_models_data(tmp_path):
    path = with_data(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.bin").write_bytes(b"of another model")
    with pytest.raises(ModelError, match=r"m\.bin: exists already"):
        save_copy(load(path), tmp_path / "out" / "m.onnx")
    assert snapshot(tmp_path / "out") == {"m.bin": b"of another model"}


def test_outputs_that_cannot_be_are_refused(tmp_path):
    loaded = load(product(W))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        save(loaded, loaded.graph, tmp_path / "folder", overwrite=True)
    with pytest.raises(ModelError, match="its folder does not exist"):
        save(loaded, loaded.graph, tmp_path / "none" / "o.onnx")


def test_relative_paths_work(tmp_path, monkeypatch):
    with_data(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    loaded = load("in/m.onnx")
    save(loaded, loaded.graph, Path("o.onnx"))
    save_copy(loaded, Path("c.onnx"))
    same(onnx.load("o.onnx"), onnx.load("in/m.onnx"))
    same(onnx.load("c.onnx"), onnx.load("in/m.onnx"))
