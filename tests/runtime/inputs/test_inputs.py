import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from scission.runtime.inputs import inputs
from scission.runtime.inputs.inputs import UNNAMED, InputError, draw, index_bounds, load_npz, read_npz
from scission.runtime.inputs.sizes.size_search import trial_sizes
from scission.runtime.ort.session import open_session
from scission.runtime.ort.tensor_spec import TensorSpec


def spec(name, dtype, *shape):
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("bounds", [None, (3, 1000)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 2), (5, 3), (2, 1, 4)])
def test_what_is_drawn_in_pieces_is_what_is_drawn_at_once(shape, dtype, bounds, monkeypatch):
    given = {} if bounds is None else {"x": bounds}
    for piece in (1 << 20, 1, 4):
        monkeypatch.setattr(inputs, "PIECE", piece)
        feed = draw([spec("x", dtype, *shape), spec("z", "float32", 2)], rng(), bounds=given)
        whole = rng()
        if dtype == "bool":
            expected = whole.integers(0, 2, shape)
        else:
            expected = whole.standard_normal(shape) if bounds is None else whole.integers(*bounds, shape)
        assert feed["x"].shape == shape and feed["x"].tolist() == np.asarray(expected).astype(feed["x"].dtype).tolist()
        assert feed["z"].tolist() == whole.standard_normal(2).astype(np.float32).tolist()


def test_every_type_and_shape():
    names = ["float16", "float32", "float64", "bfloat16", "bool", "int8", "uint8", "int32", "int64", "uint64", "string"]
    specs = [spec(name, name, "n", 4, None) for name in names]
    feed = draw(specs, rng(), {"n": 50, UNNAMED: 3})
    assert list(feed) == names
    for name, array in feed.items():
        assert array.shape == (50, 4, 3)
        assert array.dtype == {"string": np.dtype(object), "bfloat16": np.dtype(ml_dtypes.bfloat16)}.get(name, name)
    for name in ("float16", "float32", "float64", "bfloat16"):
        values = feed[name].astype(np.float64)
        assert abs(values.mean()) < 0.25
        assert 0.8 < values.std() < 1.2
    assert set(feed["bool"].ravel().tolist()) == {False, True}
    assert set(feed["int64"].ravel().tolist()) == {0, 1}
    assert 1 < len(set(feed["string"].ravel().tolist())) < 20
    assert all(isinstance(word, str) for word in feed["string"].ravel())


def test_scalars_and_empty():
    feed = draw([spec("f", "float32"), spec("i", "int64"), spec("b", "bool"), spec("s", "string")], rng())
    assert all(isinstance(array, np.ndarray) and array.shape == () for array in feed.values())
    assert draw([spec("x", "float32", 0, 3)], rng())["x"].shape == (0, 3)


