"""Answers of the Open Inference Protocol: JSON, and behind it the bytes of outputs that are asked for so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .datatypes import BYTES, dtype_of
from .request import InferRequest

__all__ = ["HEADER_LENGTH", "Answer", "answer"]

Array = npt.NDArray[Any]

HEADER_LENGTH = "Inference-Header-Content-Length"
JSON, BINARY = "application/json", "application/octet-stream"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What goes back: a body, what it is, and further headers of HTTP; parts: what was called for it, for the log."""

    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()


def answer(request: InferRequest, outputs: Mapping[str, Array], types: Mapping[str, str], model: str) -> Answer:
    """Write the outputs of a model as the request wants them; types: the protocol's type of each output.

    Numbers that are not finite are NaN, Infinity and -Infinity in JSON, as Python reads and writes them.
    """
    told, chunks = [], []
    for wanted in request.wanted:
        array, kind = np.asarray(outputs[wanted.name]), types[wanted.name]
        entry: dict[str, Any] = {"name": wanted.name, "datatype": kind, "shape": list(array.shape)}
        if wanted.binary:
            chunks.append(_bytes(array, kind))
            entry["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            entry["data"] = _listed(array, kind)
        told.append(entry)
    head = {"model_name": model, "model_version": "1", **({"id": request.id} if request.id is not None else {})}
    text = json.dumps({**head, "outputs": told}).encode()
    if not chunks:
        return Answer(text)
    return Answer(b"".join([text, *chunks]), BINARY, {HEADER_LENGTH: str(len(text))})


def _listed(array: Array, kind: str) -> list[Any]:
    flat = array.ravel()
    if kind == BYTES:
        return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in flat]
    return list(flat.astype(np.float32).tolist() if kind == "BF16" else flat.tolist())


def _bytes(array: Array, kind: str) -> bytes:
    dtype = dtype_of(kind)
    if dtype is not None:
        return array.astype(dtype, copy=False).tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode("utf-8", "replace") for text in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
