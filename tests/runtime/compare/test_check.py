import gc
import json
import weakref

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from two_blocks import ROWS, TYPES, B, K, N, W, data, dense, feed, model, probe, split, value, verdict

import scission
from scission.runtime.compare.check import check
from scission.runtime.compare.verdict import EquivalenceError
from scission.runtime.ort.library import SessionError, cuda_problem
from scission.runtime.ort.session import ModelSource, open_session


def elementwise(op_of_original, op_of_changed, weights=None, dtype=T.FLOAT, out=None):
    """Two one-node models x -> y, each node given as (operator, inputs, attributes)."""
    return [
        model([h.make_node(op, inputs, ["y"], **attributes)], [value("x", ["n", 4], dtype)],
              [value("y", ["n", 4], out or dtype)], weights)
        for op, inputs, attributes in (op_of_original, op_of_changed)
    ]  # fmt: skip


def test_a_model_equals_itself():
    result = verdict(dense(), dense(), [feed(), feed(rows=1, seed=2)], probes=[probe()])
    assert (result.equal, result.identical, result.trials, result.provider) == (True, True, 2, "cpu")
    assert [report.name for report in result.outputs] == ["y", "h"]
    y = result.outputs[0]
    assert (y.max_abs, y.max_rel, y.element_rel, y.cosine, y.argmax) == (0, 0, 0, pytest.approx(1), 1)
    assert y.elements == (ROWS + 1) * N
    assert y.scale > 0
    assert result.probes[0].within
    assert result.probes[0].checked == 2 * (ROWS + 1) * N
    assert result.seconds > 0
    assert "bit-identical over 2 trials" in result.reason
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["outputs"][0]["name"] == "y"


@pytest.mark.parametrize("dtype", list(TYPES))
def test_a_true_split_is_equal_and_within_its_bounds(dtype):
    result = verdict(
        dense(dtype=dtype), split(dtype=dtype), [feed(TYPES[dtype])], probes=[probe(W.astype(TYPES[dtype]))]
    )
    assert result.equal, result.reason
    assert result.probes[0].original <= 1
    assert result.probes[0].changed <= 1
    assert result.outputs[0].dtype == np.dtype(TYPES[dtype]).name
    assert result.outputs[1].identical


def test_one_wrong_weight_entry():
    wrong = W.copy()
    wrong[2, 1] += 0.01
    result = verdict(dense(), split(wrong), probes=[probe()])
    assert not result.equal
    assert not result.identical
    assert not result.outputs[0].equal
    assert result.outputs[1].equal
    assert "output 'y' at [" in result.reason
    assert ", 1] is" in result.outputs[0].reason
    assert "linear: 'prod' is" in result.reason
    assert not result.probes[0].within
    assert result.probes[0].original <= 1 < result.probes[0].changed
    assert result.outputs[0].tolerance == 2e-5


def test_swapped_blocks_and_lost_bias():
    assert not verdict(dense(), split(order=(1, 0))).equal
    assert not verdict(dense(), split(B=B * 0)).equal


def test_any_trial_may_fail():
    """The models differ only where x is above 3."""
    original, changed = elementwise(("Identity", ["x"], {}), ("Clip", ["x", "", "top"], {}), {"top": np.float32(3)})
    low, high = {"x": np.zeros((2, 4), np.float32)}, {"x": np.full((2, 4), 5, np.float32)}
    for feeds, place in (([low, high], 2), ([high, low], 1)):
        result = verdict(original, changed, feeds)
        assert not result.equal
        assert f"(trial {place} of 2)" in result.reason
        assert result.outputs[0].max_abs == 2
    assert verdict(original, changed, [low, low]).equal


