import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_networks import D, network, planted, random_split, reference

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.experts.emit import FORMS
from scission.passes.experts.expert_split import ExpertError
from scission.passes.experts.find import find_places
from scission.passes.rewrite.pruning.write_experts import write_experts

UP, BIAS, DOWN, _ = planted()
UP = UP + np.random.default_rng(1).standard_normal(UP.shape).astype(np.float32)


def rewritten(model, *splits, form=None):
    return ir.to_proto(write_experts(load(model).graph, splits, form))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([0, 1, 2, 7, 40]),
    st.integers(1, 5),
    st.sampled_from([3, 7, 11]),
    st.booleans(),
    st.sampled_from([2, 3]),
)
def test_every_row_runs_its_own_experts(form, seed, rows, active, shared, gemm, rank):
    rank = 2 if gemm else rank
    model = network(UP, BIAS, DOWN, gemm=gemm, lead=("n", "m")[: rank - 1])
    split = random_split(
        UP,
        DOWN,
        seed=seed,
        shared=shared,
        active=min(active, (27 - shared) // 4),
        fitted=bool(seed % 2),
        names=("n0", "n2" if gemm else "n3"),
    )
    changed = rewritten(model, split, form=form)
    assert oracles.interface(changed) == oracles.interface(model)
    shape = (rows, *[3] * (rank - 2), D)
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    (found,) = oracles.run(changed, {"x": x})
    assert found.shape == shape
    if rows:
        np.testing.assert_allclose(found, reference(x, UP, BIAS, DOWN, split), rtol=0, atol=2e-5 * np.abs(found).max())


@pytest.mark.parametrize("form", FORMS)
def test_with_all_experts_running_it_is_the_network_that_it_was(form):
    model = network(UP, BIAS, DOWN)
    changed = rewritten(model, random_split(UP, DOWN, active=6), form=form)
    x = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("lead", "extents"),
    [
        ((), [()]),
        (None, [(), (5,), (0, 4), (2, 3)]),
        ((2, 3), [(2, 3)]),
        (("n", 1), [(4, 1), (0, 1)]),
        (("n", "m", "k"), [(2, 2, 3), (2, 0, 3)]),
    ],
)
def test_rows_on_any_axes_and_results_of_another_width(form, lead, extents):
    down = np.random.default_rng(2).standard_normal((27, 7)).astype(np.float32)
    split = random_split(UP, down)
    changed = rewritten(network(UP, BIAS, down, lead=lead), split, form=form)
    for extent in extents:
        x = np.random.default_rng(0).standard_normal((*extent, D)).astype(np.float32)
        (found,) = oracles.run(changed, {"x": x})
        assert found.shape == (*extent, 7)
        if x.size:
            wanted = reference(x, UP, BIAS, down, split)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_no_number_changes_no_other(form, wrong):
    split = random_split(UP, DOWN)
    changed = rewritten(network(UP, BIAS, DOWN), split, form=form)
    x = np.random.default_rng(0).standard_normal((9, D)).astype(np.float32)
    bad = x.copy()
    bad[[0, 4]] = wrong
    bad[5, 3] = wrong
    (whole,), (found,) = (oracles.run(changed, {"x": one}) for one in (x, bad))
    others = [1, 2, 3, 6, 7, 8]
    assert found.shape == x.shape
    np.testing.assert_allclose(found[others], whole[others], rtol=0, atol=2e-5 * np.abs(whole).max())
    assert not np.isfinite(found[[0, 4, 5]]).all(1).any()


@pytest.mark.parametrize("form", FORMS)
@given(st.integers(0, 100), st.sampled_from([0, 1, 5]))
@settings(max_examples=10, deadline=None)
def test_numbers_of_16_bits_are_chosen_for_in_32(form, seed, rows):
    up, bias, down = (array.astype(np.float16) for array in (UP, BIAS, DOWN))
    split = random_split(up, down, seed=seed, fitted=bool(seed % 2))
    model = network(up, bias, down)
    changed = rewritten(model, split, form=form)
    assert oracles.interface(changed) == oracles.interface(model)
    x = np.random.default_rng(seed).standard_normal((rows, D)).astype(np.float16)
    (found,) = oracles.run(changed, {"x": x})
    assert found.dtype == np.float16 and found.shape == (rows, D)
    if rows:
        wanted = reference(x, up, bias, down, split)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=4e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("versions", [{"opset": 13, "ir_version": 7}, {"opset": 13, "ir_version": 3}, {"opset": 21}])
