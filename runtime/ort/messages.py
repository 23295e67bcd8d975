"""What ONNX Runtime and the checker of onnx say in words alone: searched in this place alone."""

from __future__ import annotations

from typing import Any

from ...ir.errors import Remedy, option

__all__ = [
    "breaks_specification",
    "explain",
    "first_line",
    "lacks_kernel",
    "lacks_locale",
    "lacks_operator",
    "lacks_value",
]

NO_KERNEL = "Could not find an implementation"  # of an operator that it knows, for these types on this provider
LOCALE = "Failed to construct locale"
UNREGISTERED = ("No Op registered", "is not a registered function")
SPECIFICATION = ("has input size", "has output size", "Unrecognized attribute", "Required attribute")
HINTS: tuple[tuple[Any, ...], ...] = (  # what a message of onnxruntime holds, and what helps
    ("captur", "this model cannot be recorded as a CUDA graph; use ", option("cuda_graph", "off")),
    ("CUDA failure", "the GPU refused; free its memory, or use ", option("provider", "cpu")),
    ("is not a registered function", "load the library of this operator with ", option("custom_ops")),
    ("No Op registered", "load the library of this operator with ", option("custom_ops"), ", or upgrade onnxruntime"),
    (NO_KERNEL, "this provider has no kernel for that operator and type; convert the model"),
    ("Unsupported model IR version", "upgrade onnxruntime or save the model with an older IR version"),
    ("opset", "upgrade onnxruntime or convert the model to an older opset"),
    ("External data", "keep the external data files beside the model"),
    ("xternal initializer", "keep the external data files beside the model"),
    ("rotobuf parsing failed", "is this a whole ONNX file?"),
    ("No graph was found", "is this a whole ONNX file?"),
    ("File doesn't exist", "check the path"),
    (
        "invalid dimensions",
        "give the size of the named input with ",
        option("sizes", flag="--size"),
        ", or real inputs with ",
        option("inputs"),
    ),
    (
        "indices element out of data bounds",
        "random indices do not suit this model; give real inputs with ",
        option("inputs"),
    ),
)


def explain(label: str, error: Exception) -> tuple[str | Remedy, ...]:
    """What ONNX Runtime said of a model, in one line, and what helps where that is known: the parts of an error."""
    text = str(error)
    hint = next((hint for mark, *hint in HINTS if mark in text), [])
    return f"{label}: ONNX Runtime: {first_line(error)}{'; ' if hint else ''}", *hint


def first_line(error: Exception) -> str:
    """The first line that says something, without '[ONNXRuntimeError] : 10 : INVALID_GRAPH : '."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[0]
    if line.startswith("[ONNXRuntimeError]"):
        line = line.split(" : ", 3)[-1].strip()
    return line if line else lines[min(1, len(lines) - 1)]


def lacks_kernel(error: str | Exception) -> bool:
    """Whether ONNX Runtime takes a graph but has no kernel for an operator of it on this provider."""
    return NO_KERNEL in str(error)


def lacks_value(error: Exception) -> bool:
    """Whether ONNX Runtime was asked for a value that the main graph does not have.

    >>> lacks_value(RuntimeError("output name does not exist in the graph: h"))
    True
    """
    return "does not exist in the graph" in str(error)


def lacks_operator(heard: str) -> bool:
    """Whether an operator is in none of the libraries that ONNX Runtime has."""
    return any(words in heard for words in UNREGISTERED)


def lacks_locale(heard: str) -> bool:
    """Whether ONNX Runtime misses something of this machine and nothing of the model."""
    return LOCALE in heard


def breaks_specification(against: str) -> bool:
    """Whether the checker of onnx refuses how an operator is used, whatever else a model has."""
    return any(words in against for words in SPECIFICATION)
