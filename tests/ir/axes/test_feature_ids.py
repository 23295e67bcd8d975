"""What labels and ties say is held against ONNX Runtime: a feature that is changed changes only what they allow."""

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_regions import Builder
from regions import dense_run, looked_at, session

from scission.ir.axes import feature_rules
from scission.ir.axes.feature_ids import Features, feature_axis_in, feature_axis_out, trace
from scission.ir.axes.region import region_of, unfit
from scission.ir.axes.shared_axis import find_shared_axes
from scission.models.planted import ffn as planted_ffn


def traced(proto):
    seen = looked_at(proto)
    linears = [one for one in seen.found.linears if unfit(one) is None and one.node.graph is seen.model.graph]
    return linears, trace(seen.model.graph, linears, seen.found.constants)


def joined(features):
    """The smallest label that each is tied to, whichever node does it."""
    group = np.arange(features.count)
    pairs = np.array(
        [(a, b) for ties in features.ties.values() for x, y in ties for a, b in zip(x.flat, y.flat, strict=False)]
    )
    changed = True
    while changed and pairs.size:
        lowest = np.minimum(group[pairs[:, 0]], group[pairs[:, 1]])
        before = group.copy()
        np.minimum.at(group, pairs[:, 0], lowest)
        np.minimum.at(group, pairs[:, 1], lowest)
        changed = (before != group).any()
    return group


def computed(proto, names, feeds):
    """Values by name, None where ONNX Runtime cannot run the model."""
    whole = onnx.ModelProto.FromString(proto.SerializeToString())
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    found = dense_run(session(whole), feeds)
    return found and dict(zip(names, found, strict=True))


def cut(proto, given, wanted):
    """The model with some values given from outside, and others as its outputs."""
    short = onnx.ModelProto.FromString(proto.SerializeToString())
    kept = [node for node in short.graph.node if not set(node.output) & given.keys()]
    del short.graph.node[:], short.graph.output[:]
    short.graph.node.extend(kept)
    for name, array in given.items():
        elem = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        short.graph.input.append(onnx.helper.make_tensor_value_info(name, elem, [None] * array.ndim))
    short.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    return short


def assert_covers(proto, feeds, rng):
    """Change one feature of one linear everywhere: what changes with it is tied to it.

    Values that are not understood are held as they are: they are computed outside.
    """
    linears, features = traced(proto)
    of = {value.name: labels for value, labels in features.labels.items()}
    starts = [linear.output.name for linear in linears]
    wanted = [name for name in of if name not in starts]
    read = {v for node in features.ties for v in node.inputs if v is not None and v not in features.labels}
    beside = [value.name for value in read if value.producer() is not None]
    given = computed(proto, [*starts, *beside], feeds) if wanted else None
    if given is None:
        return 0
    for name in starts:
        given[name] = rng.standard_normal(given[name].shape).astype(given[name].dtype)
    run = session(cut(proto, given, wanted))
    before = run.run(None, feeds | given)
    group = joined(features)
    for linear in linears:
        name = linear.output.name
        labels = of[name].reshape(-1)
        for feature in rng.choice(labels.size, min(3, labels.size), replace=False):
            other = given[name].copy()
            other[..., feature] += 1 + rng.random(other.shape[:-1])
            after = run.run(None, feeds | given | {name: other})
            for value, a, b in zip(wanted, before, after, strict=True):
                touched = ~((a == b) | ((a != a) & (b != b)))
                told = group[np.broadcast_to(of[value], a.shape)]  # raises where labels do not fit the value
                assert (told[touched] == group[labels[feature]]).all(), (value, linear.address, feature)
    return len(wanted)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_what_a_feature_reaches_is_labelled_or_tied(seed):
    built = Builder(seed, np.float64)
    proto = built.build(10)
    try:
        session(proto)
    except Exception:  # an operator that ONNX Runtime lacks in float64
        return
    assert_covers(proto, built.feeds(1, 3, 5), np.random.default_rng(seed))


