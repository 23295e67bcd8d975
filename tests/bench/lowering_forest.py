"""A compiled forest before and after splitting, beside two engines that were made for forests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, reported
from raced import FOLDER, Setting, bound, faster, made, require_close, rewritten, turns
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from scission.models.networks import forest
from scission.runtime.ort.session import open_session

BATCH = 256


def forests(setting: Setting) -> Iterator[Figure]:
    """100 trees of 100 leaves, blocks in order and with its hidden units shuffled, 256 rows of digits."""
    trained = forest.train(np.random.default_rng(0), 100, 100).set_params(n_jobs=setting.threads)
    feeds = {"x": load_digits().data[:BATCH].astype(np.float32)}
    trees = FOLDER / "forest-trees.onnx"
    onnx.save(forest.to_ensemble(trained), trees)
    expected = open_session(trees, provider="cpu").run(feeds)
    for shuffle in (False, True):
        row = f"forest 100x100{', shuffled' * shuffle}"
        path = made(f"forest-{shuffle}.onnx", lambda p, s=shuffle: build(p, s))
        pair = rewritten(path, feeds, BATCH, setting)
        found = open_session(pair.split, provider="cpu").run(feeds)
        for name in expected:
            require_close(f"{trees}: {name}", found[name], expected[name])
        require_close(f"{row} by scikit-learn", found["probabilities"], predicted(trained, feeds["x"]))
        speedup = faster(pair, feeds, setting, seconds=8)
        yield at_least(row, f"batch {BATCH}, {pair.lowerings}: speed-up", speedup, 40)
        seconds = turns(
            {
                "scission": bound(pair.split, feeds, setting),
                "ONNX Runtime's TreeEnsembleClassifier": bound(trees, feeds, setting),
                "scikit-learn's predict_proba": lambda: trained.predict_proba(feeds["x"]),
            }
        )
        for name, taken in seconds.items():
            yield reported(row, f"batch {BATCH}, {name}: ms", taken * 1e3)


def build(path: Path, shuffle: bool) -> None:
    onnx.save(forest.build(np.random.default_rng(0), 100, 100, shuffle=shuffle).model, path)


def predicted(trained: RandomForestClassifier, x: np.ndarray) -> np.ndarray:
    return trained.predict_proba(x).astype(np.float32)
