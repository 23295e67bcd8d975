import dataclasses
import math

import numpy as np
import onnx
import oracles
import pytest

import scission
from scission import Trials
from scission.ir.graph.sizes import OTHERS
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.planted.products import build
from scission.runtime.compare import compare
from scission.runtime.compare.compare import make_feeds
from scission.runtime.compare.verdict import EquivalenceError
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.sizes.settings import settings_of
from scission.runtime.measure.bench import Bench

ONE = Trials(provider="cpu", threads=1, seconds=0.01)
W, _ = weight(np.random.default_rng(0), [(4, 3), (2, 3), (3, 3)])


def product(matrix=W, **options):
    nodes = [("MatMul", ["x", "W"], ["y"])]
    return oracles.graph(nodes, {"x": ["m", 9]}, {"y": ["m", 9]}, {"W": matrix}, **options)


def split(model):
    return scission.apply(model, scission.plan(model, force=True, provider="cpu"))


def forms(model, tmp_path):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
    onnx.save(model, path)
    return [model, model.SerializeToString(), path, str(path), onnx_ir_of(model)]


def onnx_ir_of(model):
    import onnx_ir

    return onnx_ir.from_proto(model)


@pytest.mark.parametrize("form", range(5), ids=["proto", "bytes", "path", "text", "onnx_ir"])
def test_models_in_any_form(form, tmp_path):
    model = product()
    verdict = scission.check(forms(model, tmp_path)[form], forms(split(model), tmp_path)[form], trials=ONE)
    assert verdict.equal and [probe.node for probe in verdict.probes] == ["n0"]
    (bench,) = scission.bench(forms(model, tmp_path)[form], forms(model, tmp_path)[form], trials=ONE, batch=[2])
    assert isinstance(bench, Bench) and bench.rows == 2


def test_a_changed_weight_is_found():
    other = W.copy()
    other[np.nonzero(W)[0][0], np.nonzero(W)[1][0]] += 0.01
    verdict = scission.check(product(), product(other), trials=ONE)
    assert not verdict.equal and "output 'y'" in verdict.reason


def test_a_wrong_block_is_found_by_its_probe_alone_when_the_output_hides_it():
    """Behind a factor of 0 every output is equal; the product itself is still held against its bound."""

    def hidden(matrix):
        nodes = [("MatMul", ["x", "W"], ["h"]), ("Mul", ["h", "zero"], ["y"])]
        return oracles.graph(nodes, {"x": ["m", 9]}, {"y": ["m", 9]}, {"W": matrix, "zero": W[:1, :1] * 0})

    wrong = split(hidden(np.where(W[W != 0][0] == W, W * 2, W)))
    verdict = scission.check(hidden(W), wrong, trials=ONE)
    assert all(output.equal for output in verdict.outputs) and not verdict.equal
    assert "times its error bound" in verdict.reason
    assert scission.check(hidden(W), split(hidden(W)), trials=ONE).equal


@pytest.mark.parametrize("name", ["other input", "other output", "other type", "other shape"])
def test_another_interface_cannot_be_compared(name):
    other = product(W.astype(np.float64)) if name == "other type" else product()
    if name == "other input":
        other.graph.input[0].name = other.graph.node[0].input[0] = "z"
    elif name == "other output":
        other.graph.output[0].name = other.graph.node[0].output[0] = "z"
    elif name == "other shape":
        other.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(EquivalenceError):
        scission.check(product(), other, trials=ONE)


def test_the_trials_are_what_was_asked_for(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.ones((7, 9), np.float32))
    real = Trials(provider="cpu", inputs=tmp_path / "in.npz", threads=1, seconds=0.01)
    assert scission.check(product(), split(product()), trials=real).trials == 1
    assert [b.rows for b in scission.bench(product(), product(), trials=real)] == [7]
    sized = Trials(provider="cpu", sizes={"m": 5}, threads=1, seconds=0.01)
    assert scission.check(product(), split(product()), trials=sized).outputs[0].elements == 45
    assert [b.rows for b in scission.bench(product(), product(), trials=sized)] == [5]
    loose = Trials(provider="cpu", rtol=1.0, threads=1)
    assert scission.check(product(), product(W * 1.5), trials=loose).equal
    assert scission.check(product(), product(W * 1.5), trials=Trials(rtol=0.0, atol=1e3)).equal


