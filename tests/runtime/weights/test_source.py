import importlib.util
import os

import numpy as np
import onnx
import oracles
import pytest
from onnx import helper
from scipy.io import mmwrite
from scipy.sparse import coo_array

import scission
from scission.ir.errors import ScissionError
from scission.runtime.weights.source import AmbiguousError, WeightError, from_array, from_model, locate, read_weight

rng = np.random.default_rng(0)
W = rng.standard_normal((4, 4)).astype(np.float32)
V = rng.standard_normal((4, 6)).astype(np.float32)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(weights):
    """A chain of MatMuls, each called after its weight."""
    names = list(weights)
    nodes = [("MatMul", [f"x{i}", name], [f"x{i + 1}"], {"name": name}) for i, name in enumerate(names)]
    sizes = [weights[names[0]].shape[0], weights[names[-1]].shape[1]]
    return oracles.graph(nodes, {"x0": ["m", sizes[0]]}, {f"x{len(names)}": ["m", sizes[1]]}, weights)


# Where it is.


def test_the_longest_beginning_that_is_there_is_the_file(here):
    for name in ("a", "a:b", "a:b:c:d"):
        (here / name).write_text("")
    for source, found in {
        "a": ("a", None),
        "a:x/y": ("a", "x/y"),
        "a:b": ("a:b", None),
        "a:b:x": ("a:b", "x"),
        "a:b:c:d": ("a:b:c:d", None),
        "a:domain::f/MatMul#0": ("a", "domain::f/MatMul#0"),
        "a:": ("a", None),
    }.items():
        path, name = locate(source)
        assert (str(path), name) == found


@pytest.mark.parametrize("source", ["nope", "nope:x", "", ":", ":x", "a" * 5000, "a\0b"])
def test_what_is_not_there_is_named(source, here):
    with pytest.raises(WeightError, match="no such file"):
        read_weight(source)


# Files.


def written(here, suffix):
    path = here / f"w{suffix}"
    if suffix == ".npy":
        np.save(path, V)
    elif suffix == ".npz":
        np.savez(path, only=V)
    elif suffix == ".mtx":
        mmwrite(path, V.astype(np.float64), precision=17)
    elif suffix == ".safetensors":
        pytest.importorskip("safetensors").numpy.save_file({"only": V}, path)
    else:
        np.savetxt(path, V, delimiter={".csv": ",", ".tsv": "\t", ".txt": " "}[suffix], fmt="%.9g")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mtx", ".csv", ".tsv", ".txt", ".safetensors"])
def test_every_kind_of_file_gives_the_same_matrix(suffix, here):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy")
    path = written(here, suffix)
    for source in (path, str(path)):
        weight = read_weight(source)
        np.testing.assert_array_equal(weight.matrix.astype(np.float32), V)
        assert weight.files == (path,) and not weight.square


def test_one_of_several_arrays_is_named(here):
    np.savez("w.npz", a=V, b=np.ones((2, 2, 2)), **{"c:d": W * 2})
    np.testing.assert_array_equal(read_weight("w.npz:a").matrix, V)
    np.testing.assert_array_equal(read_weight("w.npz").matrix, W * 2)  # the only square one
    weight = read_weight("w.npz:c:d")
    assert weight.name == "w.npz:c:d" and weight.square
    with pytest.raises(WeightError, match="no array 'x' in it; there are: a, b, c:d"):
        read_weight("w.npz:x")
    np.savez("w.npz", a=W, b=V, c=W)
    with pytest.raises(AmbiguousError, match=r"2 square matrices; name one, as in w\.npz:a") as caught:
        read_weight("w.npz")
    assert caught.value.choices == (("w.npz:a", "4x4"), ("w.npz:c", "4x4"), ("w.npz:b", "4x6"))


