"""What the weights of branches hold, as one number that a plan keeps."""

from __future__ import annotations

import hashlib

from ...ir.graph.constants import Constants
from ..decompose.fingerprint import fingerprint
from .merging import Merged

__all__ = ["digest"]


def digest(found: Merged, constants: Constants) -> str:
    """SHA-256 of all constants that the nodes of some branches read, in order, in hexadecimal.

    Raises ModelError when one cannot be read.
    """
    total, known = hashlib.sha256(), dict[object, str]()
    for node in (node for pack in found.packs for node in pack):
        for value in node.inputs:
            if value is not None and value in constants:
                if value not in known:
                    known[value] = fingerprint(constants.read(value))
                total.update(known[value].encode())
    return total.hexdigest()
