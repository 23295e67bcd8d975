"""A folder of parts as containers of one machine: a server of them, and Prometheus, which asks it how it is doing.

    OUT/compose.yaml       docker compose up
        prometheus.yaml    what is asked, and how often
        parts/             the folder, as it is

https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ...ir.parts.manifest import FILE, Manifest
from ...ir.staging.folder import temporary_folder
from ..fields import chosen
from ..serve.folder import read_activation, read_manifest, require_files, write_activation
from .options import ComposeOptions
from .triton import ExportError, cleaned
from .yaml import yaml_of

__all__ = ["export_compose"]

SERVER = "parts"  # the service
INSIDE = 8000  # its port in its container
ASKED = "5s"
READY = "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=3)"


def export_compose(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], options: ComposeOptions | None = None
) -> Path:
    """Write the parts in `folder` to `output` as a project of Docker Compose; returns that.

    options: name, image and ports. The server listens on this machine alone, sees the parts and changes nothing of
    them. `output` appears whole or not at all, and must not be there before. Raises ManifestError where `folder` is no
    folder of parts, ExportError where the disk refuses or packages are missing that the extra `serve` installs.
    """
    source, target, wished = Path(folder), Path(output), chosen(ComposeOptions, options, {})
    manifest = read_manifest(source)
    texts = {
        "compose.yaml": yaml_of(_project(manifest, wished)),
        "prometheus.yaml": yaml_of(_asked()),
    }
    if os.path.lexists(target):
        raise ExportError(f"{target}: exists already; choose another output")
    try:
        with temporary_folder(beside=target) as staging:
            made = staging / "project"
            (made / "parts").mkdir(parents=True)
            for name, text in texts.items():
                (made / name).write_text(text, encoding="utf-8")
            _copy(source, made / "parts", manifest)
            made.rename(target)
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}; nothing was written") from error
    return target


def _copy(source: Path, place: Path, manifest: Manifest) -> None:
    for part in manifest.parts:
        require_files(source, part)
        for file in part.files:
            shutil.copyfile(source / file, place / file, follow_symlinks=False)
        require_files(place, part)  # a file that was changed while it was copied
    (place / FILE).write_text(manifest.dumps(), encoding="utf-8")
    counted = read_activation(source, manifest)
    if counted is not None:
        write_activation(place, counted)


def _project(manifest: Manifest, options: ComposeOptions) -> dict[str, Any]:
    name = options.name or cleaned(manifest.name)
    flags = {
        "host": "0.0.0.0",
        "port": INSIDE,
        "name": name,
        "workers": options.workers,
        "threads": options.threads,
    }
    command = ["scission", "serve", "/parts"]
    for flag, value in flags.items():
        command += [f"--{flag}", str(value).replace("$", "$$")]  # which Compose would replace
    server = {
        "image": options.image.replace("$", "$$"),
        "command": command,
        "ports": [f"127.0.0.1:{options.port}:{INSIDE}"],
        "volumes": ["./parts:/parts:ro"],
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "healthcheck": {
            "test": ["CMD", "python", "-c", READY],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "30s",
        },
    }
    prometheus = {
        "image": "prom/prometheus:v3.5.0",
        "ports": [f"127.0.0.1:{options.prometheus}:9090"],
        "volumes": ["./prometheus.yaml:/etc/prometheus/prometheus.yml:ro"],
        "restart": "unless-stopped",
        "depends_on": {SERVER: {"condition": "service_healthy"}},
    }
    return {"services": {SERVER: server, "prometheus": prometheus}}


def _asked() -> dict[str, Any]:
    job = {"job_name": "scission", "static_configs": [{"targets": [f"{SERVER}:{INSIDE}"]}]}
    return {"global": {"scrape_interval": ASKED}, "scrape_configs": [job]}
