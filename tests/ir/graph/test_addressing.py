import numpy as np
import oracles
import pytest

import scission
from scission.models.matrix import weight
from scission.runtime.weights.source import AmbiguousError, WeightError, find_weight

W, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)


def model_of(*weights):
    """Products one after another, each with the weight of its name."""
    ends = ["x", *(f"h{index}" for index in range(len(weights) - 1)), "y"]
    nodes = [
        ("MatMul", [before, name], [after], {"name": f"/layers.{index}/MatMul"})
        for index, (name, before, after) in enumerate(zip(weights, ends[:-1], ends[1:], strict=True))
    ]
    constants = {name: W * (index + 1) for index, name in enumerate(dict.fromkeys(weights))}
    return oracles.graph(nodes, {"x": ["m", 48]}, {"y": ["m", 48]}, constants)


@pytest.mark.parametrize("name", ["/layers.1/MatMul", "second.weight"])
def test_a_weight_names_its_operator(name):
    model = model_of("first.weight", "second.weight")
    assert scission.explain(model, name).node == "/layers.1/MatMul"
    np.testing.assert_array_equal(find_weight(model, name).matrix, W * 2)
    assert scission.structure(model, name).size == 48 and scission.cover(model, name).components == 4


def test_a_weight_of_several_operators_asks_for_one_of_them():
    model = model_of("tied", "tied")
    with pytest.raises(scission.UnknownNodeError, match=r"several nodes read .tied.; name one of /layers\.0/MatMul"):
        scission.explain(model, "tied")
    with pytest.raises(AmbiguousError) as caught:
        find_weight(model, "tied")
    assert [choice.rpartition(":")[2] for choice, _ in caught.value.choices] == ["/layers.0/MatMul", "/layers.1/MatMul"]


def test_a_name_of_nothing():
    model = model_of("first.weight")
    with pytest.raises(scission.UnknownNodeError, match=r"no node 'first\.weigh'; the nearest is first\.weight"):
        scission.explain(model, "first.weigh")
    with pytest.raises(WeightError, match="no linear 'nothing'"):
        find_weight(model, "nothing")