def test_safetensors_are_named_too(here):
    save = pytest.importorskip("safetensors.numpy").save_file
    save({"a": V, "b": V}, "w.safetensors")
    np.testing.assert_array_equal(read_weight("w.safetensors:b").matrix, V)
    for source, word in {"w.safetensors": "2 matrices and none is square", "w.safetensors:c": "no array 'c'"}.items():
        with pytest.raises(WeightError, match=word):
            read_weight(source)
    (here / "bad.safetensors").write_bytes(b"garbage")
    with pytest.raises(WeightError, match="not a safetensors file"):
        read_weight("bad.safetensors")


def test_safetensors_without_the_package(here, monkeypatch):
    (here / "w.safetensors").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightError, match="pip install safetensors"):
        read_weight("w.safetensors")


def test_sparse_matrix_market_files(here):
    mmwrite("w.mtx", coo_array(([2.0], ([1], [2])), (3, 3)))
    assert read_weight("w.mtx").matrix.tolist() == [[0, 0, 0], [0, 0, 2], [0, 0, 0]]
    (here / "huge.mtx").write_text("%%MatrixMarket matrix coordinate real general\n9999999 9999999 1\n1 1 1\n")
    with pytest.raises(WeightError, match="too large"):
        read_weight("huge.mtx")


@pytest.mark.parametrize(
    ("text", "matrix"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeff1;2\n3;4", [[1, 2], [3, 4]]),
        ("# rows\n\n1 -2e3\n 3\t4 \n", [[1, -2000], [3, 4]]),
        ("7", [[7]]),
        ("1,inf", [[1, np.inf]]),
        ("nan 0", [[np.nan, 0]]),
    ],
)
def test_tables_of_text(text, matrix, here):
    (here / "w.txt").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_weight("w.txt").matrix, matrix)