@pytest.mark.parametrize("call", [scission.check, scission.bench])
def test_a_size_for_a_dimension_that_is_not_there_is_refused(call):
    with pytest.raises(InputError, match="nope"):
        call(product(), product(), trials=Trials(provider="cpu", sizes={"nope": 2}, seconds=0.01))


def test_the_same_seed_feeds_the_same():
    errors = {
        seed: scission.check(product(), product(W * 1.5), trials=Trials(provider="cpu", seed=seed)).reason
        for seed in (0, 1)
    }
    assert errors[0] == scission.check(product(), product(W * 1.5), trials=Trials(provider="cpu")).reason
    assert errors[0] != errors[1]


def shapes(model, batch, sizes=None):
    settings = settings_of(model, batch, sizes)()
    return [feed["x"].shape for feed in make_feeds(model, ONE, lambda _: [setting.sizes for setting in settings])]


@pytest.mark.parametrize(("kind", "dimensions"), [("matmul-right-2", 1), ("matmul-right-3", 2), ("matmul-right-4", 3)])
def test_a_batch_is_the_size_of_the_leading_open_dimension(kind, dimensions):
    model = load(build(np.random.default_rng(0), kind).model)
    for (first, *others, _), batch in zip(shapes(model, [1, 30, 256]), [1, 30, 256], strict=True):
        assert first == batch and others == [OTHERS] * (dimensions - 1)
    assert [math.prod(shape[:-1]) for shape in shapes(model, None)] == [
        pytest.approx(count, rel=0.4) for count in (1, 16, 256)
    ]
    assert [bench.rows for bench in scission.bench(product(), product(), trials=ONE)] == [1, 16, 256]


def test_integer_and_boolean_inputs_are_drawn():
    for kind in ("tied-embedding", "if"):
        planted = build(np.random.default_rng(0), kind)
        assert scission.check(planted.model, split(planted.model), trials=ONE).equal


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scission.check(product(), split(product()), trials=ONE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_a_tolerance_that_lets_everything_pass_is_refused(name, value):
    with pytest.raises(scission.ScissionError, match=f"{name} must be a number"):
        scission.Trials(**{name: value})


def test_cuda_graphs_are_passed_through():
    for choice in ("auto", "off"):
        (bench,) = scission.bench(product(), product(), trials=dataclasses.replace(ONE, cuda_graph=choice), batch=[2])
        assert bench.cuda_graph_reason == {"auto": "there are none on the CPU", "off": "switched off"}[choice]
    with pytest.raises(scission.ScissionError, match="CUDA only"):
        scission.bench(product(), product(), trials=dataclasses.replace(ONE, cuda_graph="on"))
    with pytest.raises(scission.ScissionError, match="cuda_graph 'yes' is none of auto, on, off"):
        scission.Trials(cuda_graph="yes")


def test_real_inputs_serve_a_model_of_unknown_rank(tmp_path):
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, 1, None) for name in "xy")
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    with pytest.raises(scission.ScissionError, match="give real ones with inputs=…"):
        scission.check(model, model, trials=scission.Trials(provider="cpu"))
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3), np.float32))
    trials = scission.Trials(provider="cpu", inputs=tmp_path / "x.npz")
    assert scission.check(model, model, trials=trials).equal


def test_a_cast_behind_what_is_split_makes_nothing_more_exact():
    W, _ = weight(np.random.default_rng(0), ((96, 64),) * 4)
    nodes = [("MatMul", ["x", "W"], ["h"]), ("Cast", ["h"], ["y"], {"to": onnx.TensorProto.DOUBLE})]
    model = oracles.graph(nodes, {"x": ["m", 384]}, {"y": ["m", 256]}, {"W": W})
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    changed = scission.apply(model, scission.plan(model, provider="cpu", threads=1, force=True))
    verdict = scission.check(model, changed, trials=ONE)
    assert verdict.equal and verdict.outputs[0].tolerance == 2e-5
    assert compare.check(model, model, trials=ONE).outputs[0].tolerance == 1e-12


