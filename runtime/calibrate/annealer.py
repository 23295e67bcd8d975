"""What a user says about annealing, as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ...ir.errors import option
from ...passes.anneal.edges.methods import CORRECTIONS, METHODS, RESIDUAL, SOURCES, Correction, Method, Source
from ...passes.connectivity.device import require_device_name
from ..fields import LARGEST, chosen, setting
from ..validation import OptionError, check_fields

__all__ = ["AnnealOptionsError", "Annealer", "as_annealer"]

ALPHA = 0.05
SMALLEST = 1e-250  # a level that is shared out among 1e50 tests is still a number


class AnnealOptionsError(OptionError):
    """Options of annealing that contradict each other or name what is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annealer:
    """How to anneal, as a user says it; off unless one is given.

    method: 'blocks' searches a partition and certifies it, 'support' and 'update' hold weights against where they
    began, the others test edges, 'auto' takes what fits; init: also 'like:TENSOR', the deviation of a tensor of the
    same model that was never trained; veto, exposed, refit: need calibration data; seed: of searches; device: 'cpu', or
    a device of torch for the edge tests. Raises AnnealOptionsError for options that contradict each other.
    """

    method: Method = setting(
        "auto",
        f"remove weights that learning did not confirm (lossy): {', '.join(METHODS)}",
        flags=("--anneal",),
        metavar="METHOD",
        choices=METHODS,
    )
    alpha: float = setting(ALPHA, "level of the test over a whole weight", least=0, most=1)
    correction: Correction = setting("bonferroni", f"for many tests: {', '.join(CORRECTIONS)}", choices=CORRECTIONS)
    init: str | None = setting(
        None,
        "how weights were initialised: torch_linear, normal:0.02, bert, like:TENSOR …",
        metavar="SCHEME",
    )
    initial: str | os.PathLike[str] | None = setting(
        None, "the checkpoint that training began with (onnx, safetensors, torch)", metavar="FILE"
    )
    literal: bool = setting(False, "remove edge by edge, not only what lies outside the blocks")
    residual: int = setting(
        RESIDUAL, "entries outside the blocks that 'blocks' may keep beside them", least=0, most=LARGEST
    )
    drop_residual: bool = setting(False, "remove such entries")
    axis: Source = setting(
        "inputs",
        "whose influence sums to one in walk, edges, consistency …",
        metavar="inputs|outputs",
        choices=SOURCES,
    )
    accept_null: bool = setting(False, "anneal edge by edge though a weight contradicts its initialisation")
    refit: bool = setting(False, "fit the surviving blocks again on the data, by least squares")
    veto: float | None = setting(None, "largest relative change of an operator's outputs on the data", least=0)
    exposed: bool = setting(False, "a weight that the data never exposed is not confirmed")
    seed: int = setting(0, "seed of random inputs and searches", least=0)
    device: str = setting("cpu", "where edges are tested: cpu, or a device of torch")

    def __post_init__(self) -> None:
        check_fields(self, AnnealOptionsError)
        require_device_name(self.device)
        if not SMALLEST <= self.alpha < 1:
            raise AnnealOptionsError(f"a level lies between {SMALLEST:g} and 1, not at {self.alpha}")
        if self.init is not None and self.initial is not None:
            raise AnnealOptionsError(
                option("init"),
                " names a distribution and ",
                option("initial"),
                " the weights themselves; give one of them",
            )
        if self.method == "update" and self.initial is None:
            raise AnnealOptionsError(
                "the method 'update' compares with the initial weights; give ", option("initial"), ", their checkpoint"
            )
        if idle := self._idle():
            named = [part for name in idle for part in (" or ", option(name))][1:]
            raise AnnealOptionsError(*named, f" means nothing to the method {self.method!r}; leave it out")
        if self.refit and self.literal:
            raise AnnealOptionsError(
                option("refit", True), " fits blocks, and ", option("literal", True), " leaves none; choose one"
            )

    def _idle(self) -> tuple[str, ...]:
        """Options of which one was given and that the method does not heed."""
        edgewise = self.method not in ("auto", "blocks")
        if edgewise and (self.drop_residual or self.residual != RESIDUAL):
            return "residual", "drop_residual"
        if self.method == "blocks" and (self.literal or self.exposed):
            return "literal", "exposed"
        if self.method in ("blocks", "support", "update") and (self.alpha, self.correction) != (ALPHA, "bonferroni"):
            return "alpha", "correction"
        if self.method not in ("walk", "edges", "consistency", "sequences", "paper") and self.axis != "inputs":
            return ("axis",)
        if self.method in ("blocks", "update") and self.accept_null:
            return ("accept_null",)
        return ()

    @property
    def needs_data(self) -> bool:
        """Whether calibration data are needed even to decide."""
        return self.refit or self.veto is not None or self.exposed


def as_annealer(options: Annealer | str) -> Annealer:
    """How to anneal, also by the name of a method alone. Raises AnnealOptionsError for an unknown
    one, TypeError for what is neither."""
    given = Annealer(method=options) if isinstance(options, str) else options  # type: ignore[arg-type]  # it is checked
    return chosen(Annealer, given, {})