BAD_FILES = {
    "text.txt": (b"once upon a time\n", "not a table of numbers"),
    "ragged.csv": (b"1,2\n3\n", "not a table of numbers"),
    "header.csv": (b"a,b\n1,2\n", "not a table of numbers"),
    "binary.csv": (b"\xff\xfe\x00\x01", "not a table of numbers"),
    "empty.csv": (b"", "is empty"),
    "comments.txt": (b"# nothing\n", "is empty"),
    "empty.npy": (b"", "no data left"),
    "garbage.npy": (b"garbage and more garbage", "never unpickled"),
    "short.npy": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }" + b" " * 60, ""),
    "zip.npz": (b"PK\x03\x04garbage", "not a numpy file"),
    "garbage.mtx": (b"garbage\n", "not a Matrix Market file"),
    "short.mtx": (b"%%MatrixMarket matrix coordinate real general\n3 3 5\n1 1 1\n", "not a Matrix Market file"),
    "empty.mtx": (b"", "not a Matrix Market file"),
    "model.onnx": (b"garbage", "not an ONNX model"),
    "empty.onnx": (b"", "empty"),
    "w.unknown": (b"1 2 3", "not an ONNX model"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_be_read_are_named(name, here):
    data, word = BAD_FILES[name]
    (here / name).write_bytes(data)
    with pytest.raises(ScissionError, match=f"(?i){name}.*{word}"):
        read_weight(name)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_nothing_is_ever_unpickled(suffix, here):
    trap = np.array([[Trap()]], object)
    (np.save if suffix == "npy" else np.savez)(f"w.{suffix}", trap, allow_pickle=True)
    with pytest.raises(WeightError, match="never unpickled"):
        read_weight(f"w.{suffix}")
    assert not (here / "sprung").exists()


def test_folders_pipes_and_broken_links(here):
    (here / "folder.npy").mkdir()
    os.mkfifo("pipe.npy")
    (here / "link.npy").symlink_to("nowhere")
    for name, word in {"folder.npy": "is a folder", "pipe.npy": "not a regular file", "link.npy": "No such"}.items():
        with pytest.raises(WeightError, match=word):
            read_weight(name)


@pytest.mark.parametrize(
    ("matrix", "word"),
    [
        (np.ones(4), "no matrix"),
        (np.ones((2, 2, 2)), "no matrix"),
        (np.ones(()), "no matrix"),
        (np.ones((0, 4)), "is empty"),
        (np.array([["a"]]), "not numbers"),
        (np.array([[None]]), "not numbers"),
        (np.zeros((2, 2), "datetime64[s]"), "not numbers"),
        (np.zeros((2, 2), "f4,f4"), "not numbers"),
        (np.zeros((2, 2), "V2"), "not numbers"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(matrix, word):
    with pytest.raises(WeightError, match=word):
        from_array(matrix)


def test_a_name_in_a_file_without_names(here):
    np.save("w.npy", W)
    with pytest.raises(WeightError, match="no names"):
        read_weight("w.npy:x")


# Models.


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_linear_is_named_by_its_address(node, here):
    onnx.save(model({"a": W, "b": V}), "m.onnx")
    weight = read_weight(f"m.onnx:{node}")
    np.testing.assert_array_equal(weight.matrix, {"a": W, "b": V}[node])
    assert weight.name == f"m.onnx:{node}" and [str(path) for path in weight.files] == ["m.onnx"]
    np.testing.assert_array_equal(read_weight(here / "m.onnx", node).matrix, weight.matrix)
    np.testing.assert_array_equal(from_model(model({"a": W, "b": V}), node).matrix, weight.matrix)


def test_the_only_weight_and_the_only_square_one_need_no_name(here):
    onnx.save(model({"a": V}), "one.onnx")
    np.testing.assert_array_equal(read_weight("one.onnx").matrix, V)
    onnx.save(model({"a": W, "b": V}), "two.onnx")
    np.testing.assert_array_equal(read_weight("two.onnx").matrix, W)


def test_several_weights_are_listed(here):
    onnx.save(model({"a": W, "b": W, "c": V}), "m.onnx")
    with pytest.raises(AmbiguousError, match="2 square matrices") as caught:
        read_weight("m.onnx")
    assert caught.value.choices == (("m.onnx:a", "4x4"), ("m.onnx:b", "4x4"), ("m.onnx:c", "4x6"))


def test_transposed_and_folded_weights_come_in_canonical_form():
    gemm = [("Gemm", ["x", "W"], ["y"], {"name": "gemm", "transB": 1})]
    proto = oracles.graph(gemm, {"x": ["m", 6]}, {"y": ["m", 4]}, {"W": V})
    np.testing.assert_array_equal(from_model(proto).matrix, V.T)


def test_nodes_without_a_weight_say_why(here):
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "yes"}), ("Gather", ["V", "i"], ["z"], {"name": "table"})]
    proto = oracles.graph(nodes, {"x": ["m", 4]}, {"y": ["m", 4], "z": None}, {"W": W, "V": V, "i": np.array([0])})
    with pytest.raises(WeightError, match="there is no linear 'nope'"):
        from_model(proto, "nope")
    with pytest.raises(WeightError, match="'table' has no weight that can be taken: Gather"):
        from_model(proto, "table")
    with pytest.raises(WeightError, match="no matrix in it"):
        from_model(oracles.graph([("Relu", ["x"], ["y"], {})], {"x": ["m", 4]}, {"y": ["m", 4]}, {"unused": W}))


def test_external_data_is_an_input_too(here):
    onnx.save(model({"a": W}), "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    weight = read_weight("m.onnx")
    assert sorted(path.name for path in weight.files) == ["m.bin", "m.onnx"]
    np.testing.assert_array_equal(weight.matrix, W)


def test_weights_that_functions_take_are_named_as_in_plans():
    body = [helper.make_node("MatMul", ["u", "w"], ["v"], "inner")]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("local", "f", ["u", "w"], ["v"], body, imports)
    x, y = (helper.make_tensor_value_info(name, 1, ["n", 4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("f", ["x", "W"], ["y"], "call", domain="local")],
        "g",
        [x],
        [y],
        [onnx.numpy_helper.from_array(W, "W")],
    )
    proto = helper.make_model(
        graph, functions=[function], opset_imports=[*imports, helper.make_opsetid("local", 1)], ir_version=8
    )
    (step,) = scission.plan(proto, provider="cpu").steps
    for node in (None, step.node):
        np.testing.assert_array_equal(from_model(proto, node).matrix, W)


# Recurrent weights.


def lstm(op, gates, directions=1):
    hidden, features = 3, 2
    R = np.zeros((directions, gates * hidden, hidden), np.float32)
    R[0, (gates - 1) * hidden + 1, 2] = -0.5  # the last gate: unit 1 reads unit 2
    R[0, 0, 0] = -0.0
    shape = (directions, gates * hidden, features)
    X = rng.standard_normal(shape).astype(np.float32)
    attributes = {"name": "cell", "hidden_size": hidden}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    nodes = [(op, ["x", "W", "R"], ["y"], attributes)]
    return oracles.graph(nodes, {"x": [5, 1, features]}, {"y": None}, {"W": X, "R": R})


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_weights_are_those_of_their_states(op, gates):
    weight = from_model(lstm(op, gates))
    assert weight.square and np.argwhere(weight.matrix != 0).tolist() == [[2, 1]]  # inputs in rows: 2 -> 1
    assert weight.matrix[2, 1] == 0.5
    both = lstm(op, gates, 2)
    assert np.count_nonzero(from_model(both, "cell[forward]").matrix) == 1
    assert np.count_nonzero(from_model(both, "cell[reverse]").matrix) == 0
    for node in (None, "cell"):
        with pytest.raises(AmbiguousError) as caught:
            from_model(both, node)
        assert [name.rpartition(":")[2] for name, _ in caught.value.choices] == ["cell[forward]", "cell[reverse]"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_types_of_safetensors(dtype, here):
    import ml_dtypes
    from safetensors.numpy import save_file

    matrix = W.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16)
    save_file({"w": matrix}, here / "w.safetensors")
    np.testing.assert_array_equal(read_weight("w.safetensors").matrix, matrix)


HEADERS = ["((((((", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999), }",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2), }"]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.filterwarnings("error")
def test_damaged_headers_are_one_clear_error(header, here):
    text = header.encode() + b" " * (118 - len(header)) + b"\n"
    (here / "w.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(WeightError, match=r"w.npy: (not a numpy file|is empty|holds|has shape)"):
        read_weight("w.npy")


HEAD = "%%MatrixMarket matrix coordinate pattern symmetric\n3 3 1\n"


def test_matrix_market_files_that_scipy_reads_past_their_end(here):
    (here / "w.mtx").write_bytes(HEAD.encode() + b"2 1\xff")
    with pytest.raises(WeightError, match=r"w.mtx: not a Matrix Market file: it holds bytes that are no text in ASCII"):
        read_weight("w.mtx")
    (here / "w.mtx").write_bytes(HEAD.encode() + b"2 1\0\n")
    with pytest.raises(WeightError, match=r"w.mtx: not a Matrix Market file: it holds bytes that are no text in ASCII"):
        read_weight("w.mtx")
    (here / "w.mtx").write_text(HEAD + "2 1")  # no end of line
    assert read_weight("w.mtx").matrix.astype(int).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_names_too_long_for_a_file_system(here):
    with pytest.raises(WeightError, match="no such file"):
        read_weight("a" * 5000 + ":x")


def test_names_cannot_steer_a_terminal():
    assert from_array(W, "a\x1b[31mb\nc").name == r"a\x1b[31mb\nc"


@pytest.mark.parametrize(
    ("shape", "told"), [((3,), "give one of inputs by outputs"), ((2, 3, 4), "give one slice of it")]
)
def test_what_is_no_matrix_is_told_what_to_give(shape, told):
    with pytest.raises(WeightError, match=f"which is no matrix; {told}"):
        from_array(np.ones(shape))
