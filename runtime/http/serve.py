"""`serve`: a model that answers requests over HTTP until it is told to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...ir.errors import ScissionError
from ..fields import chosen
from ..ort.trials import Trials, trials_of
from .options import ServeOptions

__all__ = ["serve"]


def serve(
    model: str | Path,
    options: ServeOptions | None = None,
    *,
    trials: Trials | None = None,
    log: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests with a model or with its parts, by the Open Inference Protocol v2, until SIGINT or SIGTERM comes.

    model: a file, or a folder that `scission.partition` wrote; options: where, how much at once, how long; trials:
    provider, threads and libraries of custom operators; log: is told of every request, as what JSON can carry; ready:
    is called with the address once connections are taken. Raises ManifestError for a folder that is none,
    ModelError or SessionError for a model that cannot be opened, OptionError for an option that is none, and
    ScissionError for a model that takes what the protocol has no type for, for a port that cannot be had, and where
    packages are missing that the extra `serve` installs.
    """
    try:
        from .serving import serving
    except ImportError as error:
        raise ScissionError(f"serving needs {error.name}, and it is not here: pip install 'scission[serve]'") from error

    path, wished = Path(model), chosen(ServeOptions, options, {})
    with serving(path, wished, trials_of(trials), log) as server:
        server.listen(lambda: ready(server.address))