def test_metrics_are_those_of_numpy():
    x = np.array([[1, 2, 3, 4], [4, 3, 2.5, 1]], np.float32)
    delta = np.array([[0, 0.5, 3, 0.1], [0, 0.2, 2, 0.3]], np.float32)
    original, changed = elementwise(("Identity", ["x"], {}), ("Add", ["x", "d"], {}), {"d": delta})
    report = verdict(original, changed, [{"x": x}], rtol=1.0).outputs[0]
    a, b = x.astype(float), (x + delta).astype(float)
    assert report.equal
    assert not report.identical
    assert report.max_abs == 3
    assert report.mean_abs == pytest.approx(np.abs(a - b).mean())
    assert report.q99_abs == pytest.approx(np.quantile(np.abs(a - b), 0.99))
    assert (report.scale, report.max_rel) == (4, 0.75)
    assert report.element_rel == pytest.approx((np.abs(a - b) / a).max())
    assert report.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    assert report.argmax == 0.0  # row 0: 3 -> 2, row 1: 0 -> 2


def test_tolerances_given_by_the_user():
    original, changed = elementwise(("Identity", ["x"], {}), ("Add", ["x", "d"], {}), {"d": np.float32(0.5)})
    x = [{"x": np.full((1, 4), 8, np.float32)}]
    for options, equal in (
        ({}, False),
        ({"rtol": 0.07}, True),
        ({"rtol": 0.05}, False),
        ({"rtol": 0.0, "atol": 0.5}, True),
        ({"rtol": 0.0, "atol": 0.4}, False),
        ({"rtol": 0.05, "atol": 0.15}, True),
    ):
        assert verdict(original, changed, x, **options).equal is equal, options


@pytest.mark.parametrize(("dtype", "rtol"), [(T.DOUBLE, 1e-12), (T.FLOAT, 2e-5), (T.FLOAT16, 2e-3)])
def test_default_tolerance_of_each_type(dtype, rtol):
    x = [{"x": np.array([[0.25, 0.5, 0.75, 1]], TYPES[dtype])}]
    for factor, equal in ((0.5, True), (2.1, False)):
        shift = TYPES[dtype](rtol * factor)
        original, changed = elementwise(("Identity", ["x"], {}), ("Sub", ["x", "d"], {}), {"d": shift}, dtype)
        result = verdict(original, changed, x)
        assert result.equal is equal, result.reason
        assert not result.identical


def test_bfloat16_outputs():
    nodes = [h.make_node("Mul", ["x", "f"], ["a"]), h.make_node("Cast", ["a"], ["y"], to=T.BFLOAT16)]

    def scaled(factor):
        weights = {"f": np.float32(factor)}
        return model(nodes, [value("x", ["n"])], [value("y", ["n"], T.BFLOAT16)], weights)

    x = [{"x": np.array([1, 0.5], np.float32)}]
    assert verdict(scaled(1), scaled(1), x).identical
    near = verdict(scaled(1), scaled(1 + 2**-7), x)
    assert (near.equal, near.identical, near.outputs[0].dtype) == (True, False, "bfloat16")
    assert not verdict(scaled(1), scaled(1.03), x).equal


def test_nan_and_inf_stay_in_place():
    nan, inf = np.nan, np.inf
    x = [{"x": np.array([[1, 2, 3, 4]], np.float32)}]

    def plus(*values):
        weights = {"d": np.array(values, np.float32)}
        return elementwise(("Add", ["x", "d"], {}), ("Add", ["x", "d"], {}), weights)[0]

    same = verdict(plus(nan, inf, -inf, 0), plus(nan, inf, -inf, 1e-6), x)
    assert same.equal
    assert same.outputs[0].max_abs < 1e-5
    assert json.dumps(same.to_dict(), allow_nan=False)
    for changed in (
        (0, inf, -inf, 0),
        (nan, -inf, -inf, 0),
        (nan, inf, 0, 0),
        (nan, inf, -inf, nan),
        (inf, inf, -inf, 0),
    ):
        result = verdict(plus(nan, inf, -inf, 0), plus(*changed), x)
        assert not result.equal, changed
        assert "NaN and Inf must stay in place" in result.reason


