import contextlib
import tracemalloc
from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from reference import model, node, product, tensors_of
from scramble import scramble

from scission.ir.wire.protobuf import WireError
from scission.ir.wire.wire import FileRange, concatenate, fill, hollow, relocate

HERE = "/somewhere/model.onnx"
names = st.text("abc", max_size=3)


def tensor(name, raw, doc="", location=None, entry=""):
    proto = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[len(raw)], raw_data=raw)
    if doc:
        proto.doc_string = doc
        proto.segment.begin = 1
        proto.metadata_props.add(key=doc, value=doc)
    if location is not None:
        proto.data_location = location
    if entry:
        proto.external_data.add(key="location", value=entry)
    return proto


def sparse(values):
    return onnx.SparseTensorProto(values=values, indices=helper.make_tensor("i", TensorProto.INT64, [1], [0]), dims=[9])


def external(name):
    proto = TensorProto(name=name, data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    proto.external_data.add(key="location", value="weights.bin")
    return proto


places = st.sampled_from([None, None, TensorProto.DEFAULT, TensorProto.EXTERNAL])
dense = st.builds(tensor, names, st.binary(max_size=40), names, places, names)
tensors = dense | st.builds(external, names) | st.builds(lambda n: helper.make_tensor(n, 1, [2], [1, 2]), names)


def attributes(graphs):
    return st.one_of(
        st.builds(lambda n, t: onnx.AttributeProto(name=n, type=4, t=t), names, tensors),
        st.builds(lambda n, t: onnx.AttributeProto(name=n, type=9, tensors=t), names, st.lists(tensors, max_size=2)),
        st.builds(lambda n, g: onnx.AttributeProto(name=n, type=5, g=g), names, graphs),
        st.builds(lambda n, g: onnx.AttributeProto(name=n, type=10, graphs=g), names, st.lists(graphs, max_size=2)),
        st.builds(lambda n, t: onnx.AttributeProto(name=n, type=11, sparse_tensor=sparse(t)), names, dense),
    )


def nodes(graphs):
    build = lambda op, a: onnx.NodeProto(op_type=op, output=["y"], attribute=a)  # noqa: E731 - as short as its use
    return st.lists(st.builds(build, names, st.lists(attributes(graphs), max_size=2)), max_size=2)


def bodies(graphs):
    return st.builds(
        lambda name, n, t, s: onnx.GraphProto(name=name, node=n, initializer=t, sparse_initializer=map(sparse, s)),
        names,
        nodes(graphs),
        st.lists(tensors, max_size=2),
        st.lists(dense, max_size=1),
    )


graphs = st.recursive(st.builds(lambda n: onnx.GraphProto(name=n), names), bodies, max_leaves=4)
models = st.builds(
    lambda g, f, t: onnx.ModelProto(ir_version=8, graph=g, functions=f, training_info=t),
    bodies(graphs),
    st.lists(st.builds(lambda n, body: onnx.FunctionProto(name=n, node=body), names, nodes(graphs)), max_size=2),
    st.lists(st.builds(lambda g: onnx.TrainingInfoProto(algorithm=g), bodies(graphs)), max_size=1),
)


def joined(pieces, data) -> bytes:
    return b"".join(data[p.offset : p.offset + p.length] if isinstance(p, FileRange) else bytes(p) for p in pieces)


@given(models, st.integers(1, 20))
def test_fill_undoes_hollow(proto, smallest):
    data = proto.SerializeToString()
    pieces = fill(hollow(memoryview(data), HERE, smallest), HERE)
    assert onnx.ModelProto.FromString(joined(pieces, data)) == proto


def found_in(light, data: bytes) -> onnx.ModelProto:
    """A hollow model with the bytes that it refers to."""
    for tensor in tensors_of(light):
        place = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.data_location == TensorProto.EXTERNAL and place.get("location") == HERE:
            offset, length = int(place["offset"]), int(place["length"])
            tensor.raw_data = data[offset : offset + length]
    return light


@given(models, st.integers(1, 20), st.integers(0, 999).map(Random))
def test_however_a_model_is_written_it_is_read_as_protobuf_reads_it(proto, smallest, rng):
    data = scramble(proto, rng)
    whole = onnx.ModelProto.FromString(data)
    light = hollow(memoryview(data), HERE, smallest)
    assert onnx.ModelProto.FromString(joined(fill(light, HERE), data)) == whole
    for before, after in zip(
        tensors_of(proto), tensors_of(found_in(onnx.ModelProto.FromString(light), data)), strict=True
    ):
        assert (after.raw_data, after.name, after.dims) == (before.raw_data, before.name, before.dims)
        is_here = any(entry.value == HERE for entry in after.external_data)
        assert is_here or after.data_location == before.data_location
        assert not is_here or before.data_location == TensorProto.DEFAULT


@given(models, st.integers(0, 999).map(Random))
def test_unknown_fields_are_still_there(proto, rng):
    data = scramble(proto, rng)
    back = onnx.ModelProto.FromString(joined(fill(hollow(memoryview(data), HERE, 10), HERE), data))
    whole = onnx.ModelProto.FromString(data)
    assert back.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


@given(models, st.integers(1, 20))
def test_hollow_takes_out_exactly_the_large_tensors_and_says_where_they_lie(proto, smallest):
    data = proto.SerializeToString()
    light = onnx.ModelProto.FromString(hollow(memoryview(data), HERE, smallest))
    for before, after in zip(tensors_of(proto), tensors_of(light), strict=True):
        if len(before.raw_data) < smallest or before.data_location == TensorProto.EXTERNAL:
            assert after == before
        else:
            place = {entry.key: entry.value for entry in after.external_data}
            offset, length = int(place["offset"]), int(place["length"])
            assert data[offset : offset + length] == before.raw_data
            assert (place["location"], after.data_location) == (HERE, TensorProto.EXTERNAL)
            assert (after.name, after.dims, after.doc_string) == (before.name, before.dims, before.doc_string)
            assert (after.segment, after.metadata_props) == (before.segment, before.metadata_props)
            assert not after.HasField("raw_data")


@given(models)
def test_tensors_that_lie_elsewhere_stay_as_they_are(proto):
    data = proto.SerializeToString()
    assert joined(fill(data, HERE), b"") == data


def test_a_tensor_with_data_here_and_elsewhere_keeps_both():
    proto = product(np.zeros((2, 2), np.float32))
    proto.graph.initializer[0].raw_data = bytes(50)
    proto.graph.initializer[0].external_data.add(key="location", value="weights.bin")
    data = proto.SerializeToString()
    light = hollow(memoryview(data), HERE, 10)
    assert len(light) < len(data) + 100 and bytes(50) not in light
    assert onnx.ModelProto.FromString(joined(fill(light, HERE), data)) == proto


def test_a_model_that_names_our_own_place_is_refused():
    proto = product(np.zeros((1, 1), np.float32))
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    proto.graph.initializer[0].external_data.add(key="location", value=HERE)
    proto.graph.initializer[0].doc_string = "large enough to be looked at " * 50
    with pytest.raises(WireError, match="says that it lies in"):
        hollow(memoryview(proto.SerializeToString()), HERE)


@given(models)
def test_relocate_reaches_every_external_tensor_and_nothing_else(proto):
    proto.training_info.add().initialization.initializer.append(external("t"))
    held = proto.functions.add(name="held").attribute_proto.add(name="default", type=4)
    held.t.CopyFrom(external("default"))
    data, seen = proto.SerializeToString(), []

    def move(tensor, initializer):
        seen.append(initializer)
        found = TensorProto.FromString(tensor)
        del found.external_data[:]
        found.external_data.add(key="location", value="moved")
        return found.SerializeToString()

    back = onnx.ModelProto.FromString(relocate(memoryview(data), move))
    count = 0
    for before, after in zip(everywhere(proto), everywhere(back), strict=True):
        if before.data_location == TensorProto.EXTERNAL and any(e.value == "moved" for e in after.external_data):
            count += 1
            before.ClearField("external_data")
            before.external_data.extend(after.external_data)
        assert before == after
    assert count == len(seen) >= 2
    same = onnx.ModelProto.FromString(relocate(memoryview(data), lambda *_: None))
    assert same == onnx.ModelProto.FromString(data)


def everywhere(message):
    """Every TensorProto inside a message, in the order of its fields."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from everywhere(inner)


def test_hollow_leaves_nothing_but_the_graph_of_a_large_model():
    data = product(np.ones((300, 400), np.float32)).SerializeToString()
    assert len(data) > 480_000 and len(hollow(memoryview(data), HERE)) < 400


def test_fill_follows_what_was_edited_in_between():
    data = product(np.ones((20, 30), np.float32)).SerializeToString()
    light = onnx.ModelProto.FromString(hollow(memoryview(data), HERE))
    light.graph.initializer.append(tensor("new", bytes(2000)))
    light.graph.node[0].name = "a much longer name than before " * 10
    whole = onnx.ModelProto.FromString(joined(fill(light.SerializeToString(), HERE), data))
    assert [len(t.raw_data) for t in whole.graph.initializer] == [2400, 2000]
    assert whole.graph.node[0].name == light.graph.node[0].name


def well_formed(data: bytes) -> bool:
    """Whether hollow takes the bytes; nothing but WireError may come out of it."""
    try:
        hollow(memoryview(data), HERE, 1)
    except WireError:
        return False
    return True


@given(st.binary(max_size=200))
@example(b"\xff" * 20)
@example(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\x00\x00")
def test_any_bytes_are_a_message_or_a_wire_error(data):
    well_formed(data)
    with contextlib.suppress(WireError):
        fill(data, HERE)


@given(st.data())
def test_a_model_with_wrong_bytes_in_it_is_a_message_or_a_wire_error(data):
    whole = bytearray(product(np.ones((3, 4), np.float32)).SerializeToString())
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=5)):
        whole[at] = byte
    well_formed(bytes(whole))


def test_a_cut_model_is_a_wire_error_unless_the_cut_falls_between_two_fields():
    data = model([node("Relu", "x", "y", "n")], ["x"], ["y"], {"w": np.ones(300, np.float32)}).SerializeToString()
    ends = [n for n in range(len(data)) if well_formed(data[:n])]
    assert ends[0] == 0 and len(ends) <= 4  # before ir_version, graph and opset_import


@pytest.mark.parametrize("missing", ["offset", "length"])
def test_fill_refuses_a_reference_without_a_place(missing):
    proto = product(np.zeros((1, 1), np.float32))
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    for key, value in {"location": HERE, "offset": "0", "length": "4"}.items():
        if key != missing:
            proto.graph.initializer[0].external_data.add(key=key, value=value)
    with pytest.raises(WireError, match="no offset or no length"):
        fill(proto.SerializeToString(), HERE)


def nested(depth):
    """A message field inside a message field, as deep as asked: graph, node, attribute, graph …"""
    data = bytes(2000)
    for level in range(depth):
        number = (6, 5, 1)[level % 3] if level < depth - 1 else 7
        key = bytes([number << 3 | 2])
        size, digits = len(data), []
        while size > 0x7F:
            digits.append(size & 0x7F | 0x80)
            size >>= 7
        data = key + bytes([*digits, size]) + data
    return data


def test_a_model_nested_beyond_what_protobuf_allows_is_a_wire_error():
    with pytest.raises(WireError, match="nested more than 100 deep"):
        hollow(memoryview(nested(3001)), HERE)


def test_concatenate_streams_ranges_in_chunks_and_notices_a_short_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(range(100)))
    written = []
    pieces = [b"head", FileRange(str(path), 10, 25), memoryview(b"tail"), FileRange(str(path), 0, 0)]
    concatenate(pieces, written.append, chunk=10)
    assert b"".join(written) == b"head" + bytes(range(10, 35)) + b"tail"
    assert max(map(len, written)) == 10
    with pytest.raises(OSError, match="became shorter"):
        concatenate([FileRange(str(path), 90, 20)], written.append)


JUNK = (b"\x08\x08", b"\xa0\x06\x08", b"\x42\x00", b"\x3a\x00", b"\x72\x00", b"\xa3\x06\xa4\x06")


@pytest.mark.parametrize("junk", JUNK)
def test_fields_of_a_few_bytes_take_no_memory_each(junk):
    held = model([node("Relu", "x", "y")]).SerializeToString()
    data = junk * 100_000 + held
    tracemalloc.start()
    try:
        skeleton = hollow(memoryview(data), HERE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert skeleton == data
    assert peak < 2 * len(data) + 100_000


def test_a_message_around_a_weight_keeps_every_other_field_as_it_was():
    proto = model([node("Relu", "x", "y")], weights={"w": np.ones(2000, np.float32)})
    data = proto.SerializeToString()
    odd = b"\xa0\x06\x88\x00" + data  # an unknown number, in two bytes where one would do
    skeleton = hollow(memoryview(odd), HERE)
    assert skeleton.startswith(b"\xa0\x06\x88\x00")
    assert len(skeleton) < 1000
    pieces = fill(skeleton, HERE)
    assert sum(isinstance(piece, FileRange) for piece in pieces) == 1
    assert len(pieces) < 20