def test_the_same_seed_draws_the_same():
    specs = [spec("x", "float32", 5), spec("i", "int32", 5)]
    one, two, other = draw(specs, rng(1)), draw(specs, rng(1)), draw(specs, rng(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["x"], other["x"])


def test_a_symbol_has_one_size_everywhere():
    specs = [spec("x", "float32", "batch", "time"), spec("m", "bool", "batch", 1, "time"), spec("z", "float32", None)]
    feed = draw(specs, rng(), {"batch": 2, "time": 7})
    assert [feed[name].shape for name in "xmz"] == [(2, 7), (2, 1, 7), (1,)]
    assert draw([spec("x", "bool", "a", "b")], rng(), {"a": 2, UNNAMED: 5})["x"].shape == (2, 5)
    assert [array.shape for array in draw(specs, rng(), 4).values()] == [(4, 4), (4, 1, 4), (4,)]


def test_bounds_are_kept_and_reached():
    ids = draw([spec("ids", "int64", 2000)], rng(), 1, {"ids": (3, 11), "other": (0, 1)})["ids"]
    assert (ids.min(), ids.max()) == (3, 10)
    wide = draw([spec("i", "int8", 5000)], rng(), 1, {"i": (0, 30000)})["i"]
    assert (wide.dtype, wide.max()) == (np.int8, 127)


def test_what_cannot_be_drawn():
    with pytest.raises(InputError, match=r"input 'x' is of type seq\(tensor\(float\)\), .*`plan` and `apply`"):
        draw([spec("x", "seq(tensor(float))")], rng())
    with pytest.raises(InputError, match=r"input 'x': cannot draw a random complex64"):
        draw([spec("x", "complex64", 2)], rng())
    with pytest.raises(InputError, match=r"input 'i': the range \[4, 4\) is empty"):
        draw([spec("i", "int64", 2)], rng(), 1, {"i": (4, 4)})


def test_trials_are_bounded_varied_and_obey_the_user():
    specs = [spec("x", "float32", "a", "b", 3), spec("y", "int64", "b", None)]
    trials = trial_sizes(specs, limit=6)
    assert trials[:3] == [dict.fromkeys(("a", "b", UNNAMED), size) for size in (1, 3, 17)]
    assert len(trials) == 6
    assert any(trial["a"] != trial["b"] for trial in trials)
    assert len(trial_sizes(specs, limit=2)) == 2
    fixed = trial_sizes(specs, {"b": 9})
    assert all(trial["b"] == 9 for trial in fixed)
    assert {trial["a"] for trial in fixed} == {1, 3, 17}
    many = [spec("x", "float32", *(f"d{place}" for place in range(40)))]
    assert len(trial_sizes(many)) == 5
    assert trial_sizes([spec("x", "float32", 2, 3)]) == [{}]
    assert trial_sizes([spec("x", "float32", "n")], {"n": 5}) == [{"n": 5}]
    for trial in trials:
        assert draw(specs, rng(), trial)["x"].shape == (trial["a"], trial["b"], 3)


def test_sizes_the_model_does_not_know():
    with pytest.raises(InputError, match="no input has an open dimension called 'bach'; there is 'batch'"):
        trial_sizes([spec("x", "float32", "batch", None)], {"bach": 4})
    with pytest.raises(InputError, match="at least 1, got batch=0"):
        trial_sizes([spec("x", "float32", "batch")], {"batch": 0})


def embedding_model():
    """ids -> Cast -> Unsqueeze -> Gather(7 rows); axes, GatherElements, GatherND, two tables, a subgraph, no table."""

    def ints(name, *shape):
        return h.make_tensor_value_info(name, T.INT64, list(shape))

    branch = h.make_graph(
        [h.make_node("Gather", ["table", "inner"], ["t"])], "b", [], [h.make_tensor_value_info("t", T.FLOAT, None)]
    )
    nodes = [
        h.make_node("Cast", ["ids"], ["c"], to=T.INT32),
        h.make_node("Unsqueeze", ["c", "ax"], ["u"]),
        h.make_node("Gather", ["table", "u"], ["o0"]),
        h.make_node("Gather", ["table", "column"], ["o1"], axis=-1),
        h.make_node("GatherElements", ["table", "element"], ["o2"], axis=1),
        h.make_node("GatherND", ["table", "pairs"], ["o3"]),
        h.make_node("Identity", ["both"], ["both2"]),
        h.make_node("Gather", ["small", "both2"], ["o5"]),
        h.make_node("Gather", ["table", "both"], ["o4"]),
        h.make_node("If", ["cond"], ["o6"], then_branch=branch, else_branch=branch),
        h.make_node("Gather", ["small", "computed"], ["o7"]),
        h.make_node("Add", ["free", "ax"], ["computed"]),
        h.make_node("Gather", ["dynamic", "loose"], ["o8"]),
    ]
    inputs = [
        h.make_tensor_value_info("ids", T.INT32, ["n"]),
        *(ints(name, "n") for name in ("column", "both", "inner", "free", "loose")),
        ints("element", 7, 2),
        ints("pairs", "n", 2),
        h.make_tensor_value_info("cond", T.BOOL, []),
        h.make_tensor_value_info("dynamic", T.FLOAT, ["r", 2]),
    ]
    outputs = [h.make_tensor_value_info(f"o{place}", T.FLOAT, None) for place in range(9)]
    weights = {"table": np.zeros((7, 4), np.float32), "small": np.zeros((2, 3), np.float32), "ax": np.array([0])}
    graph = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(array, name) for name, array in weights.items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_index_bounds_follow_indices_back_to_inputs():
    expected = {"ids": 7, "column": 4, "element": 4, "pairs": 4, "both": 2, "inner": 7}
    assert index_bounds(ir.from_proto(embedding_model())) == {name: (0, rows) for name, rows in expected.items()}


def test_bounds_make_random_indices_valid():
    """Without bounds {0, 1} never leaves a table; with them the whole table is used and ONNX Runtime accepts it."""
    proto = h.make_model(
        h.make_graph(
            [h.make_node("Gather", ["table", "ids"], ["y"])],
            "g",
            [h.make_tensor_value_info("ids", T.INT64, ["n"])],
            [h.make_tensor_value_info("y", T.FLOAT, ["n"])],
            [nh.from_array(np.arange(5, dtype=np.float32), "table")],
        ),
        opset_imports=[h.make_opsetid("", 17)],
        ir_version=8,
    )
    session = open_session(proto.SerializeToString())
    feed = draw(session.inputs, rng(), 200, index_bounds(ir.from_proto(proto)))
    assert set(session.run(feed)["y"].tolist()) == {0, 1, 2, 3, 4}


def test_contrib_embedding():
    names = ["ids", "segments", "words", "positions", "kinds", "gamma", "beta", ""]
    node = h.make_node("EmbedLayerNormalization", names, ["y", "m"], domain="com.microsoft")
    sizes = {"words": 11, "positions": 6, "kinds": 3, "gamma": 1, "beta": 1}
    graph = h.make_graph(
        [node],
        "g",
        [h.make_tensor_value_info(name, T.INT32, ["b", "s"]) for name in ("ids", "segments")],
        [h.make_tensor_value_info("y", T.FLOAT, None)],
        [nh.from_array(np.zeros((rows, 4), np.float32), name) for name, rows in sizes.items()],
    )
    model = ir.from_proto(
        h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)])
    )
    assert index_bounds(model) == {"ids": (0, 11), "segments": (0, 3)}