def test_zero_outputs_and_signed_zero():
    x = [{"x": np.zeros((1, 4), np.float32)}]
    original, changed = elementwise(("Identity", ["x"], {}), ("Neg", ["x"], {}))
    result = verdict(original, changed, x)
    assert (result.equal, result.identical) == (True, False)
    original, changed = elementwise(("Identity", ["x"], {}), ("Add", ["x", "d"], {}), {"d": np.float32(1e-30)})
    tiny = verdict(original, changed, x)
    assert not tiny.equal
    assert tiny.to_dict()["outputs"][0]["max_rel"] is None
    assert tiny.outputs[0].cosine == 0


@pytest.mark.parametrize("dtype", [T.INT64, T.INT8, T.BOOL, T.STRING])
def test_discrete_outputs_must_be_equal(dtype):
    kind = {T.INT64: np.int64, T.INT8: np.int8, T.BOOL: bool, T.STRING: object}[dtype]
    x = np.array([["a", "b", "c", "c"]], object) if kind is object else np.array([[1, 0, 1, 1]]).astype(kind)
    pick = [np.array([0, 1, 2, 3]), np.array([0, 1, 3, 2]), np.array([0, 0, 2, 3])]
    models = [elementwise(*[("Gather", ["x", "i"], {"axis": 1})] * 2, {"i": i}, dtype)[0] for i in pick]
    assert verdict(models[0], models[1], [{"x": x}]).identical
    result = verdict(models[0], models[2], [{"x": x}])
    assert not result.equal
    assert "output 'y' at [0, 1] is" in result.reason


def test_scalars_and_empty_outputs():
    nodes = [h.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]

    def total(factor):
        return model([*nodes, h.make_node("Mul", ["y", "f"], ["z"])], [value("x", ["n"])], [value("z", [])],
                     {"f": np.float32(factor)})  # fmt: skip

    x = [{"x": np.ones(3, np.float32)}]
    assert verdict(total(1), total(1), x).equal
    wrong = verdict(total(1), total(2), x)
    assert not wrong.equal
    assert wrong.outputs[0].argmax is None
    some = verdict(dense(), split(), [feed(rows=0), feed()])
    assert some.equal
    assert some.outputs[0].elements == ROWS * N
    with pytest.raises(EquivalenceError, match="nothing could be compared: every output is empty"):
        verdict(dense(), split(), [feed(rows=0)])


def test_what_is_empty_at_every_size_is_equal_by_shape_and_type():
    fixed = dense(rows=0)
    found = scission.check(fixed, scission.optimize(fixed, force=True, bench=False).model)
    assert found.equal and found.reason.startswith("every output is empty")
    result = scission.optimize(fixed, force=True)
    assert result.outcome == "split" and result.verdict.equal and result.verdict.probes, result.reason
    with pytest.raises(EquivalenceError, match="keeps types and shapes"):
        scission.check(fixed, dense(W[:, :4], B[:4], rows=0))


def test_sequences_of_tensors():
    def sequence(second):
        nodes = [h.make_node("Neg", ["x"], ["n"]), h.make_node("SequenceConstruct", ["x", second], ["y"])]
        kind = h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, None))
        return model(nodes, [value("x", ["n"])], [h.make_value_info("y", kind)])

    x = [{"x": np.ones(3, np.float32)}]
    same = verdict(sequence("n"), sequence("n"), x)
    assert same.identical
    assert [report.name for report in same.outputs] == ["y[0]", "y[1]"]
    result = verdict(sequence("n"), sequence("x"), x)
    assert [report.equal for report in result.outputs] == [True, False]


def test_other_interfaces_are_an_error():
    named, ranked, typed = dense(), dense(), dense()
    del typed.graph.input[:]
    typed.graph.input.append(value("x", ["n", K], T.DOUBLE))
    typed.graph.node[0].input[0] = typed.graph.node[3].input[0] = "cast"
    typed.graph.node.insert(0, h.make_node("Cast", ["x"], ["cast"], to=T.FLOAT))
    ranked.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    named.graph.output.reverse()
    fewer = dense()
    del fewer.graph.output[1]
    for changed, text in (
        (dense(x="renamed"), r"its inputs are \['renamed'\], those of original are \['x'\]"),
        (dense(y="renamed"), r"its outputs are \['renamed', 'h'\]"),
        (named, r"its outputs are \['h', 'y'\], those of original are \['y', 'h'\]"),
        (fewer, r"its outputs are \['y'\]"),
        (typed, r"input 'x' is float64\['n', 12\], in original it is float32\['n', 12\]"),
        (ranked, r"input 'x' is float32\[5, 12\]"),
    ):
        with pytest.raises(EquivalenceError, match=text) as caught:
            verdict(dense(), changed)
        assert str(caught.value).startswith("changed: ")


