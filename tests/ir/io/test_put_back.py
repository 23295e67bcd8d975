from random import Random

import onnx
import pytest
from every_field import everything
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from reference import BIG, W, model, node, product, tensors_of, write
from scramble import scramble

from scission.ir.io.load import load
from scission.ir.io.save import save, to_proto
from scission.ir.io.tensors import read, tensor_slots
from scission.ir.onnx_ir import onnx_ir as ir

seeds = st.integers(0, 1 << 30)


def exactly(proto) -> bytes:
    """Every field of a message, unknown ones included."""
    return type(proto).FromString(proto.SerializeToString()).SerializeToString(deterministic=True)


@given(seeds)
@settings(max_examples=30)
def test_a_model_with_every_optional_field_comes_back_to_the_last_unknown_one(tmp_path_factory, seed):
    proto, folder = everything(Random(seed)), tmp_path_factory.mktemp("every")
    loaded = load(write(folder / "in.onnx", proto))
    save(loaded, loaded.graph.clone(), folder / "out.onnx")
    assert exactly(onnx.load(folder / "out.onnx", load_external_data=False)) == exactly(proto)
    assert exactly(to_proto(load(proto), load(proto).graph)) == exactly(proto)


@given(seeds)
@settings(max_examples=40)
def test_the_tensors_of_such_a_model_are_read_as_onnx_reads_them_however_they_are_written(tmp_path_factory, seed):
    rng = Random(seed)
    proto, folder = everything(rng), tmp_path_factory.mktemp("read")
    (folder / "in.onnx").write_bytes(scramble(proto, rng))
    found: dict[str, list] = {}
    for holder, key, tensor in tensor_slots(load(folder / "in.onnx").graph):
        if key is None:
            found.setdefault(holder.name, []).append(tensor)
    for tensor in tensors_of(proto):
        if tensor.name in found and tensor.name not in ("a", "b", "t"):
            (same,) = found[tensor.name]
            tensor.ClearField("segment")  # which runtimes do not heed, and onnx does not read
            array, expected = read(same), numpy_helper.to_array(tensor)
            if tensor.data_type == onnx.TensorProto.STRING:
                assert array.tolist() == [[text.encode() for text in row] for row in expected.tolist()]
            else:
                assert array.dtype == expected.dtype and array.tobytes() == expected.tobytes()


@given(seeds)
@settings(max_examples=40)
def test_an_edit_changes_what_it_touches_and_nothing_else(seed):
    """The last node of the main graph gets another name and an attribute; one new node is put before the output."""
    proto = everything(Random(seed))
    loaded = load(proto)
    graph = loaded.graph.clone()
    last = graph.graph[len(graph.graph) - 1]
    last.name = "renamed"
    graph.graph.insert_before(last, ir.Node("own", "New", [graph.graph.inputs[0]], name="new"))
    graph.graph[len(graph.graph) - 2].outputs[0].name = "new_value"
    graph.metadata_props["scission"] = "edited"
    edited = to_proto(loaded, graph)
    assert edited.graph.node[-2].name == "new" and edited.graph.node[-1].name == "renamed"
    assert [entry.value for entry in edited.metadata_props if entry.key == "scission"] == ["edited"]
    kept = [entry for entry in edited.metadata_props if entry.key != "scission"]
    before = list(proto.metadata_props)
    assert kept == before or len({entry.key for entry in before}) < len(before)
    for name in ("training_info", "functions", "configuration", "opset_import"):
        assert list(map(exactly, getattr(edited, name))) == list(map(exactly, getattr(proto, name)))
    assert [exactly(one) for one in edited.graph.node[:-2]] == [exactly(one) for one in proto.graph.node[:-1]]
    for name in ("initializer", "sparse_initializer", "input", "output", "value_info", "quantization_annotation"):
        assert list(map(exactly, getattr(edited.graph, name))) == list(map(exactly, getattr(proto.graph, name)))


