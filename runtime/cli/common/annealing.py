"""The options of annealing, which mean nothing without a method."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import typer

from ...calibrate.annealer import Annealer
from .from_fields import Group, group, made

__all__ = ["annealer", "annealing", "on_device"]

ELSEWHERE = ("seed", "device")  # options that mean something without annealing


def annealing(*without: str, **defaults: Any) -> Group:
    """The options of annealing that a command takes: all but some."""
    return group(Annealer, without=("device", *without), make=annealer, **defaults)


def on_device(anneal: Annealer | None, device: str) -> Annealer | None:
    """Annealing on the device that planning is asked to use, where it is asked for one."""
    return anneal if anneal is None or device == "auto" else replace(anneal, device=device)


def annealer(*, method: str | None, **options: Any) -> Annealer | None:
    """Options of annealing as one value, None without a method.

    Raises typer.BadParameter for a word that is none of the choices, or other options of annealing without a method.
    """
    if method is None:
        plain = {option.name: option.default for option in fields(Annealer)}
        idle = [name for name, value in options.items() if name not in ELSEWHERE and value != plain[name]]
        if idle:
            hint = "--" + idle[0].replace("_", "-")
            raise typer.BadParameter(f"{hint} says how to anneal; give --anneal METHOD as well")
        return None
    alpha = options.get("alpha")
    if alpha is not None and not 0 < alpha < 1:
        raise typer.BadParameter(f"{alpha} does not lie between 0 and 1", param_hint="--alpha")
    return made(Annealer, method=method, **options)
