import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scission.runtime.calibrate.dataset import Labelled  # noqa: E402
from scission.runtime.retrain.objective import Objective  # noqa: E402
from scission.runtime.retrain.options import RetrainOptions  # noqa: E402
from scission.runtime.retrain.samples import Samples  # noqa: E402
from scission.runtime.retrain.training import Training  # noqa: E402


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(4, 4))

    def observe(self, names, x):
        return (x @ self.weight,)


def samples(seed, count=16):
    x = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    held = Labelled(samples=count, arrays={"x": x}, shared={}, targets=2 * x, batch=4, exact=False)
    return Samples(held, ())


def test_what_is_done_after_each_step_holds_at_every_look():
    layer, seen = Layer(), []

    def cut(step):
        seen.append(step)
        layer.weight.data.tril_()

    objective = Objective(loss="mse", about=0, probabilities=False, taught=())
    options = RetrainOptions(steps=30, every=10, patience=9, rate=0.1)
    state, _ = Training(layer, objective, samples(0), samples(1), options, None, "", after=cut)()
    assert seen == list(range(1, 31)) and [look.step for look in state.looks] == [0, 10, 20, 30]
    assert not layer.weight.triu(1).any() and layer.weight.diagonal().min() > 1
    assert all(not weights["weight"].triu(1).any() for weights in (state.weights, state.best))
