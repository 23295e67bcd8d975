import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from reference import graph, model, node, values, write

import scission
from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.save import save, save_copy, to_proto
from scission.ir.io.stand_in import MARK, SPARSE, prepare
from scission.ir.io.tensors import read
from scission.ir.io.written import bodies

SEED = np.random.default_rng(0)
BLOCKS = np.kron(np.eye(4), SEED.standard_normal((16, 16)) + 3).astype(np.float32)
X = SEED.standard_normal((3, 64)).astype(np.float32)


def sparse(array, name="", linear=False):
    places = np.flatnonzero(array) if linear else np.argwhere(array)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(array[array != 0], name),
        numpy_helper.from_array(places.astype(np.int64), "places"),
        array.shape,
    )


def through_constant(linear=False):
    nodes = [
        node("Constant", "", "w", "c", sparse_value=sparse(BLOCKS, linear=linear)),
        node("MatMul", "x w", "y", "mm"),
    ]
    return model(nodes, {"x": ["b", 64]}, {"y": ["b", 64]})


def through_initializer():
    proto = model([node("MatMul", "x w", "y", "mm")], {"x": ["b", 64]}, {"y": ["b", 64]})
    proto.graph.sparse_initializer.append(sparse(BLOCKS, "w"))
    return proto


def in_branch():
    side = graph([node("MatMul", "x w", "z", "mm")], [], ["z"])
    side.sparse_initializer.append(sparse(BLOCKS, "w"))
    other = graph([node("Neg", "x", "n")], [], ["n"])
    return model(
        [node("If", "c", "y", "if", then_branch=side, else_branch=other)],
        {"x": ["b", 64], "c": ([], np.bool_)},
        {"y": ["b", 64]},
    )


SPARSE_MODELS = {
    "constant": through_constant,
    "constant, linear indices": lambda: through_constant(linear=True),
    "initializer": through_initializer,
    "branch": in_branch,
}


def run(source, feeds):
    data = source if isinstance(source, bytes) else source.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feeds)


@pytest.mark.parametrize("name", SPARSE_MODELS)
def test_a_sparse_weight_is_read_and_split_and_comes_back_where_it_is_not(name, tmp_path):
    proto = SPARSE_MODELS[name]()
    assert to_proto(load(proto), load(proto).graph.clone()) == proto
    plan = scission.plan(proto, force=True)
    assert [step.components for step in plan.steps] == [4]
    changed = scission.apply(proto, plan)
    feeds = {"x": X} | ({"c": np.array(True)} if name == "branch" else {})
    # ONNX Runtime's own answer, and the dense product
    np.testing.assert_allclose(run(changed, feeds)[0], X @ BLOCKS, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(proto, feeds)[0], X @ BLOCKS, rtol=1e-4, atol=1e-4)
    path = write(tmp_path / "m.onnx", proto)
    scission.apply(path, plan, tmp_path / "o.onnx")
    np.testing.assert_allclose(run((tmp_path / "o.onnx").read_bytes(), feeds)[0], X @ BLOCKS, rtol=1e-4, atol=1e-4)


def test_a_sparse_attribute_of_another_operator_is_carried():
    proto = model([node("Foo", "x", "y", "n", "own", table=sparse(BLOCKS))], ["x"], ["y"], domains=["own"])
    assert to_proto(load(proto), load(proto).graph.clone()) == proto


def test_a_sparse_weight_that_does_not_fit_its_shape_is_a_model_error():
    proto = through_initializer()
    proto.graph.sparse_initializer[0].dims[:] = [8, 8]
    with pytest.raises(ModelError, match="'w' has a value outside of its 8x8 entries"):
        read(load(proto).graph.graph.initializers["w"].const_value)


