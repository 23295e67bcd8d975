import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.errors import ScissionError
from scission.runtime.calibrate.dataset import Labelled, read_labelled, split
from scission.runtime.calibrate.sources.columns import LabelledError
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.session import open_session
from scission.runtime.ort.tensor_spec import TensorSpec


def spec(name, dtype, *shape):
    return TensorSpec(name=name, dtype=dtype, shape=shape)


X = spec("x", "float32", "batch", 3)
IDS = spec("ids", "int64", "batch", None)


def rows(count, width=3):
    return np.arange(count * width, dtype=np.float32).reshape(count, width)


def saved(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def made(count, batch=4, exact=False, labels=True):
    return Labelled(
        samples=count,
        arrays={"x": rows(count)},
        shared={"t": np.float32(7)},
        targets=np.arange(count) if labels else None,
        batch=batch,
        exact=exact,
    )


def test_batches_hold_every_sample_once_in_order(tmp_path):
    path = saved(tmp_path, x=rows(70), ids=np.arange(140, dtype=np.int32).reshape(70, 2), y=np.arange(70))
    found = read_labelled(path, [X, IDS])
    assert [len(feed["x"]) for feed in found.feeds] == [32, 32, 6] and found.samples == 70
    assert all(feed["ids"].dtype == np.int64 for feed in found.feeds)
    np.testing.assert_array_equal(np.concatenate([feed["x"] for feed in found.feeds]), rows(70))
    np.testing.assert_array_equal(np.concatenate(found.labels), np.arange(70))
    assert [len(part) for part in found.labels] == [32, 32, 6]
    assert len(read_labelled(path, [X, IDS], batch=100).feeds) == 1


def test_without_labels(tmp_path):
    found = read_labelled(saved(tmp_path, x=rows(3)), [X])
    assert found.labels is None and found.targets is None and len(found.feeds) == 1


@pytest.mark.parametrize("name", ["labels", "y"])
def test_labels_lie_beside_the_inputs_unless_the_model_wants_them(tmp_path, name):
    path = saved(tmp_path, x=rows(3), **{name: np.array([2, 0, 1])})
    assert read_labelled(path, [X]).targets.tolist() == [2, 0, 1]
    assert read_labelled(path, [X, spec(name, "int64", "batch")]).labels is None


def test_labels_of_their_own_file(tmp_path):
    path = saved(tmp_path, x=rows(3))
    for file, arrays in [("a.npz", {"labels": [0, 1, 2], "other": [9]}), ("b.npz", {"any": [0, 1, 2]})]:
        np.savez(tmp_path / file, **arrays)
        assert read_labelled(path, [X], tmp_path / file).targets.tolist() == [0, 1, 2]
    np.save(tmp_path / "c.npy", np.array([[0], [1], [2]]))
    assert read_labelled(path, [X], tmp_path / "c.npy").targets.shape == (3, 1)
    np.savez(tmp_path / "d.npz", one=[1], two=[2])
    with pytest.raises(LabelledError, match=r"d\.npz: which of the arrays \['one', 'two'\] holds the labels"):
        read_labelled(path, [X], tmp_path / "d.npz")
    with pytest.raises(InputError, match=r"none\.npy: there is no such file"):
        read_labelled(path, [X], tmp_path / "none.npy")
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"bad\.npy: cannot be read .*numpy\.save"):
        read_labelled(path, [X], tmp_path / "bad.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}, {}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy: cannot be read"):
        read_labelled(path, [X], tmp_path / "objects.npy")
    beside = saved(tmp_path, x=rows(3), y=np.zeros(3))
    with pytest.raises(LabelledError, match=r"data\.npz: labels are given twice, by \['y', '.*c\.npy'\]"):
        read_labelled(beside, [X], tmp_path / "c.npy")


def test_a_model_that_fixes_its_batch_gets_whole_batches(tmp_path):
    fixed = [spec("x", "float32", 2, 3), spec("m", "bool", 2)]
    found = read_labelled(saved(tmp_path, x=rows(6), m=np.ones(6, bool), y=np.arange(6)), fixed)
    assert found.exact and found.samples == 6 and [len(feed["m"]) for feed in found.feeds] == [2, 2, 2]
    assert [part.tolist() for part in found.labels] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(InputError, match=r"data\.npz: input 'x' has shape \(5, 3\), the model wants \(2, 3\)"):
        read_labelled(saved(tmp_path, x=rows(5), m=np.ones(6, bool)), fixed)
    with pytest.raises(LabelledError, match=r"data\.npz: the arrays hold different numbers of samples: .*'m': 4"):
        read_labelled(saved(tmp_path, x=rows(6), m=np.ones(4, bool)), fixed)
    mixed = [spec("x", "float32", 2, 3), spec("m", "bool", 1)]
    with pytest.raises(LabelledError, match="fixes different first dimensions"):
        read_labelled(saved(tmp_path, x=rows(4), m=np.ones(2, bool)), mixed)


