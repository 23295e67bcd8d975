"""What other libraries say in words alone: the one place where their messages are searched."""

from __future__ import annotations

__all__ = ["holds_objects", "is_out_of_memory"]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch found no room, on a device or for pinned buffers: only some of that is its `OutOfMemoryError`.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    True
    """
    return "out of memory" in str(error)


def holds_objects(error: Exception) -> bool:
    """Whether numpy refused a file for the Python objects in it.

    >>> holds_objects(ValueError("Object arrays cannot be loaded when allow_pickle=False"))
    True
    """
    return any(words in str(error) for words in ("pickle", "Python objects"))
