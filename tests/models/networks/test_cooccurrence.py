import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.metrics import adjusted_rand_score

from scission.models import tables
from scission.models.networks import cooccurrence
from scission.passes.connectivity.bipartite import components

STEPS = 1000


def bits(W):
    return W.view(np.uint32)


def trained(**options):
    return cooccurrence.train(**({"steps": STEPS} | options))


@pytest.fixture(scope="module")
def local():
    return trained()


def labels(rows, columns):
    """One label for each of the K + N features; every dormant one is a block of its own."""
    found = np.concatenate([rows, columns])
    return np.where(found < 0, -1 - np.arange(found.size), found)


def agreement(result, relation):
    """Adjusted Rand index of the components of a relation and the true classes."""
    found = components(relation)
    true = np.where(result.active, result.classes, -1)
    return adjusted_rand_score(labels(true, true), labels(found.inputs, found.outputs))


def merged(active):
    """Classes by merging sets until no two share a feature, smallest member first."""
    sets = [set(np.flatnonzero(row).tolist()) for row in active] + [{i} for i in range(active.shape[1])]
    changed = True
    while changed:
        changed = False
        for first in sets:
            for second in sets:
                if first is not second and first & second:
                    first |= second
                    sets.remove(second)
                    changed = True
                    break
            if changed:
                break
    return sorted(sorted(members) for members in sets if members)


patterns = st.integers(1, 9).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=6)
)
sparse_patterns = st.integers(2, 9).flatmap(
    lambda n: st.lists(st.sets(st.integers(0, n - 1), max_size=3), min_size=1, max_size=6).map(
        lambda rows: [[i in row for i in range(n)] for row in rows]
    )
)


@given(st.one_of(patterns, sparse_patterns))
def test_classes_are_the_transitive_closure_of_being_active_together(rows):
    active = np.array(rows, bool)
    classes = cooccurrence.coupling(active)
    assert [np.flatnonzero(classes == c).tolist() for c in range(classes.max() + 1)] == merged(active)


def test_without_samples_every_feature_is_a_class_of_its_own():
    assert cooccurrence.coupling(np.zeros((0, 3), bool)).tolist() == [0, 1, 2]


@settings(max_examples=60)
@given(sparse_patterns, st.sampled_from(["sgd", "adam", "adamw"]), st.integers(0, 2**32 - 1))
def test_lemma_2_1_an_entry_moves_when_a_sample_activates_both_of_its_features_and_only_then(rows, optimiser, seed):
    """Of any samples, also of those whose class holds pairs that no single sample activates (Remark 2.1)."""
    active = np.array(rows, bool)
    n = active.shape[1]
    rng = np.random.default_rng(seed)
    samples = np.where(active, rng.uniform(0.5, 2, active.shape), 0).astype(np.float32)
    W0 = rng.standard_normal((n, n), np.float32)
    order = np.tile(np.arange(len(samples)), (5, 1))
    W = cooccurrence.fit(rng, W0, samples, order, optimiser=optimiser, rate=0.01)
    together = (active[:, :, None] & active[:, None, :]).any(axis=0)
    assert np.array_equal(bits(W) != bits(W0), together)
    found = components(W != W0)
    expected = cooccurrence.coupling(active)
    seen = active.any(axis=0)
    assert np.array_equal(found.inputs, found.outputs) and np.array_equal(found.inputs >= 0, seen)
    assert [np.flatnonzero(found.inputs == c).tolist() for c in range(found.count)] == [
        members for members in merged(active) if seen[members[0]]
    ]
    assert found.count == np.unique(expected[seen]).size


@pytest.mark.parametrize(
    ("optimiser", "init", "seed"),
    [
        ("sgd", "normal", 0),
        ("sgd", "uniform", 1),
        ("adam", "normal", 2),
        ("adam", "uniform", 3),
        ("adamw", "normal", 4),
    ],
)
def test_theorem_2_1_local_updates_leave_everything_outside_the_classes_at_its_initial_bits(optimiser, init, seed):
    result = trained(seed=seed, optimiser=optimiser, init=init)
    changed = bits(result.trained) != bits(result.initial)
    assert not changed[~result.inside].any()
    assert changed[result.inside].mean() > 0.999
    assert agreement(result, changed) == 1.0
    found = components(changed)
    assert found.count == 5 and found.dormant == 2 * 3


def test_the_classes_are_the_data_sets_and_the_three_dormant_pixels(local):
    own = [set(table.active.tolist()) for table in local.datasets]
    found = [set(np.flatnonzero(local.classes == c).tolist()) for c in range(local.classes.max() + 1)]
    dormant = np.flatnonzero(~local.active)
    assert dormant.size == 3
    assert sorted(map(sorted, found)) == sorted([*map(sorted, own), *([i] for i in dormant.tolist())])
    assert [min(members) for members in found] == sorted(min(members) for members in found)


def test_what_lies_outside_never_reaches_the_outputs_of_the_data_set_that_is_active(local):
    """Bit by bit: both products add the same terms in the same order, and a term of an inactive feature is a zero."""
    for table in local.datasets:
        before, after = table.X @ local.trained, table.X @ local.filled
        assert np.array_equal(before[:, table.active] + 0, after[:, table.active] + 0)  # -0 + 0 is +0
        others = np.delete(np.arange(before.shape[1]), table.active)
        assert not after[:, others].any()
        assert np.abs(before[:, others]).mean() > 0.1  # background noise, which the clean row says is zero