def test_a_product_that_was_quantised_after_it_was_split_is_held_to_no_rounding_bound(tmp_path):
    """What a quantiser does to blocks is no error of the rewrite; the outputs still say what it costs."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    original, rewritten = tmp_path / "a.onnx", tmp_path / "b.onnx"
    onnx.save(product(), original)
    onnx.save(scission.apply(product(), scission.plan(product(), force=True, lowering="permute")), rewritten)
    quantization.quantize_dynamic(rewritten, tmp_path / "c.onnx")
    assert len(scission.check(original, rewritten).probes) == 1
    assert not scission.check(original, tmp_path / "c.onnx").probes


def optional_input(kind=None):
    """y = (x + the optional tensor, or x where there is none) W."""
    h = onnx.helper
    tensor = h.make_tensor_type_proto(1, ["m", 9])
    held = h.make_value_info("o", h.make_optional_type_proto(h.make_sequence_type_proto(tensor) if kind else tensor))
    x, y, a, b = (h.make_tensor_value_info(name, 1, ["m", 9]) for name in "xyab")
    some = [h.make_node("OptionalGetElement", ["o"], ["g"]), h.make_node("Add", ["x", "g"], ["a"])]
    if kind:
        end = h.make_node("ConcatFromSequence", ["g"], ["a"], axis=0)
        some = [some[0], end]
    ways = {
        "then_branch": h.make_graph(some, "then", [], [a]),
        "else_branch": h.make_graph([h.make_node("Identity", ["x"], ["b"])], "else", [], [b]),
    }
    nodes = [h.make_node("OptionalHasElement", ["o"], ["has"]), h.make_node("If", ["has"], ["c"], name="if", **ways)]
    nodes.append(h.make_node("MatMul", ["c", "W"], ["y"], name="mm"))
    graph = h.make_graph(nodes, "g", [x, held], [y], [onnx.numpy_helper.from_array(W, "W")])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)


def test_an_optional_input_is_there_in_some_trials(tmp_path):
    model = optional_input()
    changed = split(model)
    verdict = scission.check(model, changed, trials=ONE)
    assert verdict.equal and verdict.shown and all(part.exercised for part in verdict.parts)
    for name, given in (("there", ["x", "o"]), ("absent", ["x"])):
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{one: np.ones((2, 9), np.float32) for one in given})
        verdict = scission.check(model, changed, trials=dataclasses.replace(ONE, inputs=path))
        assert verdict.equal and sum(part.exercised for part in verdict.parts) == 1
        (bench,) = scission.bench(model, changed, trials=dataclasses.replace(ONE, inputs=path))
        assert bench.rows == 2
    with pytest.raises(InputError, match=r"missing: \['x'\]"):
        np.savez(path, o=np.ones((2, 9), np.float32))
        scission.check(model, changed, trials=dataclasses.replace(ONE, inputs=path))


def test_an_input_that_nothing_can_hold_says_what_can_be_done():
    model = optional_input("sequence")
    with pytest.raises(InputError, match=r"of type Optional\(Sequence\(.*`plan` and `apply` rewrite such a model"):
        scission.check(model, model, trials=ONE)
    assert split(model).graph.node


def tf32_verdicts(monkeypatch, off):
    """What `check` asks for of both models where they run on CUDA, and are `off` by a share with rounded factors."""
    from scission.runtime.compare import check as comparing

    asked, real = [], comparing.check

    def stubbed(*given, trials, least, probes, **rest):
        asked.append((trials.tf32, least, len(probes)))
        found = real(*given, trials=dataclasses.replace(trials, provider="cpu"), least=least, probes=probes, **rest)
        outputs = [dataclasses.replace(one, equal=off <= least, reason="too far") for one in found.outputs]
        found = dataclasses.replace(found, provider="cuda")
        return dataclasses.replace(found, equal=off <= least, outputs=tuple(outputs)) if trials.tf32 else found

    monkeypatch.setattr(comparing, "check", stubbed)
    return asked


def test_on_cuda_models_are_proved_equal_without_tf32_and_with_it(monkeypatch):
    asked = tf32_verdicts(monkeypatch, 1e-3)
    verdict = scission.check(product(), split(product()), trials=ONE)
    assert verdict.equal and "without TF32 and with it" in verdict.reason
    assert [(tf32, probes) for tf32, _, probes in asked] == [(False, 1), (True, 0)] and asked[1][1] == 2e-3


def test_on_cuda_numbers_that_are_far_off_with_tf32_are_different(monkeypatch):
    tf32_verdicts(monkeypatch, 1e-2)
    verdict = scission.check(product(), split(product()), trials=ONE)
    assert verdict.different and "with TF32, and equal without" in verdict.reason
    assert len(verdict.probes) == 1


def test_tf32_that_is_switched_off_is_never_on(monkeypatch):
    asked = tf32_verdicts(monkeypatch, 1e-2)
    assert scission.check(product(), split(product()), trials=dataclasses.replace(ONE, tf32=False)).equal
    assert not any(tf32 for tf32, *_ in asked)
