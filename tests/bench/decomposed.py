"""Parts of the bench of training about models that are made smaller: trained against the original, and judged."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import Figure, at_least, at_most, reported
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from scission import Samples, SampleSets, Trials, decompose
from scission.ir.io.save import save as save_model
from scission.models.trained.minilm import batches, export, found_among, tokens
from scission.models.trained.prose import pairs, prose
from scission.runtime.decompose.removal.method import Removal
from scission.runtime.ort.session import open_session

__all__ = ["distilled", "kept"]

COSINE = "python:scission.models.trained.minilm.sentence_cosine"
JUDGING, CHOOSING, FITTED, TAUGHT = 1_000, 400, 800, 30_000
PACKAGES, SEARCHED = ("numpy", "scipy", "torch", "transformers"), "networkx"
TARGET, STEPS, RATE = 1.7, 2_500, 5e-4
SHARES = tuple(round(0.5 + 0.01 * step, 2) for step in range(16))  # of which the first that is fast is trained
PAIRS, NEAREST = 1_000, 10
HIDDEN, ROUNDS, LIMITS = 1024, 5, (0.005, 0.01, 0.02, 0.05)


def masked(texts: Sequence[str]) -> Samples:
    """Feeds with the masks that the metric takes as labels."""
    feeds = batches(texts)
    return Samples(feeds=feeds, labels=[feed["attention_mask"] for feed in feeds])


def embedded(model: Path, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A row for each text, in their order."""
    session, given = open_session(model, provider="cpu"), tokens(texts)
    lengths, rows = given["attention_mask"].sum(axis=1), []
    order = np.argsort(lengths, kind="stable")
    for place in order.tolist():
        feed = {name: array[[place], : lengths[place]] for name, array in given.items()}
        rows.append(session.run(feed)["last_hidden_state"].mean(axis=1)[0])
    return np.stack(rows)[np.argsort(order)]


def found_by(model: Path) -> float:
    """How often the sentence that goes on is among the nearest to the one that begins."""
    begins, ends = zip(*pairs(PAIRS, packages=[SEARCHED]), strict=True)
    return found_among(embedded(model, begins), embedded(model, ends), NEAREST)


def distilled() -> Iterator[Figure]:
    """MiniLM at 1.7x in half an hour."""
    texts = np.array(prose(JUDGING + CHOOSING + FITTED + TAUGHT, packages=PACKAGES), object)
    ends = np.cumsum([JUDGING, CHOOSING, FITTED])
    judged, chosen, fitted, taught = (masked([str(one) for one in part]) for part in np.split(texts, ends))
    with tempfile.TemporaryDirectory() as folder:
        path, smaller = Path(folder) / "minilm.onnx", Path(folder) / "smaller.onnx"
        export(path)
        began = time.perf_counter()
        found = decompose(
            path,
            SampleSets(calibration=fitted, selection=chosen, judgement=judged, training=taught),
            metric=COSINE,
            target=TARGET,
            train=STEPS,
            rate=RATE,
            methods=[Removal(shares=SHARES)],
            trials=Trials(provider="cpu", threads=os.cpu_count()),
        )
        minutes, last = (time.perf_counter() - began) / 60, found.tried[-1]
        save_model(found.original, last.candidate.model, smaller)
        hits = [found_by(one) for one in (path, smaller)]
    learnt = last.candidate.learning
    name = f"MiniLM, removal, {STEPS:,} steps on {TAUGHT:,} sentences"
    yield at_most(name, "minutes", minutes, 30)
    yield at_least(name, "times faster", last.speedup, TARGET)
    yield reported(name, "steps of training, 0 where nothing was fast enough", learnt.step if learnt else 0)
    for one in found.tried[-2:]:
        when = "trained" if one.candidate.learning else "not trained"
        yield reported(f"{name}, {when}", "sentence cosine on samples to choose by", one.measured.metric)
    measured = 0.0 if found.judged is None else found.judged.measured.metric
    yield at_least(name, f"sentence cosine on {JUDGING:,} sentences that took no part", measured, 0.95)
    what = f"of {PAIRS:,} docstrings of {SEARCHED} the sentence that goes on is among {NEAREST} found, %"
    yield reported("MiniLM itself", what, 100 * hits[0])
    yield reported(name, what, 100 * hits[1])
    yield at_least(name, f"retrieval@{NEAREST} as a share of the original's", hits[1] / hits[0], 0.95)


def classifier(X: Any, y: Any) -> Any:
    """A trained network for digits, as ONNX: wide layers, of which fewer units would do."""
    from reference import model, node

    fitted = MLPClassifier((HIDDEN, HIDDEN), max_iter=30, random_state=0).fit(X, y)
    constants = {f"W{place}": one.astype(np.float32) for place, one in enumerate(fitted.coefs_)}
    constants |= {f"b{place}": one.astype(np.float32) for place, one in enumerate(fitted.intercepts_)}
    nodes = [
        node("Gemm", "x W0 b0", "g", "first"),
        node("Relu", "g", "r"),
        node("Gemm", "r W1 b1", "h", "second"),
        node("Relu", "h", "s"),
        node("Gemm", "s W2 b2", "y", "last"),
    ]
    return model(nodes, {"x": ["n", 64]}, {"y": ["n", 10]}, constants)


def kept() -> Iterator[Figure]:
    """Budgets on samples that took no part."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    half = len(X) // 2
    made = classifier(X[:half], y[:half])
    count, broken, silent, worst = 0, 0, 0, 0.0
    for seed in range(ROUNDS):
        for limit in LIMITS:
            trials, budget = Trials(provider="cpu", threads=1, seconds=2, seed=seed), f"argmax<={limit}"
            found = decompose(made, {"x": X[half:]}, labels=y[half:], budget=budget, methods=[Removal()], trials=trials)
            if found.chosen is None or found.judged is None:
                continue
            count += 1
            broken += not found.judged.holds
            worst = max(worst, found.judged.exceeded)
            told = found.to_dict()["judged"]
            silent += (found.judged.measured.drop > limit) != (not found.ok and told["exceeded"] > 0)
    name = f"digits, 64-{HIDDEN}-{HIDDEN}-10, {ROUNDS} divisions of samples, budgets of {len(LIMITS)} sizes"
    yield at_least(name, "candidates kept within their budget", count, 1)
    yield reported(name, "of these the budget does not hold on samples that took no part", broken)
    yield reported(name, "accuracy lost beyond the budget there, at most, points", 100 * max(worst, 0.0))
    yield at_most(name, "results that do not say so", silent, 0)