def pairs(features):
    """The different labels that each node ties."""
    return {
        node: {
            frozenset(pair) for a, b in ties for pair in zip(np.ravel(a).tolist(), np.ravel(b).tolist(), strict=True)
        }
        - {frozenset([label]) for label in range(features.count)}
        for node, ties in features.ties.items()
    }


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_elementwise_operators_that_look_alike_are_followed_like_any_other(seed):
    """The rule is asked of each by itself where none is taken for elementwise; where features are known, a region is
    the same."""
    seen = looked_at(Builder(seed, np.float64).build(10))
    linears = [one for one in seen.found.linears if unfit(one) is None and one.node.graph is seen.model.graph]
    quick = trace(seen.model.graph, linears, seen.found.constants)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feature_rules, "is_pointwise", lambda *_: False)
        slow = trace(seen.model.graph, linears, seen.found.constants)
    assert (quick.count, pairs(quick), quick.sizes.learned) == (slow.count, pairs(slow), slow.sizes.learned)
    assert {value: labels.tolist() for value, labels in quick.labels.items()} == {
        value: labels.tolist() for value, labels in slow.labels.items()
    }
    if linears:
        known, fresh = (region_of(linears, seen.found.constants, features=one) for one in (quick, None))
        assert (known.inner, known.exits, list(known.written)) == (fresh.inner, fresh.exits, list(fresh.written))


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_feature_ids_refine_shared_axes(seed):
    """Where two values share an axis, what is a feature of both has the same place in both."""
    proto = Builder(seed, np.float64).build(10)
    seen = looked_at(proto)
    _, features = traced(proto)
    of = {value.name: labels for value, labels in features.labels.items()}
    group = joined(features)
    for shared_axis in find_shared_axes(seen.found, seen.model):
        along = []
        for value, axis in shared_axis.members:
            labels = of.get(value.name)
            if labels is not None and labels.shape[axis] == labels.size > 1:
                along.append(group[labels.ravel()])
        for one in along:
            for other in along:
                places = {label: set(np.flatnonzero(other == label)) for label in one}
                assert all(not found or place in found for place, found in enumerate(places[label] for label in one))


def test_a_hidden_layer_has_one_label_a_unit():
    planted = planted_ffn.build(np.random.default_rng(0), d=4, hidden=8, blocks=2, leading=("batch", "sequence"))
    linears, features = traced(planted.model)
    up, down = linears
    assert features.count == 8 + 4 and features.labels[up.output].shape == (1, 1, 8)
    assert np.array_equal(features.labels[down.activation], features.labels[up.output])
    assert all(np.array_equal(a, b) for ties in features.ties.values() for a, b in ties)
    assert (feature_axis_in(up), feature_axis_out(down)) == (2, 2)


def test_what_is_not_understood_hands_nothing_on():
    W = np.eye(4)
    proto = oracles.graph(
        [("MatMul", ["x", "w"], ["h"]), ("CumSum", ["h", "axis"], ["c"]), ("Relu", ["c"], ["y"])],
        {"x": ["n", 4]},
        {"y": ["n", 4]},
        {"w": W, "axis": np.int64(1)},
    )
    _, features = traced(proto)
    assert {value.name for value in features.labels} == {"h"} and not features.ties
    assert isinstance(features, Features)


def test_a_constant_that_cannot_be_folded_ends_it():
    """An operator that is not valid is no reason to fail: the model may still have others."""
    proto = oracles.graph(
        [("MatMul", ["x", "w"], ["h"]), ("Gather", ["h", "far"], ["g"], {"axis": 1}), ("Relu", ["g"], ["y"])],
        {"x": ["n", 4]},
        {"y": ["n", 1]},
        {"w": np.eye(4), "far": np.array([9])},
    )
    assert {value.name for value in traced(proto)[1].labels} == {"h"}


def test_no_features_are_followed_where_the_rank_is_not_known():
    proto = oracles.graph(
        [("MatMul", ["x", "w"], ["h"]), ("Relu", ["h"], ["y"])], {"x": None}, {"y": None}, {"w": np.eye(4)}
    )
    assert traced(proto)[0] == []
