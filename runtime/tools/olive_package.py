"""Olive's package configuration with the passes of scission in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from olive.package_config import OlivePackageConfig

from .olive_device import PROVIDERS

__all__ = ["package_config"]

PASSES = ("ScissionSplit", "ScissionSweep", "ScissionPartition")


def package_config(path: str | Path | None = None) -> dict[str, Any]:
    """Olive's own package configuration with the passes ScissionSplit, ScissionSweep and ScissionPartition in it, for
    `olive.run(…, package_config=…)`.

    path: a JSON file to write it to as well, for the command line of Olive.
    """
    config: dict[str, Any] = json.loads(Path(OlivePackageConfig.get_default_config_path()).read_text(encoding="utf-8"))
    for name in PASSES:
        config["passes"][name] = {
            "module_path": f"scission.olive.{name}",
            "supported_providers": list(PROVIDERS),
            "supported_accelerators": ["cpu", "gpu"],
            "supported_precisions": ["*"],
            "supported_algorithms": [],
            "supported_quantization_encodings": [],
        }
    if path is not None:
        Path(path).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return config
