"""YAML of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .triton import ExportError

__all__ = ["yaml_of"]


def yaml_of(*documents: Mapping[str, Any]) -> str:
    """Documents as YAML, their fields in order. Raises ExportError where PyYAML is missing.

    >>> print(yaml_of({"b": [1, "yes"], "a": {}}), end="")
    b:
    - 1
    - 'yes'
    a: {}
    """
    try:
        import yaml
    except ImportError as error:
        raise ExportError("this needs PyYAML, and it is not here: pip install 'scission[serve]'") from error
    found: str = yaml.safe_dump_all(documents, sort_keys=False, width=1000)
    return found
