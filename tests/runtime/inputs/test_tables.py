"""Tables whose rows inputs choose: what is read of them, and in which rows two models differ."""

import numpy as np
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh
from onnx.reference import ReferenceEvaluator

from scission.runtime.inputs.tables import rows_read, tables_apart, tables_of

BOUND = st.integers(-9, 9)


def cut(rows, axis, step=1):
    """y = t[start:end:step] along an axis of a table (rows along it), whose entries say their row."""
    table = np.moveaxis(np.repeat(np.arange(rows)[:, None], 2, 1), 0, axis)
    nodes = [h.make_node("Slice", ["t", "start", "end", "axes", "step"], ["y"], name="s")]
    inputs = [h.make_tensor_value_info(name, T.INT64, [1]) for name in ("start", "end")]
    arrays = {"t": table, "axes": np.array([axis]), "step": np.array([step])}
    return made(nodes, inputs, arrays)


def made(nodes, inputs, arrays):
    constants = [nh.from_array(array, name) for name, array in arrays.items()]
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.INT64, None)], constants)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 6), st.integers(0, 1), BOUND, BOUND, st.sampled_from([1, 2, -1, -2]))
def test_the_rows_that_a_slice_reads_are_those_that_come_out(rows, axis, start, end, step):
    proto = cut(rows, axis, step)
    (table,) = tables_of(ir.from_proto(proto))
    feed = {"start": np.array([start]), "end": np.array([end])}
    out = ReferenceEvaluator(proto).run(None, feed)[0]
    assert {*np.flatnonzero(rows_read(table, feed))} == {*np.unique(out)}
    assert (table.rows, table.axis, table.address) == (rows, axis, "s")


@given(st.lists(st.integers(-5, 4), max_size=6))
def test_the_rows_that_a_gather_reads_are_those_that_come_out(ids):
    nodes = [h.make_node("Gather", ["t", "ids"], ["y"], name="g")]
    proto = made(nodes, [h.make_tensor_value_info("ids", T.INT64, ["n"])], {"t": np.arange(5)})
    (table,) = tables_of(ir.from_proto(proto))
    feed = {"ids": np.array(ids, np.int64)}
    assert {*np.flatnonzero(rows_read(table, feed))} == {*np.unique(ReferenceEvaluator(proto).run(None, feed)[0])}


def test_what_is_read_at_constant_places_is_no_table():
    nodes = [h.make_node("Gather", ["t", "i"], ["y"]), h.make_node("Slice", ["x", "i", "i"], ["z"])]
    proto = made(nodes, [h.make_tensor_value_info("x", T.INT64, ["n"])], {"t": np.arange(5), "i": np.array([2])})
    assert tables_of(ir.from_proto(proto)) == []


@given(st.sets(st.integers(0, 5)), st.integers(0, 1))
def test_rows_that_differ_are_found(wrong, axis):
    table = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    table[3] = np.nan  # what is no number is the same in both
    other = table.copy()
    other[[*wrong]] = 7
    nodes, ids = [h.make_node("Gather", ["t", "i"], ["y"], axis=axis)], [h.make_tensor_value_info("i", T.INT64, ["n"])]
    one, two = (ir.from_proto(made(nodes, ids, {"t": np.moveaxis(array, 0, axis)})) for array in (table, other))
    apart = tables_apart(one, two)
    assert len(apart) == bool(wrong) and all({*np.flatnonzero(rows)} == wrong for rows in apart.values())
    assert not tables_apart(one, ir.from_proto(made(nodes, ids, {"u": table})))  # there is no such table
