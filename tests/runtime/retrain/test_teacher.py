import numpy as np
import pytest
from reference import model, node
from residual_networks import residual

torch = pytest.importorskip("torch")

from scission import RetrainError, Trials  # noqa: E402
from scission.runtime.retrain import teacher as teaching  # noqa: E402
from scission.runtime.retrain.teacher import teacher_of  # noqa: E402
from scission.torch import RetrainOptions, retrain, to_torch  # noqa: E402

TRIALS = Trials(threads=1, provider="cpu")
X = np.random.default_rng(0).standard_normal((96, 16)).astype(np.float32)


def says(source, module, samples=96, inside=True):
    with teacher_of(source, module, {"x": X[:8]}, samples, inside, TRIALS) as found:
        return found, found({"x": X[:8]})


def test_it_says_what_the_model_computes_on_the_way():
    proto = residual()
    module = to_torch(proto)
    found, told = says(proto, module)
    assert (found.outputs, found.regions) == (("y",), ("n0", "n1", "n2"))
    made = module.observe(found.regions, x=torch.from_numpy(X[:8]))
    for name, tensor in zip(found.names, made, strict=True):
        np.testing.assert_allclose(told[name], tensor.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert says(proto, module, inside=False)[0].names == ("y",)


def test_of_more_than_can_be_kept_some_layers_are_learnt(monkeypatch):
    proto = residual()
    monkeypatch.setattr(teaching, "MOST", 96 * 4 * (4 + 2 * 16))  # the output, and two of the three
    assert says(proto, to_torch(proto))[0].regions == ("n0", "n2")
    monkeypatch.setattr(teaching, "MOST", 0)
    assert says(proto, to_torch(proto))[0].regions == ()


def test_a_model_of_other_outputs_is_none():
    other = model([node("Relu", "x", "z")], {"x": ["n", 16]}, {"z": ["n", 16]})
    with pytest.raises(RetrainError, match="no output of floating-point numbers called y"):
        says(other, to_torch(residual()))


@pytest.mark.parametrize("regions", [True, False])
def test_layers_are_learnt_where_that_is_asked_for(regions):
    """Another network of the same shape: what is between its layers comes close to the teacher's only when asked."""
    student, original = residual(seed=1), residual(seed=0)
    options = RetrainOptions(steps=150, rate=3e-3, every=150, bench=False, regions=regions, schedule="linear")
    done = retrain(student, None, options, data={"x": X}, teacher=original, trials=TRIALS)
    assert done.ok and done.best.loss < done.looks[0].loss

    def inside(proto):
        return to_torch(proto).observe(("n0",), x=torch.from_numpy(X))[1].detach()

    off = [float((inside(one) - inside(original)).square().mean()) for one in (student, done.model)]
    assert (off[1] < off[0] / 2) == regions
