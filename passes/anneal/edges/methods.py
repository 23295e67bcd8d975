"""The words that say how to anneal, which options, passes and the command line share."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["CORRECTIONS", "METHODS", "RESIDUAL", "SOURCES", "Correction", "Method", "Source"]

Method: TypeAlias = Literal[
    "auto", "neyman", "walk", "edges", "norm", "consistency", "sequences", "paper", "support", "update", "blocks"
]
Correction: TypeAlias = Literal["none", "bonferroni", "benjamini-hochberg"]
Source: TypeAlias = Literal["inputs", "outputs"]  # whose influence sums to one
METHODS: tuple[str, ...] = get_args(Method)
CORRECTIONS: tuple[str, ...] = get_args(Correction)
SOURCES: tuple[str, ...] = get_args(Source)
RESIDUAL = 100  # entries outside the blocks that may be too large for the null