def test_versions_that_have_the_operators(versions):
    model, split = network(UP, BIAS, DOWN, **versions), random_split(UP, DOWN)
    x = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    for form in FORMS:
        (found,) = oracles.run(rewritten(model, split, form=form), {"x": x})
        np.testing.assert_allclose(found, reference(x, UP, BIAS, DOWN, split), rtol=0, atol=2e-5 * np.abs(found).max())


@pytest.mark.parametrize(("rows", "form"), [(1, "gather"), (2, "dispatch"), ("n", "dispatch")])
def test_weights_are_copied_for_one_row_alone(rows, form):
    model, split = network(UP, BIAS, DOWN, lead=(rows,)), random_split(UP, DOWN)
    assert oracles.operators(rewritten(model, split)) == oracles.operators(rewritten(model, split, form=form))


def test_operators_do_not_grow_with_how_many_experts_run():
    model = network(UP, BIAS, DOWN)
    counts = [oracles.operators(rewritten(model, random_split(UP, DOWN, active=n))) for n in (1, 4)]
    assert counts[0] == counts[1] and counts[0]["Gemm"] == 6 + 2 and counts[0]["Split"] == 1
    gathered = oracles.operators(rewritten(model, random_split(UP, DOWN), form="gather"))
    assert gathered["Gemm"] == 2 and gathered["Gather"] == 3 and gathered["Split"] == 0


def test_two_networks_in_one_model_are_written_both():
    nodes = [
        ("MatMul", ["x", "U"], ["p"]),
        ("Relu", ["p"], ["q"]),
        ("MatMul", ["q", "V"], ["r"]),
        ("Add", ["x", "r"], ["s"]),
        ("MatMul", ["s", "U2"], ["t"]),
        ("Relu", ["t"], ["u"]),
        ("MatMul", ["u", "V2"], ["y"]),
    ]
    constants = {"U": UP, "V": DOWN, "U2": UP[:, ::-1].copy(), "V2": DOWN[::-1].copy()}
    model = oracles.graph(nodes, {"x": ["n", D]}, {"y": ["n", D]}, constants)
    first = random_split(UP, DOWN, active=6, names=("n0", "n2"))
    second = random_split(constants["U2"], constants["V2"], active=6, names=("n4", "n6"), seed=1)
    changed = rewritten(model, first, second)
    assert oracles.operators(changed)["TopK"] == 2 and "U" not in {one.name for one in changed.graph.initializer}
    x = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_what_is_written_as_experts_holds_no_network_that_could_be():
    changed = write_experts(load(network(UP, BIAS, DOWN)).graph, [random_split(UP, DOWN)])
    before = ir.to_proto(changed).SerializeToString()
    again = find_places(view(changed).found)[0]
    assert all(place.shape[1] <= 4 for place in again) and ir.to_proto(changed).SerializeToString() == before


def test_weights_that_two_networks_share_stay_while_one_reads_them():
    nodes = [
        ("MatMul", ["x", "U"], ["p"]),
        ("Relu", ["p"], ["q"]),
        ("MatMul", ["q", "V"], ["s"]),
        ("MatMul", ["s", "U"], ["t"]),
        ("Relu", ["t"], ["u"]),
        ("MatMul", ["u", "V"], ["y"]),
    ]
    model = oracles.graph(nodes, {"x": ["n", D]}, {"y": ["n", D]}, {"U": UP, "V": DOWN})
    splits = [random_split(UP, DOWN, active=6, names=names) for names in (("n0", "n2"), ("n3", "n5"))]
    x = np.random.default_rng(0).standard_normal((5, D)).astype(np.float32)
    for some in (splits[:1], splits[1:], splits):
        changed = rewritten(model, *some)
        held = {one.name for one in changed.graph.initializer}
        assert ({"U", "V"} <= held) == (len(some) == 1)
        oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_another_model_is_refused():
    split = random_split(UP, DOWN)
    with pytest.raises(ExpertError, match="not those that its experts were chosen for"):
        rewritten(network(-UP, BIAS, DOWN), split)
    with pytest.raises(ExpertError, match="no network there"):
        rewritten(network(UP, BIAS, DOWN, between="Sigmoid"), split)
    with pytest.raises(ExpertError, match="form"):
        rewritten(network(UP, BIAS, DOWN), split, form="loop")
