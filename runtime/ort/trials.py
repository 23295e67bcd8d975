"""How two models are run beside one another: provider, inputs, sizes, tolerances, time and memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.errors import Remedy, option
from ..fields import chosen, setting
from ..validation import OptionError, check_fields

if TYPE_CHECKING:
    from .library import Choice, GraphChoice

__all__ = ["GRAPH_CHOICES", "PROVIDERS", "Trials", "TrialsError", "trials_of"]

PROVIDERS = ("auto", "cpu", "cuda")
DAY = 86_400  # seconds
GRAPH_CHOICES = ("auto", "on", "off")
WISHES = {  # what says what an input holds
    "values": option("values", flag="--value"),
    "ranges": option("ranges", flag="--range"),
    "likes": option("likes", flag="--like"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """How two models are run beside one another.

    provider: 'auto', 'cpu' or 'cuda'; threads: None for ONNX Runtime's own choice; inputs: an .npz with real inputs,
    else random ones from `seed`; sizes: of symbolic dimensions; values: what inputs hold, by name: a number, a list of
    them, or a tuple of such that trials take in turn; ranges: (low, high), both included, of random inputs; likes: what
    they are like: 'ones', 'zeros', 'mask', 'lengths', 'tokens', 'positions', 'image', 'audio', 'extents' or 'random';
    inputs_file: a TOML file that says the same and sizes, without it the inputs.toml beside the model, where there is
    one and inputs_beside; save_inputs: write that file, so that whatever runs the model next reads it; rtol, atol:
    instead of the default tolerance; seconds: the most that is spent on timing one input size; custom_ops: libraries of
    custom operators; cuda_graph: whether models are timed as CUDA graphs, 'auto' those that can be where the original
    can, 'on' or else an error, or 'off'; tf32: whether on CUDA factors of float32 products are rounded to 10 bits in
    both models, as ONNX Runtime does where nothing is said: they are timed so, and proved equal so and without; memory:
    bytes that running models may take, by default half of what is free, and the weights and 1 GiB at sizes that were
    not asked for. Raises
    TrialsError, which names the option, for a value that it cannot have, and for options that contradict each other.
    """

    provider: Choice = setting("auto", "cpu, cuda, or auto: CUDA where it really works", choices=PROVIDERS)
    threads: int | None = setting(None, "threads of ONNX Runtime (default: its own choice)", least=1, most=1024)
    inputs: Path | None = setting(None, "real inputs instead of random ones", metavar="FILE.npz")
    sizes: Mapping[str, int] | None = setting(
        None, "size of a symbolic dimension (repeatable)", flags=("--size",), metavar="NAME=N"
    )
    values: Mapping[str, Any] | None = setting(
        None,
        "what an input holds: V, or V,W,… (repeatable: trials take turns)",
        flags=("--value",),
        metavar="NAME=V",
    )
    ranges: Mapping[str, tuple[float, float]] | None = setting(
        None, "numbers an input is drawn from (repeatable)", flags=("--range",), metavar="NAME=LO:HI"
    )
    likes: Mapping[str, str] | None = setting(
        None,
        "an input of ones, zeros, mask, lengths, tokens, positions, image, audio, extents or random (repeatable)",
        flags=("--like",),
        metavar="NAME=KIND",
    )
    inputs_file: Path | None = setting(
        None, "the same of inputs, and sizes, as a file (default: inputs.toml beside the model)", metavar="FILE.toml"
    )
    inputs_beside: bool = setting(True, "read inputs.toml where it lies beside the model")
    save_inputs: bool = setting(False, "keep what is said of inputs as inputs.toml beside the model")
    seed: int = setting(0, "seed of all that is drawn at random", least=0)
    rtol: float | None = setting(None, "allowed error relative to the largest output (by type)", least=0)
    atol: float | None = setting(None, "allowed absolute error besides", least=0)
    seconds: float = setting(
        3.0,
        "the longest time to spend on each input size; less where it is clear which is faster",
        least=0.01,
        most=DAY,
    )
    custom_ops: tuple[Path, ...] = setting((), "library of custom operators (repeatable)", metavar="LIB")
    cuda_graph: GraphChoice = setting(
        "auto",
        "on CUDA, time models as CUDA graphs: auto where the original can be",
        metavar="auto|on|off",
        choices=GRAPH_CHOICES,
    )
    tf32: bool = setting(True, "on CUDA, round the factors of float32 products to 10 bits, as ONNX Runtime does")
    memory: int | None = setting(
        None,
        "the most that running models may take, such as 2GB or 0.5GiB (default: half of what is free)",
        metavar="SIZE",
        least=1,
    )

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            if isinstance(value := getattr(self, name), float) and not 0 <= value < math.inf:
                raise TrialsError(
                    Remedy(name, f"--{name}"), f" must be a number of at least 0, got {value}: anything would pass"
                )
        check_fields(self, TrialsError)
        if self.inputs is not None and (self.values or self.ranges or self.likes):
            raise TrialsError(
                *(WISHES["values"], ", ", WISHES["ranges"], " and ", WISHES["likes"]),
                " are for random inputs; ",
                option("inputs"),
                " gives real ones",
            )
        if self.inputs is not None and (self.inputs_file is not None or self.save_inputs):
            told = option("inputs_file") if self.inputs_file is not None else option("save_inputs", True)
            raise TrialsError(told, " is for random inputs; ", option("inputs"), " gives real ones")
        wishes = [(told, getattr(self, name) or {}) for name, told in WISHES.items()]
        for place, (one, inputs) in enumerate(wishes):
            for other, others in wishes[:place]:
                if both := sorted(inputs.keys() & others.keys()):
                    raise TrialsError(f"input {both[0]!r} is given by both ", other, " and ", one, "; leave out one")


class TrialsError(OptionError):
    """Settings under which a comparison would say nothing."""


def trials_of(trials: Trials | None) -> Trials:
    """The trials that were given, or those by default. Raises TypeError for what are none."""
    return chosen(Trials, trials, {})
