"""A server asked how it is doing, from outside."""

from __future__ import annotations

import http.client
import json
import math
from dataclasses import fields
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from ....ir.errors import Remedy, ScissionError
from ....ir.record import is_number
from .status import PartStatus, Status

__all__ = ["asked"]

SERVE = Remedy("`scission.serve`", "`scission serve`")
PATIENCE = 5.0  # seconds for an answer
LONGEST = 1 << 20  # bytes of one


def asked(address: str) -> Status:
    """How the server at this address is doing: a URL, host:port, or a port of this machine.

    Raises ScissionError where none answers, or what answers is no server of models of this version.
    """
    url = _url(address)
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/status", timeout=PATIENCE) as reply:
            return _status(json.loads(reply.read(LONGEST)))
    except (URLError, OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise ScissionError(f"{url}: no server answers ({why}); give the address that ", SERVE, " told") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ScissionError(f"{url}: what answers is no ", SERVE, " of this version") from error


def _url(address: str) -> str:
    bare = f"127.0.0.1:{address}" if address.isdecimal() else address
    url = bare.rstrip("/") if "://" in bare else f"http://{bare.rstrip('/')}"
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        fine = False
    if not fine:
        raise ScissionError(f"{address!r} is no address; give a URL, host:port, or a port of this machine")
    return url


def _status(told: Any) -> Status:
    """The status that JSON says. Raises ValueError, TypeError or KeyError where it is none."""
    parts = tuple(PartStatus(**{one.name: part[one.name] for one in fields(PartStatus)}) for part in told["parts"])
    status = Status(**{one.name: told[one.name] for one in fields(Status)} | {"parts": parts})
    if not isinstance(status.statuses, dict):
        raise TypeError("statuses are none")
    numbers = [
        status.up,
        status.cpu,
        status.workers,
        status.running,
        status.waiting,
        status.per_second,
        *status.statuses.values(),
    ]
    numbers += [one for one in (status.p50, status.p99) if one is not None]
    numbers += [number for part in parts for number in _numbers(part)]
    if not all(is_number(one) and abs(one) < math.inf for one in numbers):
        raise TypeError("a number is none")
    if not all(isinstance(one, str) for one in (status.model, *(part.name for part in parts))):
        raise TypeError("a name is none")
    return status


def _numbers(part: PartStatus) -> list[float]:
    return [getattr(part, one.name) for one in fields(PartStatus) if one.name != "name"]
