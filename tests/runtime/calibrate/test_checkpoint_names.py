import numpy as np
import oracles
import pytest
from checkpoints import INITIAL, STATE, TRAINED, addresses, chain, matched, same, write

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.runtime.calibrate.checkpoint import read_initial
from scission.runtime.calibrate.checkpoint_names import module_of


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
    assert module_of(name) == module
