"""How a model is served: where, how much at once, how long."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import setting
from ..validation import check_fields

__all__ = ["ServeOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How a model is served.

    host, port: where connections are taken, port 0 for any that is free; name: what the model is called in addresses,
    by default its file; workers: requests that are computed at once; queue: requests that may wait besides, the next
    one is told to come again; deadline: seconds that a request may be computed; body_mib: MiB of one request, of
    which a quarter may be JSON; grace: seconds that requests may take to end when the server is told to; watch: seconds
    between two looks at whether something else lies where the model lay, which is then served. Raises OptionError for
    what an option cannot be.
    """

    host: str = setting("127.0.0.1", "the address that takes connections; 0.0.0.0 takes them from other machines")
    port: int = setting(8000, "the port; 0 for any that is free", least=0, most=65535)
    name: str | None = setting(None, "what the model is called in addresses (default: its file)")
    workers: int = setting(2, "requests that are computed at once", least=1, most=1024)
    queue: int = setting(64, "requests that may wait for a worker; the next one is answered with 503", least=0)
    deadline: float | None = setting(
        None, "the longest that a request may be computed (default: any time)", metavar="SECONDS", least=0.001
    )
    body_mib: int = setting(64, "the most MiB of one request, of which a quarter may be JSON", least=1, most=2**20)
    grace: float = setting(
        10.0, "how long requests may take to end when the server is told to", metavar="SECONDS", least=0
    )

    watch: float | None = setting(
        None,
        "how often to look whether another model lies there, and serve that (default: never)",
        metavar="SECONDS",
        least=0.05,
        most=86400,
    )

    def __post_init__(self) -> None:
        check_fields(self)
