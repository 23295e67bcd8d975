"""Convolutions as they are fastest: written as such, over smaller windows, with what follows inside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import PlanError
from .preparation import Preparation

__all__ = ["ConvolutionForm", "RewrittenConvolution"]

SHA256 = re.compile("[0-9a-f]{64}")


class ConvolutionForm(StrEnum):
    """What is done to one."""

    FOURIER = "fourier"  # the Fourier transforms of windows of a signal become one
    MATRIX = "matrix"  # a Fourier transform along an axis becomes a product
    WINDOW = "window"  # the borders of its window where every weight is zero go
    ACTIVATION = "activation"  # a hard sigmoid behind one that is written out becomes that operator
    PRODUCT = "product"  # one of channels, behind operators that move them, becomes a convolution before these
    BIAS = "bias"  # what is added behind operators that move elements becomes its bias, and functions come before them


# What is done to those of a form, for people.
TOLD = {
    ConvolutionForm.FOURIER: ("Fourier transform", "written as a convolution"),
    ConvolutionForm.MATRIX: ("Fourier transform", "written as a product"),
    ConvolutionForm.WINDOW: ("convolution", "over a smaller window"),
    ConvolutionForm.BIAS: ("convolution", "with what followed inside"),
    ConvolutionForm.PRODUCT: ("channel product", "written as a convolution"),
    ConvolutionForm.ACTIVATION: ("hard sigmoid", "in one operator"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenConvolution(Preparation):
    """A convolution in another form, see `ConvolutionForm`; sha256: of the constants that it is made of."""

    kind: ClassVar[str] = "convolutions"
    became: ClassVar[str] = "written in the form that is fastest"
    form: ConvolutionForm
    sha256: str

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        if not isinstance(self.form, ConvolutionForm):
            forms = ", ".join(ConvolutionForm)
            raise PlanError(f"convolution of {self.nodes[0]}: form is {shown(self.form)}, none of {forms}")
        if not isinstance(self.sha256, str) or not SHA256.fullmatch(self.sha256):
            raise PlanError(f"convolution of {self.nodes[0]}: sha256 is {shown(self.sha256)}, which is no SHA-256")

    @property
    def left_with(self) -> str:
        """The kind; products apart, whose sums are rounded in another order, which no other form does."""
        return f"{self.kind}: {self.form}" if self.form is ConvolutionForm.PRODUCT else self.kind

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """For people: '12 convolutions with what followed inside'."""
        counts = Counter(one.form for one in found)
        return ", ".join(f"{counted(counts[form], noun)} {done}" for form, (noun, done) in TOLD.items() if counts[form])

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        return {"form": self.form.value, "sha256": self.sha256}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        form, sha256 = record.text("form"), record.text("sha256")
        if form not in set(ConvolutionForm):
            raise record.wrong(f"'form' is {shown(form)}, which is none of {', '.join(ConvolutionForm)}")
        return cls(form=ConvolutionForm(form), sha256=sha256, nodes=nodes, gain=gain, reason=reason)