def test_npz_is_used_whole(tmp_path):
    path = tmp_path / "data.npz"
    x, ids = rng().standard_normal((10, 3)).astype(np.float32), np.arange(10, dtype=np.int32)
    np.savez(path, x=x, ids=ids)
    (feed,) = load_npz(path, [spec("ids", "int64", "batch"), spec("x", "float32", "batch", 3)])
    assert list(feed) == ["ids", "x"]
    assert np.array_equal(feed["x"], x)
    assert feed["ids"].dtype == np.int64
    assert np.array_equal(feed["ids"], ids)


def test_npz_of_many_batches_for_a_fixed_batch(tmp_path):
    path = tmp_path / "data.npz"
    x = rng().standard_normal((6, 3)).astype(np.float32)
    np.savez(path, x=x, m=np.ones(6, bool))
    feeds = load_npz(path, [spec("x", "float32", 2, 3), spec("m", "bool", 2)])
    assert len(feeds) == 3
    assert np.array_equal(np.concatenate([feed["x"] for feed in feeds]), x)
    with pytest.raises(InputError, match=r"input 'x' has shape \(6, 3\), the model wants \(4, 3\)"):
        load_npz(path, [spec("x", "float32", 4, 3), spec("m", "bool", "n")])
    with pytest.raises(InputError, match=r"different numbers of batches: \[1, 3\]"):
        load_npz(path, [spec("x", "float32", 2, 3), spec("m", "bool", "n")])


