"""How many gates each recurrent operator has: rows of its weights for one hidden unit."""

from __future__ import annotations

__all__ = ["GATES"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
