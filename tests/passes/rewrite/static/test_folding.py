"""What is folded computes the same on ONNX Runtime, with its own optimisations and without."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_shapes import NAMES, ShapeNetwork

import scission
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.rewrite.static.fix_sizes import fixed
from scission.runtime.ort.library import SessionError
from scission.runtime.ort.session import open_session


def outputs(model, feeds, optimize):
    return list(open_session(model, provider="cpu", threads=1, optimize=optimize).run(feeds).values())


def check(seed, steps, sizes, fix):
    """Both models at the same sizes; what the original cannot run at all says nothing."""
    rng = np.random.default_rng(seed)
    model = ShapeNetwork(rng).model(steps)
    changed, nodes = fixed(load(model).graph, fix)
    x = rng.standard_normal((*sizes, 4), np.float32)
    feeds = {"x": x, "y": rng.standard_normal(sizes[::-1], np.float32)}
    try:
        expected = outputs(model.SerializeToString(), feeds, False)
    except SessionError:
        return None
    for optimize in (False, True):
        found = outputs(ir.to_proto(changed).SerializeToString(), feeds, optimize)
        assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(expected, found, strict=True))
    return changed, nodes


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 14),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_folded_networks_compute_the_same(seed, steps, sizes, names):
    check(seed, steps, sizes, {name: size for name, size in zip(NAMES, sizes, strict=True) if name in names})


def test_where_every_size_is_fixed_no_shape_is_measured():
    measured = 0
    for seed in range(8):
        found = check(seed, 10, (3, 2), {"batch": 3, "time": 2})
        if found is not None:
            changed, nodes = found
            assert not [node for node in changed.graph if node.op_type in ("Shape", "Size")] and nodes
            measured += 1
    assert measured > 4


def test_sizes_of_no_input_are_refused():
    model = load(ShapeNetwork(np.random.default_rng(0)).model(3)).graph
    with pytest.raises(
        scission.InputError, match="no input has an open dimension called 'rows'; there is 'batch', 'time'"
    ):
        fixed(model, {"rows": 3})
    with pytest.raises(scission.InputError, match="at least 1"):
        fixed(model, {"batch": 0})


def test_what_follows_from_a_shape_that_is_an_output_is_folded_too():
    """Nothing goes where that becomes a constant for its readers, and what they make has a known shape all the same."""
    nodes = [
        ("Shape", ["x"], ["shape"]),
        ("Div", ["shape", "halves"], ["half"]),
        ("Mul", ["half", "twice"], ["target"]),
        ("Reshape", ["x", "target"], ["pairs"]),
        ("Shape", ["pairs"], ["y"]),
        ("Reshape", ["x", "y"], ["told"]),
    ]
    held = {"halves": np.array([2, 1]), "twice": np.array([1, 2])}
    model = oracles.graph(nodes, {"x": ["n", 4]}, {"target": [2], "told": None}, held)
    changed, gone = fixed(load(model).graph, {"n": 6})
    assert len(gone) == 1 and sum(node.op_type == "Shape" for node in changed.graph) == 1
    feeds = {"x": np.zeros((6, 4), np.int64)}
    for one in (model, ir.to_proto(changed)):
        target, told = oracles.run(one, feeds)
        assert target.tolist() == [3, 8] and told.shape == (3, 8)