def test_npz_names_types_and_shapes_must_fit(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.full((2, 3), 0.1), extra=np.zeros(1))
    with pytest.raises(InputError, match=r"data\.npz: .*missing: \['y'\]; unknown: \['extra'\]"):
        load_npz(path, [spec("x", "float64", 2, 3), spec("y", "float64")])
    with pytest.raises(InputError, match=r"\(missing: \['y'\]\)"):
        load_npz(path, [spec("x", "float64", 2, 3), spec("y", "float64"), spec("extra", "float64", 1)])
    with pytest.raises(InputError, match=r"\(unknown: \['extra'\]\)"):
        load_npz(path, [spec("x", "float64", 2, 3)])
    np.savez(tmp_path / "scalar.npz", x=np.float32(1))
    with pytest.raises(InputError, match=r"input 'x' has shape \(\), the model wants \(n\)"):
        load_npz(tmp_path / "scalar.npz", [spec("x", "float32", "n")])
    both = [spec("extra", "float32", 1)]
    with pytest.raises(
        InputError, match="input 'x' is float64 and does not fit float32 without loss; save it as float32"
    ):
        load_npz(path, [spec("x", "float32", "n", 3), *both])
    with pytest.raises(InputError, match=r"input 'x' has shape \(2, 3\), the model wants \(n, 4\)"):
        load_npz(path, [spec("x", "float64", "n", 4), *both])
    with pytest.raises(InputError, match=r"input 'x' has shape \(2, 3\), the model wants \(n, 3, \?\)"):
        load_npz(path, [spec("x", "float64", "n", 3, None), *both])
    with pytest.raises(InputError, match=r"which no \.npz holds"):
        load_npz(path, [spec("x", "seq(tensor(float))"), *both])


@pytest.mark.parametrize(
    ("array", "dtype", "fits"),
    [
        (np.array([0.5, np.nan, np.inf]), "float32", True),
        (np.array([1e300]), "float32", False),
        (np.array([1.0, 2.0]), "int64", True),
        (np.array([1.5]), "int64", False),
        (np.array([300]), "uint8", False),
        (np.array([-1]), "uint64", False),
        (np.array([2**63], np.uint64), "int64", False),
        (np.array([0, 1]), "bool", True),
        (np.array([0, 2]), "bool", False),
        (np.array([2**53 + 1]), "float64", False),
        (np.array(["a"]), "string", True),
        (np.array([1]), "string", False),
        (np.array(["1"]), "int64", False),
        (np.array([1.5]).astype(ml_dtypes.bfloat16), "bfloat16", True),
        (np.array([1.5]), "bfloat16", True),
        (np.array([0.1]), "bfloat16", False),
    ],
)
def test_a_type_may_change_when_no_value_does(tmp_path, array, dtype, fits):
    path = tmp_path / "data.npz"
    np.savez(path, x=array)
    wanted = [spec("x", dtype, "n")]
    if not fits:
        with pytest.raises(InputError, match="without loss"):
            load_npz(path, wanted)
        return
    (feed,) = load_npz(path, wanted)
    assert feed["x"].dtype == draw(wanted, rng())["x"].dtype
    assert array.dtype.kind == "V" or np.array_equal(
        feed["x"].astype(array.dtype), array, equal_nan=array.dtype == float
    )


def test_files_that_are_no_npz(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_npz(tmp_path / "none.npz", [])
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    np.savez(tmp_path / "cut.npz", x=np.zeros(100))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:200])
    for name in ("text.npz", "array.npy", "objects.npz", "cut.npz"):
        with pytest.raises(InputError, match=rf"{name}: .*numpy\.savez"):
            load_npz(tmp_path / name, [spec("x", "float32", 3)])


def test_what_is_no_archive_is_called_that(tmp_path):
    (tmp_path / "text.npz").write_text("x")
    np.save(tmp_path / "one.npy", np.zeros(2))
    for name in ("text.npz", "one.npy"):
        with pytest.raises(InputError, match=f"{name}: not an .npz file; write it with numpy.savez"):
            read_npz(tmp_path / name)
