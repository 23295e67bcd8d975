import numpy as np
import onnx
import oracles
import pytest

from scission.models.planted.branches import ENDS, SOURCES, Repeated, repeated


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("end", ENDS)
def test_every_copy_is_there_and_the_model_runs(source, end):
    what = Repeated(source=source, end=end, watched=True)
    made = repeated(np.random.default_rng(0), what)
    onnx.checker.check_model(made.model)
    assert {name for one in made.products for name in one} <= set(oracles.node_names(made.model))
    shape = {"shared": (2, 4), "slices": (2, 12), "split": (2, 12)}.get(source, (2, 3, 4))
    assert oracles.run(made.model, {"x": np.ones(shape, np.float32)})


def test_equal_copies_share_their_weights():
    own, shared = (repeated(np.random.default_rng(0), Repeated(equal=equal)).model for equal in (False, True))
    assert len(shared.graph.initializer) < len(own.graph.initializer)