def test_inputs_of_a_fixed_shape_are_shared_by_all_batches(tmp_path):
    specs = [X, spec("table", "float32", 2, 5), spec("t", "float32")]
    table = np.ones((2, 5), np.float32)
    found = read_labelled(saved(tmp_path, x=rows(40), table=table, t=np.float32(3)), specs)
    assert [(len(feed["x"]), feed["table"].shape, feed["t"].shape) for feed in found.feeds] == [
        (32, (2, 5), ()),
        (8, (2, 5), ()),
    ]
    with pytest.raises(LabelledError, match=r"'table' \(40, 5\) must have the shape that the model fixes"):
        read_labelled(saved(tmp_path, x=rows(40), table=np.ones((40, 5), np.float32), t=np.float32(3)), specs)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"\(missing: \['x', 'ids'\]\)"),
        ({"x": rows(2), "ids": np.zeros((2, 1), int), "z": [1]}, r"\(unknown: \['z'\]\)"),
        ({"x": rows(2), "ids": np.zeros((3, 1), int)}, r"different numbers of samples: \{'x': 2, 'ids': 3\}"),
        ({"x": rows(0), "ids": np.zeros((0, 1), int)}, "there are no samples"),
        (
            {"x": rows(2, 4), "ids": np.zeros((2, 1), int)},
            r"input 'x' has shape \(2, 4\), the model wants \(batch, 3\)",
        ),
        ({"x": rows(2), "ids": np.full((2, 1), 0.5)}, "'ids' is float64 and does not fit int64 without loss"),
        ({"x": rows(2), "ids": np.zeros((2, 1), int), "y": np.zeros(3)}, r"array 'y' has shape \(3,\) .* 2 samples"),
        ({"x": rows(2), "ids": np.zeros((2, 1), int), "y": np.zeros(())}, r"array 'y' has shape \(\)"),
        ({"x": rows(2), "ids": np.zeros((2, 1), int), "y": [0, 1], "labels": [0, 1]}, r"twice, by \['labels', 'y'\]"),
    ],
)
def test_errors_name_the_file_the_array_and_the_shape(tmp_path, arrays, message):
    path = saved(tmp_path, **arrays)
    with pytest.raises(ScissionError, match=f"data\\.npz.*{message}"):
        read_labelled(path, [X, IDS])


def test_a_batch_holds_something(tmp_path):
    with pytest.raises(LabelledError, match="at least one sample, got 0"):
        read_labelled(saved(tmp_path, x=rows(2)), [X], batch=0)


@settings(max_examples=50)
@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5), st.booleans())
def test_the_two_parts_are_a_partition_of_the_samples(count, share, seed, labels):
    whole = made(count, labels=labels)
    parts = split(whole, share, seed)
    taken = [part.arrays["x"][:, 0].tolist() for part in parts]
    assert sorted(taken[0] + taken[1]) == whole.arrays["x"][:, 0].tolist()
    assert [part.samples for part in parts] == [len(each) for each in taken] and min(map(len, taken)) >= 1
    assert abs(parts[0].samples - share * count) <= 1
    for part in parts:
        assert sum(len(feed["x"]) for feed in part.feeds) == part.samples
        assert all(feed["t"] == 7 and len(feed["x"]) <= 4 for feed in part.feeds)
        assert (part.labels is not None) is labels
        if labels:
            np.testing.assert_array_equal(np.concatenate(part.labels) * 3, part.arrays["x"][:, 0])
    again = split(whole, share, seed)
    assert [part.arrays["x"][:, 0].tolist() for part in again] == taken


def test_another_seed_makes_another_partition():
    assert len({tuple(split(made(40), 0.5, seed)[0].targets.tolist()) for seed in range(6)}) > 4


def test_whole_batches_stay_whole():
    tuning, held_back = split(made(20, exact=True), 0.3)
    assert (tuning.samples, held_back.samples) == (8, 12)
    assert all(len(feed["x"]) == 4 for part in (tuning, held_back) for feed in part.feeds)
    with pytest.raises(LabelledError, match="4 samples in batches of 4 cannot be split"):
        split(made(4, exact=True))


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_shares_that_leave_nothing(share):
    with pytest.raises(LabelledError, match="between 0 and 1"):
        split(made(10), share)


def test_one_sample_cannot_be_split():
    with pytest.raises(LabelledError, match="1 sample cannot be split in two"):
        split(made(1))


@pytest.mark.parametrize("first", ["m", 5])
def test_a_model_accepts_what_was_read(tmp_path, first):
    W = np.eye(3, dtype=np.float32)
    proto = oracles.graph(
        [("MatMul", ["x", "W"], ["out"], {"name": "n"})], {"x": [first, 3]}, {"out": [first, 3]}, {"W": W}
    )
    session = open_session(proto.SerializeToString())
    found = read_labelled(saved(tmp_path, x=rows(40), y=np.arange(40)), session.inputs, batch=16)
    for part in (found, *split(found, 0.5)):
        outputs = np.concatenate([session.run(feed)["out"] for feed in part.feeds])
        np.testing.assert_array_equal(outputs[:, 0], np.concatenate(part.labels) * 3)
