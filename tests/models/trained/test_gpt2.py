import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from scission.models.trained import gpt2


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpt2") / "gpt2.onnx"
    gpt2.build(np.random.default_rng(0), path, layers=2, width=128, vocabulary=101)
    return path


def logits(path, ids):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": ids})[0]


def test_later_tokens_change_nothing_before_them(path):
    ids = np.random.default_rng(1).integers(0, 101, (2, 9))
    other = ids.copy()
    other[:, 5] = (other[:, 5] + 1) % 101
    before, after = logits(path, ids), logits(path, other)
    assert before.shape == (2, 9, 101)
    changed = np.abs(before - after).max((0, 2))
    assert (changed[:5] <= 1e-6).all() and (changed[5:] > 1e-4).all()


def test_it_agrees_with_transformers(path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=101, n_embd=128, n_layer=2, n_head=2)
    twin = transformers.GPT2LMHeadModel(config).eval()
    weights = {t.name: torch.tensor(numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
    state = {f"transformer.{name}": value for name, value in weights.items()}
    wanted = {
        name.replace("transformer.h.", "transformer.h").replace("wte.weight", "wte").replace("wpe.weight", "wpe"): name
        for name in twin.state_dict()
        if name != "lm_head.weight"
    }
    twin.load_state_dict({name: state[ours] for ours, name in wanted.items()}, strict=False)
    ids = np.random.default_rng(2).integers(0, 101, (2, 12))
    with torch.no_grad():
        expected = twin(torch.tensor(ids)).logits.numpy()
    assert np.abs(logits(path, ids) - expected).max() <= 1e-4


def test_parameters_are_counted_as_in_the_paper(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    width, layers, vocabulary = 128, 2, 101
    weights = sum(np.prod(t.dims) for t in model.graph.initializer if t.data_type == 1 and len(t.dims))
    assert weights == (vocabulary + 1024) * width + layers * (12 * width**2 + 13 * width) + 2 * width


def test_a_width_that_heads_do_not_fill_is_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of the head size"):
        gpt2.build(np.random.default_rng(0), tmp_path / "m.onnx", width=100)