def test_a_weight_that_was_changed_keeps_its_description_and_not_its_data():
    proto = product(W)
    tensor = proto.graph.initializer[0]
    tensor.doc_string = "trained"
    tensor.data_location = onnx.TensorProto.DEFAULT
    tensor.metadata_props.add(key="from", value="a checkpoint")
    loaded = load(proto)
    graph = loaded.graph.clone()
    graph.graph.initializers["W"].const_value = ir.Tensor(W + 1, name="W")
    changed = to_proto(loaded, graph).graph.initializer[0]
    assert (numpy_helper.to_array(changed) == W + 1).all()
    assert (changed.doc_string, changed.metadata_props) == ("trained", tensor.metadata_props)


def test_what_was_said_of_the_place_of_data_goes_when_the_data_moves(tmp_path):
    """An explicit DEFAULT is set aside while the data stays in its file."""
    proto = product(BIG)
    proto.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT
    moved = onnx.ModelProto.FromString(proto.SerializeToString())
    moved.graph.initializer.append(numpy_helper.from_array(BIG, "more"))
    onnx.save_model(moved, write(tmp_path / "in" / "m.onnx", proto), save_as_external_data=True, location="w.bin")
    whole = onnx.load(tmp_path / "in" / "m.onnx", load_external_data=False)
    whole.graph.initializer[0].CopyFrom(proto.graph.initializer[0])
    loaded = load(write(tmp_path / "in" / "m.onnx", whole))
    save(loaded, loaded.graph.clone(), tmp_path / "out.onnx")
    changed = loaded.graph.clone()
    changed.graph.initializers["W"].const_value = ir.Tensor(BIG + 1, name="W")
    save(loaded, changed, tmp_path / "changed.onnx")
    for name, weight in (("out.onnx", BIG), ("changed.onnx", BIG + 1)):
        tensor = onnx.load(tmp_path / name).graph.initializer[0]
        assert (numpy_helper.to_array(tensor) == weight).all()
        assert not len(UnknownFieldSet(tensor))


def test_a_large_tensor_that_is_written_as_it_was_read_has_its_unknown_fields_once():
    proto = product(BIG)
    proto.graph.initializer[0].CopyFrom(helper.make_tensor("W", 1, BIG.shape, BIG.reshape(-1)))
    proto.graph.initializer[0].MergeFromString(b"\x8a\xfa\x01\x03new")
    loaded = load(proto)
    graph = loaded.graph.clone()
    graph.graph[0].name = "renamed"
    assert exactly(to_proto(loaded, graph).graph.initializer[0]) == exactly(proto.graph.initializer[0])


def test_what_described_a_value_of_no_graph_does_not_describe_a_new_one_of_that_name():
    proto = model([node("Relu", "x", "y", "n")], ["x"], ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("later", 1, [3]))
    loaded = load(proto)
    assert [info.name for info in to_proto(loaded, loaded.graph.clone()).graph.value_info] == ["later"]
    graph = loaded.graph.clone()
    graph.graph.insert_before(graph.graph[0], ir.Node("", "Neg", [graph.graph.inputs[0]], name="new"))
    graph.graph[0].outputs[0].name = "later"
    assert not to_proto(loaded, graph).graph.value_info


@pytest.mark.parametrize("inside", [True, False])
def test_nothing_is_lost_when_the_weights_go_outside(tmp_path, inside):
    proto = product(BIG)
    for extra in (proto, proto.graph, proto.graph.initializer[0], proto.graph.node[0]):
        extra.doc_string = "said"
        extra.MergeFromString(b"\x8a\xfa\x01\x03new")
    path = write(tmp_path / "in" / "m.onnx", proto)
    if not inside:
        onnx.save_model(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "out").mkdir()
    loaded = load(path)
    save(loaded, loaded.graph.clone(), tmp_path / "out" / "m.onnx")
    back = onnx.load(tmp_path / "out" / "m.onnx")
    whole = onnx.load(path)
    back.graph.initializer[0].ClearField("data_location")
    whole.graph.initializer[0].ClearField("data_location")
    assert exactly(back) == exactly(whole)
