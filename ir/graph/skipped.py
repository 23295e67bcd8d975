"""An operator with a constant weight that is not taken as a linear, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ScissionError
from ..reason import Cause, Reason
from ..record import Record

__all__ = ["FUSED", "INTEGER", "NO_PLAIN_PRODUCT", "QUANTISED", "REASONS", "Skipped"]

INTEGER = Reason(Cause.INTEGER_KERNEL, "integer kernel")
FUSED = Reason(Cause.FUSED, "fused operator: its product cannot be taken apart")
QUANTISED = Reason(Cause.QUANTISED, "its weight is quantised and no matrix: blocks would be stored in floating point")
NO_PLAIN_PRODUCT = Reason(Cause.NO_PRODUCT, "not a plain product with a matrix")

REASONS = {  # operators with constant weights that are no linear: why
    "Gather": Reason(Cause.NO_PRODUCT, "lookup table: its rows are read, not multiplied"),
    "MatMulInteger": INTEGER,
    "ConvInteger": INTEGER,
    "QLinearMatMul": INTEGER,
    "QLinearConv": INTEGER,
    "QGemm": INTEGER,
    "MatMulNBits": INTEGER,
    "MatMulIntegerToFloat": INTEGER,
    "DynamicQuantizeMatMul": INTEGER,
    "DynamicQuantizeLSTM": INTEGER,
    "QMoE": INTEGER,
    "MoE": Reason(Cause.BATCHED_WEIGHT, "batched weight: one matrix per expert"),
    "Attention": FUSED,
    "FusedConv": FUSED,
}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A node left alone: its address, operator, reason, and the entries of its constant weights.

    >>> Skipped("/rnn", "LSTM", Reason(Cause.NOT_CONSTANT, "its weights are computed"), 4096).to_dict()["cause"]
    'not_constant'
    """

    node: str
    op: str
    reason: Reason
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {"node": self.node, "op": self.op, **self.reason.to_dict(), "parameters": self.parameters}

    @staticmethod
    def from_dict(data: Any, where: str, error: type[ScissionError]) -> Skipped:
        """Inverse of `to_dict`; raises `error`, which says where, for a field that is missing, unknown or nonsense."""
        record = Record.of(data, where, error)
        reason = Reason.from_dict(record.fields, record.wrong)
        found = Skipped(record.text("node"), record.text("op"), reason, record.whole("parameters"))
        record.done()
        return found
