"""How parts are served by other servers."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import setting
from ..validation import check_fields

__all__ = ["TritonOptions"]

KINDS = ("auto", "cpu", "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonOptions:
    """How parts are served by Triton.

    name: of the ensemble, by default the model's; batch: rows of requests that Triton may run as one, right only where
    rows do not depend on one another, 0 for never; instances: of each part; kind: where they run, auto where Triton
    itself chooses. Raises OptionError for what an option cannot be.
    """

    name: str | None = setting(None, "what the model is called (default: its file)")
    batch: int = setting(0, "rows of requests that may be run as one; 0 for never", least=0, most=2**20)
    instances: int = setting(1, "instances of each part", least=1, most=1024)
    kind: str = setting("auto", "where parts run: auto, cpu or gpu", metavar="auto|cpu|gpu", choices=KINDS)

    def __post_init__(self) -> None:
        check_fields(self)