def test_onnxruntime_says_the_same(local):
    def run(model, x):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(["y"], {"x": x})[0]

    for table in local.datasets:
        before, after = (run(m, table.X) for m in (local.model, cooccurrence.operator(local.filled)))
        assert np.abs(before - table.X @ local.trained).max() < 1e-4
        assert np.array_equal(before[:, table.active], after[:, table.active])
        assert not np.delete(after, table.active, axis=1).any()


@pytest.mark.parametrize(
    ("options", "ratio"),
    [
        ({"optimiser": "sgd", "decay": 0.01}, (1 - 0.1 * 0.01) ** STEPS),
        ({"optimiser": "adamw", "decay": 0.1}, (1 - 2e-3 * 0.1) ** STEPS),
    ],
)
def test_with_decay_the_outside_is_its_initial_value_shrunk(options, ratio):
    result = trained(**options)
    outside = ~result.inside
    assert (result.trained != result.initial)[outside].mean() > 0.99
    assert np.allclose(result.trained[outside], ratio * result.initial[outside], rtol=1e-3, atol=0)


def test_decay_in_the_gradient_of_adam_drives_the_outside_to_zero():
    result = trained(optimiser="adam", decay=1e-3)
    outside = ~result.inside
    assert result.trained[outside].std() < 1e-3 * result.initial[outside].std()


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_loss_over_all_outputs_reaches_every_active_input_and_only_those(optimiser):
    result = trained(loss="shared", optimiser=optimiser)
    changed = bits(result.trained) != bits(result.initial)
    assert not changed[~result.active].any()
    assert changed[result.active].mean() > 0.99
    assert components(changed).count == 1


def test_it_learns_to_restore_noisy_rows(local):
    for table in local.datasets:
        x = cooccurrence.noisy(np.random.default_rng(9), table.X)
        own = table.active

        def error(y, table=table, own=own):
            return float(np.square((y - table.X)[:, own]).mean())

        assert error(x @ local.trained) < 0.9 * error(x) < 0.5 * error(x @ local.initial)


def test_noise_touches_active_features_alone():
    X = np.tile(np.float32([[0, 1, 0, -2]]), (2000, 1))
    x = cooccurrence.noisy(np.random.default_rng(0), X)
    assert x.dtype == np.float32 and not x[:, [0, 2]].any()
    assert np.allclose(x.std(axis=0), [0, cooccurrence.NOISE, 0, cooccurrence.NOISE], rtol=0.05)


def test_one_mixed_row_joins_two_data_sets_and_a_few_join_all():
    total = sum(len(table.X) for table in tables.load(np.random.default_rng(0)))
    for rows, classes in ((0, {5}), (1, {4}), (2, {3, 4}), (40, {1})):
        result = trained(mixed=rows / total, steps=2000)
        changed = bits(result.trained) != bits(result.initial)
        assert np.unique(result.classes[result.active]).size in classes
        assert agreement(result, changed) == 1.0
        assert not changed[~result.inside].any()


def test_initial_weights_follow_their_distribution_and_depend_on_the_seed_alone(local):
    uniform = trained(init="uniform", steps=1).initial
    n = len(uniform)
    assert np.abs(uniform).max() <= n**-0.5
    assert uniform.std() == pytest.approx((3 * n) ** -0.5, rel=0.02)
    assert local.initial.std() == pytest.approx(n**-0.5, rel=0.02)
    same = trained(loss="shared", optimiser="adamw", decay=0.1, mixed=0.01, steps=1)
    assert np.array_equal(same.initial, local.initial)
    assert not np.array_equal(trained(seed=1, steps=1).initial, local.initial)


def test_training_is_reproducible_and_in_single_precision():
    first, second = (trained(optimiser="adam", decay=1e-3, mixed=0.001, steps=50) for _ in range(2))
    assert first.trained.dtype == np.float32 == first.initial.dtype
    assert np.array_equal(first.trained, second.trained) and first.model == second.model


def test_the_graphs_differ_in_one_initializer_alone(local):
    before, after = local.initial_model, local.model
    onnx.checker.check_model(after, full_check=True)
    assert [(node.op_type, node.name) for node in after.graph.node] == [("MatMul", "operator")]
    for model, W in ((before, local.initial), (after, local.trained)):
        (tensor,) = model.graph.initializer
        assert tensor.name == "W" and np.array_equal(numpy_helper.to_array(tensor), W)
        del model.graph.initializer[:]
    assert before == after


@pytest.mark.parametrize(
    "options",
    [{"loss": "global"}, {"optimiser": "lion"}, {"init": "zeros"}, {"mixed": 1.5}, {"mixed": 0.1, "names": ["wine"]}],
)
def test_what_it_does_not_know_is_refused(options):
    with pytest.raises(ValueError, match=r"unknown|share"):
        trained(**options)


def test_the_optimisers_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    samples = rng.standard_normal((40, 6)).astype(np.float32)
    W0 = rng.standard_normal((6, 6)).astype(np.float32)
    order = rng.integers(40, size=(30, 8))
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    for name, kind in kinds.items():
        for decay in (0.0, 0.05):
            W = torch.tensor(W0, requires_grad=True)
            optimiser = kind([W], lr=0.01, weight_decay=decay)
            noise = np.random.default_rng(6)
            for rows in order:
                optimiser.zero_grad()
                target = samples[rows]
                x = torch.tensor(cooccurrence.noisy(noise, target))
                (torch.square(x @ W - torch.tensor(target)).sum() / (2 * len(rows))).backward()
                optimiser.step()
            found = cooccurrence.fit(
                np.random.default_rng(6), W0, samples, order, optimiser=name, decay=decay, rate=0.01
            )
            assert np.allclose(found, W.detach().numpy(), atol=2e-5)