def classifier(labels):
    """x MatMul blocks, ZipMap."""
    keys = TensorProto.INT64 if isinstance(labels[0], int) else TensorProto.STRING
    table = {"classlabels_int64s" if keys == TensorProto.INT64 else "classlabels_strings": labels}
    row = helper.make_map_type_proto(keys, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    output = helper.make_value_info("p", helper.make_sequence_type_proto(row))
    proto = model(
        [node("MatMul", "x w", "y", "mm"), node("ZipMap", "y", "p", "zip", "ai.onnx.ml", **table)],
        {"x": ["b", 64]},
        [],
        {"w": BLOCKS},
        domains=["ai.onnx.ml"],
    )
    proto.graph.output.append(output)
    return proto


@pytest.mark.parametrize("labels", [list(range(64)), [f"class {n}" for n in range(64)]])
def test_a_classifier_whose_output_is_a_sequence_of_maps_is_split_and_proved(labels, tmp_path):
    proto = classifier(labels)
    path = write(tmp_path / "m.onnx", proto)
    result = scission.optimize(path, tmp_path / "o.onnx", force=True, bench=False)
    assert result.outcome == "split" and result.verdict.equal
    assert [report.name for report in result.verdict.outputs] == ["p.keys", "p.values"]
    changed = onnx.load(tmp_path / "o.onnx")
    assert changed.graph.output == proto.graph.output
    before, after = (run(each, {"x": X})[0] for each in (proto, changed))
    assert [list(row) for row in before] == [list(row) for row in after] == [sorted(labels)] * 3
    np.testing.assert_allclose([[*row.values()] for row in after], [[*row.values()] for row in before], rtol=1e-4)


def test_a_classifier_that_answers_otherwise_is_not_equal(tmp_path):
    wrong = classifier(list(range(64)))
    wrong.graph.initializer[0].CopyFrom(numpy_helper.from_array(BLOCKS * np.float32(1.001), "w"))
    assert not scission.check(classifier(list(range(64))), wrong).equal
    assert not scission.check(classifier(list(range(64))), classifier([*range(63), 99])).equal


def typed(kind):
    found = onnx.TypeProto()
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    if kind == "map":
        found.map_type.key_type = TensorProto.STRING
        found.map_type.value_type.CopyFrom(element)
    elif kind in ("sequence", "optional"):
        getattr(found, f"{kind}_type").elem_type.CopyFrom(typed("map"))
    elif kind == "opaque":
        found.opaque_type.domain = "own"
    elif kind == "later":
        found.tensor_type.elem_type = 77
    else:
        getattr(found, kind).SetInParent()
    return found


@pytest.mark.parametrize("kind", ["map", "sequence", "optional", "opaque", "later", "sequence_type", "optional_type"])
def test_any_type_anywhere_is_carried(kind):
    side = graph([node("Foo", "x", "z", "n", "own")], [], [])
    side.output.append(onnx.ValueInfoProto(name="z", type=typed(kind)))
    inner = helper.make_function(
        "own", "F", ["a"], ["b"], [node("Foo", "a", "h", "", "own"), node("Foo", "h", "b", "", "own")],
        [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )  # fmt: skip
    inner.value_info.append(onnx.ValueInfoProto(name="h", type=typed(kind)))
    proto = model(
        [
            node("F", "x", "a", "call", "own"),
            node("If", "c", "y", then_branch=side, else_branch=side),
            node("Optional", "", "o", "none", type=typed(kind)),
        ],
        {"x": None, "c": ([], np.bool_)},
        ["y"],
        functions=[inner],
        ir_version=10,
    )
    proto.graph.value_info.append(onnx.ValueInfoProto(name="a", type=typed(kind)))
    proto.graph.input.append(onnx.ValueInfoProto(name="more", type=typed(kind)))
    assert to_proto(load(proto), load(proto).graph.clone()) == proto


def test_a_model_without_strangers_is_not_copied():
    proto = model([node("Relu", "x", "y")], ["x"], ["y"])
    kept = prepare(proto, bodies(proto))
    assert kept.proto is proto and kept.carried == ()


def test_texts_that_look_like_a_stand_in_are_carried_like_any_other(tmp_path):
    proto = model([node("Foo", "x", "y", "n", "own", a=f"{MARK}0", b=[f"{MARK}1"])], ["x"], ["y"], domains=["own"])
    proto.graph.value_info.extend(values([("x2", [1])]))
    proto.graph.value_info[0].type.opaque_type.domain = MARK
    proto.graph.value_info[0].type.opaque_type.name = "0"
    loaded = load(write(tmp_path / "m.onnx", proto))
    save(loaded, loaded.graph.clone(), tmp_path / "o.onnx")
    assert onnx.load(tmp_path / "o.onnx") == proto


def test_a_tensor_that_says_it_is_a_stand_in_is_refused():
    proto = model([node("MatMul", "x w", "y", "mm")], ["x"], ["y"], {"w": BLOCKS})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=SPARSE)
    with pytest.raises(ModelError, match="outside the model's folder"):
        load(proto)


# Sparse tensors whose parts lie in other files, which ONNX Runtime reads as it reads the model.


def set_outside(tensor, location, offset=None):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    if offset is not None:
        tensor.external_data.add(key="offset", value=str(offset))


@pytest.mark.parametrize("name", [name for name in SPARSE_MODELS if name != "branch"])  # ONNX Runtime refuses that one
def test_sparse_parts_in_another_file_are_read_from_beside_the_model(name, tmp_path, monkeypatch):
    proto, home, elsewhere = SPARSE_MODELS[name](), tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    held = list(proto.graph.sparse_initializer)
    for one in proto.graph.node:
        for attribute in one.attribute:
            held += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            held += attribute.g.sparse_initializer
    for one in held:
        values, places = one.values.raw_data, one.indices.raw_data
        (home / "w.data").write_bytes(b"before" + values + places)
        set_outside(one.values, "w.data", 6)
        set_outside(one.indices, "w.data", 6 + len(values))
    path = home / "m.onnx"
    onnx.save(proto, path)
    monkeypatch.chdir(elsewhere)  # where there is a file of that name as well
    (elsewhere / "w.data").write_bytes(b"\1" * (home / "w.data").stat().st_size)
    expected = onnxruntime.InferenceSession(path).run(None, {"x": X})
    assert np.allclose(expected, X @ BLOCKS, rtol=1e-4)
    chosen = scission.plan(path, force=True)
    assert [step.components for step in chosen.steps] == [4]
    scission.apply(path, chosen, elsewhere / "split.onnx")
    save_copy(load(path), elsewhere / "copy.onnx")
    for written in ("split.onnx", "copy.onnx"):
        assert np.allclose(onnxruntime.InferenceSession(elsewhere / written).run(None, {"x": X}), expected, rtol=1e-4)
    assert load(path).data_files() == [home / "w.data"]
    with pytest.raises(scission.ScissionError, match=r"w\.data"):
        scission.apply(path, chosen, home / "w.data", overwrite=True)


def test_sparse_parts_that_cannot_be_read_are_said(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "short.data").write_bytes(b"\0" * 8)
    (tmp_path / "home" / "short.data").write_bytes(b"\0" * 8)
    path = tmp_path / "home" / "m.onnx"
    for location, offset, said in [
        ("nowhere", None, "'nowhere' cannot be read: No such file"),
        ("../short.data", None, "lies outside the model's folder"),
        ("short.data", None, "needs bytes that short.data does not have"),
        ("short.data", "-8", "needs bytes that short.data does not have"),
        ("", None, "not a regular file but a folder"),
    ]:
        proto = through_initializer()
        set_outside(proto.graph.sparse_initializer[0].values, location, offset)
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(ModelError, match=said) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))
    with pytest.raises(ModelError, match="give the model's path instead of its contents"):
        load(proto)


@pytest.mark.parametrize("part", ["values", "indices"])
def test_a_sparse_part_of_a_whole_is_all_there_is(part):
    proto = through_initializer()
    getattr(proto.graph.sparse_initializer[0], part).segment.end = 3
    assert (read(load(proto).graph.graph.initializers["w"].const_value) == BLOCKS).all()
    assert np.allclose(
        onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": X}), X @ BLOCKS, rtol=1e-4
    )
    assert to_proto(load(proto), load(proto).graph.clone()) == proto
