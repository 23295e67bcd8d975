import numpy as np
import pytest

pytest.importorskip("matplotlib")

from scission.ir.findings.formation import EdgeStructure, Formation, Look, WeightLook, to_runs
from scission.runtime.render.picture.formation import CELLS, WIDEST, _chosen, _colours, formation_picture


def run(tables, names=("layer",)):
    """A run in which features have these labels (looks, K + N)."""
    looks = []
    for step, labels in enumerate(np.array(tables), 1):
        half = labels.size // 2
        seen = EdgeStructure(edges=1, components=int(labels.max() + 1), giant=0.5, dormant=int((labels < 0).sum()))
        inputs, outputs = to_runs(labels[:half]), to_runs(labels[half:])
        weights = [
            WeightLook(name=name, shape=(half, labels.size - half), weight=seen, inputs=inputs, outputs=outputs)
            for name in names
        ]
        looks.append(Look(step=10 * step, seconds=float(step), took=0.1, weights=tuple(weights)))
    return Formation(tuple(looks))


def test_features_are_white_then_pale_then_in_the_colour_of_their_last_block():
    colours = _colours(np.array([[-1, 0, -1, -1], [0, 0, 1, -1], [0, 0, 0, -1]]))
    assert (colours[-1] == 1).all(), "what stays dormant comes last and stays white"
    first = colours[0]  # the feature that was awake first
    assert (colours[:3, -1] == first[-1]).all(), "one block, one colour"
    distance = (1 - colours).sum(axis=2)
    assert distance[0, 0] < distance[0, 1] < distance[0, 2], "the paler the smaller its component"
    assert (distance[1:3, 0] == 0).all()


@pytest.mark.parametrize("format_", ["svg", "png"])
def test_the_same_run_gives_the_same_picture(format_):
    table = [[-1, -1, 0, -1], [0, -1, 0, -1], [0, 1, 0, 1]]
    made = [formation_picture(run(table), "a run", format_) for _ in range(2)]
    assert made[0] == made[1] and made[0].startswith((b"<?xml", b"\x89PNG"))


def test_a_run_of_one_look_of_none_and_of_many_weights():
    names = [f"layer.{i}" for i in range(9)]
    told = formation_picture(run([[0, 0]], names), "many").decode()
    assert "layer.5" in told and "layer.6" not in told and "the first 6 of 9 weights" in told
    assert "no look yet" in formation_picture(Formation(()), "none").decode()


def test_features_that_were_not_kept_are_said_to_be_missing():
    seen = EdgeStructure(edges=1, components=1, giant=1.0, dormant=0)
    look = Look(step=1, seconds=0.0, took=0.0, weights=(WeightLook(name="w", shape=(2, 2), weight=seen),))
    assert "too many features" in formation_picture(Formation((look,)), "large").decode()


def test_no_more_looks_are_drawn_than_a_picture_holds():
    assert _chosen(5, 9) == [0, 1, 2, 3, 4] and _chosen(1, 1 << 14) == [0]
    for looks, features in ((10**6, 3), (10**6, 1 << 14), (2, 1 << 30)):
        at = _chosen(looks, features)
        assert at[0] == 0 and at[-1] == looks - 1 and len(at) <= max(2, min(WIDEST, CELLS // features))
