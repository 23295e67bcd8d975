"""One version of parts that are served: where they lie, and the name that their deployments have in Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...ir.parts.share import ManifestError
from ..serve.activation import OffResults
from ..serve.activity import activity_of
from ..serve.folder import read_activation, read_manifest
from ..serve.local import LocalParts
from .remote import RemotePart

__all__ = ["Generation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A version. model: what it is called; number: from 1 up; folder: of its parts, which every machine sees at the
    same path; plan: the SHA-256 of what is cut where."""

    model: str
    number: int
    folder: str
    plan: str

    def application(self, part: str) -> str:
        """What Ray calls the application of a part."""
        return f"{self.model}-{self.number}-{part}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Generation:
        """Inverse of `to_dict`."""
        return Generation(**data)

    def parts(self) -> LocalParts:
        """The parts, called where their replicas are. Raises ManifestError where the folder holds others."""
        from ray import serve

        place = Path(self.folder)
        manifest = read_manifest(place)
        if manifest.plan != self.plan:
            raise ManifestError(f"{place}: holds other parts than those that are served")
        counted = read_activation(place, manifest)
        runs = [
            RemotePart(part, serve.get_deployment_handle(part.name, app_name=self.application(part.name)))
            for part in manifest.parts
        ]
        return LocalParts(
            manifest,
            tuple(runs),
            activity_of(manifest),
            off=dict(counted.off) if counted else {},
            idle=tuple(OffResults() for _ in runs),
            rowed=manifest.rows,
        )
