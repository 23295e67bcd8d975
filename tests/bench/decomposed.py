"""Parts of the bench of training about models that are made smaller: by each method, trained against the original, and
judged."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import next_byte
import numpy as np
import numpy.typing as npt
import torch
from digits_blocks import three_layers
from figures import Figure, at_least, at_most, reported
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from scission import DecomposeResult, Samples, SampleSets, Trials, decompose
from scission.ir.io.load import load as load_model
from scission.ir.io.save import save as save_model
from scission.ir.reason import Cause
from scission.models.trained.minilm import batches, export, found_among, sentences, tokens
from scission.models.trained.prose import pairs, prose
from scission.runtime.decompose.experts.method import Experts
from scission.runtime.decompose.projection.method import Projection
from scission.runtime.decompose.removal.method import Removal
from scission.runtime.decompose.task.goal import parse_goal
from scission.runtime.decompose.task.method import Declined, DecomposeTask
from scission.runtime.ort.session import open_session

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

from projectable import correlated, planted  # noqa: E402

__all__ = ["distilled", "experts", "kept", "projected", "removal"]

COSINE = "python:scission.models.trained.minilm.sentence_cosine"
CALIBRATING, CHOOSING, JUDGING, FASTER = 2_000, 400, 1_000, 1.25
FITTED, TAUGHT = 800, 30_000
PLANTED, RANK, BLOCKS, FEW, LOST = 512, 16, 8, (300, 100, 200), 0.02
PACKAGES, SEARCHED = ("numpy", "scipy", "torch", "transformers"), "networkx"
TARGET, STEPS, RATE = 1.7, 2_500, 5e-4
SHARES = tuple(round(0.5 + 0.01 * step, 2) for step in range(16))  # of which the first that is fast is trained
PAIRS, NEAREST = 1_000, 10
HIDDEN, ROUNDS, LIMITS = 1024, 5, (0.005, 0.01, 0.02, 0.05)


def masked(texts: Sequence[str]) -> Samples:
    """Feeds with the masks that the metric takes as labels."""
    feeds = batches(texts)
    return Samples(feeds=feeds, labels=[feed["attention_mask"] for feed in feeds])


def sentence_sets(fitted: int, choosing: int, judging: int) -> SampleSets:
    """So many sentences for MiniLM, no one of them in two sets."""
    texts = prose(fitted + choosing + judging)
    return SampleSets(
        calibration=masked(texts[:fitted]),
        selection=masked(texts[fitted : fitted + choosing]),
        judgement=masked(texts[fitted + choosing :]),
    )


def removal() -> Iterator[Figure]:
    """MiniLM at 1.25x: the cosine of sentences on samples that took no part, and what it took to get there."""
    sets = sentence_sets(CALIBRATING, CHOOSING, JUDGING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        export(path)
        began = time.perf_counter()
        found = decompose(
            path,
            sets,
            metric=COSINE,
            target=FASTER,
            methods=[Removal()],
            trials=Trials(provider="cpu", threads=1),
        )
    name = f"MiniLM, removal, {CALIBRATING:,} sentences"
    yield at_most(name, "minutes", (time.perf_counter() - began) / 60, 10)
    best = max(found.tried, key=lambda one: one.speedup)
    yield at_least(name, "times faster", (found.chosen or best).speedup, FASTER)
    for one in found.tried:
        yield reported(f"{name}, {one.latency.figure}", "sentence cosine on samples to choose by", one.measured.metric)
    judged = found.judged.measured.metric if found.judged is not None else 0.0
    yield at_least(name, f"sentence cosine on {JUDGING:,} sentences that took no part", judged, 0.98)


def experts() -> Iterator[Figure]:
    """Hidden units as experts: a quarter of them active at most, or a refusal."""
    sets, trials = next_byte.sample_sets(), Trials(provider="cpu", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "next_byte.onnx"
        for penalty in (1e-3, 0.0):
            made = next_byte.trained(penalty)
            next_byte.export(made, path)
            with torch.no_grad():
                made(torch.from_numpy(sets.judgement.feeds[0]["x"]))
            name = f"next byte, {'activations penalised' if penalty else 'no penalty'}"
            yield reported(name, "hidden units that are active, %", 100 * float((made.hidden > 0).float().mean()))
            began = time.perf_counter()
            found = decompose(path, sets, methods=[Experts()], budget="argmax<=0.005", trials=trials)
            yield reported(name, "minutes", (time.perf_counter() - began) / 60)
            yield from experts_of(name, found, penalty > 0)
        export(path)
        given = Samples(feeds=batches(sentences(8)))
        (only,) = Experts().propose(
            DecomposeTask(
                model=load_model(path), calibration=given, selection=given, goal=parse_goal(target=2), trials=trials
            )
        )
        kept_as_is = isinstance(only, Declined) and only.reason.cause is Cause.NOT_SPARSE
        yield at_least("MiniLM", "declined, as its hidden units are never zero", float(kept_as_is), 1)


def experts_of(name: str, found: DecomposeResult, aimed: bool) -> Iterator[Figure]:
    """What was tried, and what was kept, beside the target where there is one."""
    for one in found.tried:
        yield reported(f"{name}, {one.latency.figure}", "accuracy lost on samples to choose by, %", 100 * one.drop)
    speedup = found.chosen.speedup if found.chosen is not None else 1.0
    lost = found.judged.measured.drop / found.judged.measured.baseline if found.judged is not None else 0.0
    what = "accuracy lost on sentences that took no part, % of it"
    if aimed:
        yield at_least(name, "times faster", speedup, 1.5)
        yield at_most(name, what, 100 * lost, 1)
    else:
        yield reported(name, "times faster", speedup)
        yield reported(name, what, 100 * lost)


def projected() -> Iterator[Figure]:
    """Weights that are blocks, products of a low rank and noise; and MiniLM's, beside removal."""
    one = Trials(provider="cpu", threads=1)
    data = {"x": np.concatenate([feed["x"] for feed in correlated(PLANTED, count=64)])}
    known = planted(PLANTED, 2 * PLANTED, rank=RANK, blocks=BLOCKS)
    found = decompose(known, data, methods=[Projection()], budget="cosine<=0.01", trials=one)
    name = f"planted, {PLANTED} features, rank {RANK}, {BLOCKS} blocks"
    chosen = found.chosen
    weights = {} if chosen is None else {weight.node: weight for weight in chosen.candidate.projected}
    for where, form in (("up", "block_low_rank"), ("down", "low_rank")):
        weight = weights.get(where)
        right = weight is not None and weight.form == form
        yield at_most(
            f"{name}, {where}", f"rank beside the planted one, as {form}", abs(weight.rank - RANK) if right else RANK, 0
        )
        yield reported(
            f"{name}, {where}", "% of the multiply-adds", 100 * weight.share if weight is not None else 100.0
        )
    yield at_most(
        name, "cosine lost on samples that took no part", found.judged.measured.drop if found.judged else 1.0, 0.01
    )
    yield at_least(name, "times faster", chosen.speedup if chosen is not None else 1.0, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm.onnx"
        export(path)
        sets = sentence_sets(*FEW)
        for method in (Removal(), Projection()):
            began = time.perf_counter()
            found = decompose(path, sets, methods=[method], budget=f"{COSINE}<={LOST}", trials=one)
            name = f"MiniLM, {method.name}, {FEW[0]:,} sentences, {LOST:g} of the cosine"
            yield reported(name, "minutes", (time.perf_counter() - began) / 60)
            yield reported(name, "times faster within it", found.chosen.speedup if found.chosen is not None else 1.0)
            for tried in found.tried:
                yield reported(f"{name}, {tried.latency.figure}", "sentence cosine", tried.measured.metric)


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
    fitted = MLPClassifier((HIDDEN, HIDDEN), max_iter=30, random_state=0).fit(X, y)
    constants = dict(zip("ABCabc", [*fitted.coefs_, *fitted.intercepts_], strict=True))
    return three_layers({name: one.astype(np.float32) for name, one in constants.items()})


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