def test_other_output_shapes():
    def fixed(*shape):
        weights = {"s": np.array(shape)}
        out = value("y", [None] * len(shape))
        return model([h.make_node("Reshape", ["x", "s"], ["y"])], [value("x", [2, 6])], [out], weights)

    x = [{"x": np.ones((2, 6), np.float32)}]
    for shape in ((3, 4), (1, 2, 6)):
        with pytest.raises(EquivalenceError, match="output 'y' is float32"):
            verdict(fixed(4, 3), fixed(*shape), x)
    # Where ONNX Runtime cannot know the shape before it runs, the run shows the difference.
    nodes = [h.make_node("Compress", ["x", "keep"], ["y"], axis=0)]
    keep = [
        model(nodes, [value("x", ["n", 2])], [value("y", [None, 2])], {"keep": np.array(mask)})
        for mask in ([True, True], [True, False])
    ]
    result = verdict(*keep, [{"x": np.ones((2, 2), np.float32)}])
    assert not result.equal
    assert "is float32[1, 2], was float32[2, 2]" in result.reason
    assert result.to_dict()["outputs"][0]["max_abs"] is None


def test_no_feeds_and_bad_feeds():
    with pytest.raises(EquivalenceError, match="no inputs were given"):
        check(data(dense()), data(dense()), feeds=[])
    with pytest.raises(SessionError, match="original: no value for the inputs"):
        verdict(dense(), dense(), [{"z": np.zeros(1)}])


def test_feeds_may_be_a_generator():
    result = check(data(dense()), data(split()), feeds=(feed(seed=i) for i in range(3)), probes=[probe()])
    assert result.equal
    assert result.trials == 3
    assert result.probes[0].checked == 2 * 3 * ROWS * N


def test_files_with_external_data(tmp_path):
    paths = tmp_path / "a" / "dense.onnx", tmp_path / "b" / "split.onnx"
    for path, proto in zip(paths, (dense(), split()), strict=True):
        path.parent.mkdir()
        onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    files = sorted(str(path) for path in tmp_path.rglob("*"))
    for path in tmp_path.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert check(*paths, feeds=[feed()], probes=[probe()]).equal
    assert sorted(str(path) for path in tmp_path.rglob("*")) == files
    onnx_bytes = paths[0].read_bytes()
    assert check(*[ModelSource(onnx_bytes, folder=paths[0].parent)] * 2, feeds=[feed()], probes=[probe()]).equal
    with pytest.raises(SessionError, match=r"dense\.onnx: no value"):
        check(*paths, feeds=[{}])
    for path in tmp_path.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    assert len(files) == 6


def test_no_more_than_two_sessions_are_held_at_a_time(monkeypatch):
    alive: list[weakref.ref] = []
    most = 0

    def counting(*args, **options):
        nonlocal most
        opened = open_session(*args, **options)
        alive.append(weakref.ref(opened.ort))
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
        return opened

    monkeypatch.setattr("scission.runtime.compare.check.open_session", counting)
    verdict = check(dense().SerializeToString(), split().SerializeToString(), feeds=[feed()], probes=[probe()])
    assert verdict.equal and len(alive) == 4 and most == 2


@pytest.mark.gpu
def test_on_cuda():
    if problem := cuda_problem():
        pytest.skip(str(problem))
    result = verdict(dense(), split(), probes=[probe()], provider="cuda", tf32=False)
    assert result.provider == "cuda"
    assert result.equal, result.reason
    wrong = W.copy()
    wrong[2, 1] += 0.01
    assert not verdict(dense(), split(wrong), probes=[probe()], provider="cuda", tf32=False).equal
