"""A folder of parts as a service of KServe on Kubernetes: replicas of a server of all parts, by how many ask.

    OUT.yaml    InferenceService: kubectl apply -f OUT.yaml

An InferenceGraph is not written: its routers send requests on and join answers by the names of steps, but do no index
work, so that what a part reads cannot be taken from a request by it, nor outputs put together.

https://kserve.github.io/website/docs/reference/crd-api
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ...ir.errors import option
from ...ir.parts.manifest import Manifest
from ...ir.staging.folder import temporary_folder
from ...ir.staging.place import Move, place
from ..fields import chosen
from ..serve.folder import read_manifest
from .options import KServeOptions
from .triton import ExportError, cleaned
from .yaml import yaml_of

__all__ = ["export_kserve"]

VERSION = "serving.kserve.io/v1beta1"
PORT = 8080
MIB = 1 << 20
LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)  # what Kubernetes takes as the name of a service
URI = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.ASCII)


def export_kserve(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], options: KServeOptions | None = None
) -> Path:
    """Write an InferenceService that serves the parts in `folder` to the file `output`; returns that.

    options: where the cluster finds the parts, replicas, what they reserve. `output` appears whole or not at all, and
    must not be there before. Raises ManifestError where `folder` is no folder of parts, ExportError for a name that
    Kubernetes does not take, without a storage, where the disk refuses, or packages are missing that the extra `serve`
    installs.
    """
    source, target, wished = Path(folder), Path(output), chosen(KServeOptions, options, {})
    manifest = read_manifest(source)
    name = wished.name or re.sub(r"[^a-z0-9-]+", "-", cleaned(manifest.name).lower()).strip("-")
    if not LABEL.fullmatch(name):
        raise ExportError(f"{name!r} is no name of a service in Kubernetes; give another with ", option("name"))
    if wished.storage is None or not URI.fullmatch(wished.storage):
        raise ExportError("where the cluster finds the parts is not told; give a URI with ", option("storage"))
    if wished.most < wished.replicas:
        raise ExportError("there are fewer replicas at most than at least; give more with ", option("most"))
    text = yaml_of(_service(manifest, name, wished))
    if os.path.lexists(target):
        raise ExportError(f"{target}: exists already; choose another output")
    try:
        with temporary_folder(beside=target) as staging:
            made = staging / target.name
            made.write_text(text, encoding="utf-8")
            place([Move(made, target)], staging, overwrite=False)
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}; nothing was written") from error
    return target


def _service(manifest: Manifest, name: str, options: KServeOptions) -> dict[str, Any]:
    held = sum(part.bytes_ for part in manifest.parts)
    memory = options.memory_mib or 512 + 2 * held // MIB
    amount = {"cpu": f"{options.cpu:g}", "memory": f"{memory}Mi"}
    predictor: dict[str, Any] = {
        "minReplicas": options.replicas,
        "maxReplicas": options.most,
        "scaleMetric": "concurrency",
        "scaleTarget": options.concurrency,
    }
    resources = {"requests": amount, "limits": {"memory": amount["memory"]}}
    if options.server == "triton":
        predictor["model"] = {
            "modelFormat": {"name": "triton", "version": "2"},
            "protocolVersion": "v2",
            "storageUri": options.storage,
            "resources": resources,
        }
    else:
        predictor["containers"] = [_container(name, options, resources)]
    annotations = {"serving.kserve.io/enable-prometheus-scraping": "true", "scission/plan": manifest.plan}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": VERSION, "kind": "InferenceService", "metadata": metadata, "spec": {"predictor": predictor}}


def _container(name: str, options: KServeOptions, resources: dict[str, Any]) -> dict[str, Any]:
    flags = {"host": "0.0.0.0", "port": PORT, "name": name, "threads": max(int(options.cpu), 1)}
    ready = {"httpGet": {"path": "/v2/health/ready", "port": PORT}}
    return {
        "name": "kserve-container",
        "image": options.image,
        "command": ["scission", "serve", "/mnt/models"],
        "args": [word for flag, value in flags.items() for word in (f"--{flag}", str(value))],
        "env": [{"name": "STORAGE_URI", "value": options.storage}],  # KServe brings it to /mnt/models
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": ready,
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": PORT}},
        "resources": resources,
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
    }
