"""How parts are served by other servers."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import setting
from ..validation import check_fields

__all__ = ["ComposeOptions", "KServeOptions", "TritonOptions"]

KINDS = ("auto", "cpu", "gpu")
SERVERS = ("scission", "triton")


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonOptions:
    """How parts are served by Triton.

    name: of the ensemble, by default the model's; batch: rows of requests that Triton may run as one, right only where
    rows do not depend on one another, 0 for never; instances: of each part; kind: where they run, auto where Triton
    itself chooses. Raises OptionError for what an option cannot be.
    """

    name: str | None = setting(None, "what the model is called (default: its file)")
    batch: int = setting(0, "rows of requests that may be run as one; 0 for never", least=0, most=2**20)
    instances: int = setting(1, "instances of each part", least=1, most=1024)
    kind: str = setting("auto", "where parts run: auto, cpu or gpu", metavar="auto|cpu|gpu", choices=KINDS)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeOptions:
    """How parts are served by containers of one machine.

    name: of the model, by default its file; image: with scission and its extra `serve` in it; port: of the server on
    this machine; prometheus: its port there; workers: requests that are computed at once; threads: of ONNX Runtime for
    each part. Raises OptionError for what an option cannot be.
    """

    name: str | None = setting(None, "what the model is called (default: its file)")
    image: str = setting("scission", "the image that serves, in which scission is with its extra `serve`")
    port: int = setting(8000, "the port of the server on this machine", least=1, most=65535)
    prometheus: int = setting(9090, "the port of Prometheus on this machine", least=1, most=65535)
    workers: int = setting(2, "requests that are computed at once", least=1, most=1024)
    threads: int = setting(1, "threads of ONNX Runtime", least=1, most=1024)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class KServeOptions:
    """How parts are served by KServe on Kubernetes.

    storage: where the cluster finds the folder of parts, or for Triton the repository; server: scission, or triton for
    a repository that was exported for it; name: of the service, by default the model's file; image: with scission and
    its extra `serve` in it; replicas, most: of the service; concurrency: requests of a replica at once beyond which
    there is another one; cpu, memory_mib: what a replica reserves, of memory by default twice the parts and 512 MiB.
    Raises OptionError for what an option cannot be.
    """

    storage: str | None = setting(None, "where the cluster finds the parts: s3://…, gs://…, pvc://…", metavar="URI")
    server: str = setting("scission", "scission or triton", metavar="scission|triton", choices=SERVERS)
    name: str | None = setting(None, "what the service is called (default: the model's file)")
    image: str = setting("scission", "the image that serves, in which scission is with its extra `serve`")
    replicas: int = setting(1, "replicas at least", least=0, most=10_000)
    most: int = setting(3, "replicas at most", least=1, most=10_000)
    concurrency: int = setting(8, "requests of a replica at once beyond which there is another", least=1, most=100_000)
    cpu: float = setting(1.0, "cores that a replica reserves", least=0.01, most=4096)
    memory_mib: int | None = setting(
        None, "MiB that a replica reserves (default: twice the parts and 512 MiB)", least=1, most=2**30
    )

    def __post_init__(self) -> None:
        check_fields(self)
