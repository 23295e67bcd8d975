"""How a model is cut into parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ir.errors import option
from ..calibrate.sources.forms import FORMS
from ..fields import setting
from ..validation import OptionError, check_fields

if TYPE_CHECKING:
    from ...ir.parts.activation import OffWord
    from ..calibrate.dataset import Labelled

__all__ = ["PartitionOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionOptions:
    """How a model is cut into parts.

    parts: how many there are in a layer at the most, by putting those together of which the loads are then equal: by
    their multiply-adds, or with data by how often these activate them, those side by side that are activated together;
    None for all that there are; shards: instead of what is independent, into how many every pair of products is cut
    between the two, by hidden units or heads, of which the sums are added up; data: what holds inputs, samples along
    the first axis, as `sweep` reads it, or such arrays by name; off: the number that an input holds where it is off,
    or MASKED, by name, by default what most of its entries in the data are. Raises OptionError for what an option
    cannot be.
    """

    parts: int | None = setting(None, "parts of a layer at the most, by their loads (default: all)", least=1, most=4096)
    shards: int | None = setting(
        None, "cut pairs of products by hidden units or heads into so many, and add up", least=2, most=512
    )
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None = setting(
        None, f"by which parts are put together and activation.json is counted: {FORMS}", metavar="DATA"
    )
    off: Mapping[str, float | OffWord] | None = setting(
        None, "what an input of the data holds where it is off, or masked (repeatable)", metavar="NAME=V"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.shards is not None and self.parts is not None:
            raise OptionError("a model is cut into parts or into shards: leave out one of both")
        if self.off and self.data is None:
            told = "says what an input of the data holds where it is off, and there are no data: give"
            raise OptionError(option("off"), f" {told} ", option("data"), " as well, or leave it out")
